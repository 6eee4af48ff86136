"""Where the log goes and what a line of it looks like: JSON, or coloured text on a terminal.

Modules get their logger from `structlog.get_logger` and log an event in snake_case with fields, as
in `_log.info("restored", job=..., recipe=..., photo=..., seconds=...)`. The command that runs calls
`configure` once.
"""

import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog
from structlog.typing import Processor

from daemon.system.text import printable

Event = MutableMapping[str, Any]


def configure(stream: TextIO | None = None, *, console: bool | None = None) -> None:
    """Send the log to a stream.

    Args:
        stream: The stream; None takes what `sys.stderr` is now.
        console: Write text for people instead of JSON; None does so if the stream is a terminal.
    """
    target = sys.stderr if stream is None else stream
    for_people = target.isatty() if console is None else console
    ends: list[Processor] = (
        [_on_one_line, structlog.dev.ConsoleRenderer(timestamp_key="time")]
        if for_people
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            _printable,
            *ends,
        ],
        wrapper_class=structlog.make_filtering_bound_logger("info"),
        logger_factory=structlog.WriteLoggerFactory(target),
        # A cached logger would keep writing to the stream of an earlier configuration.
        cache_logger_on_first_use=False,
    )


def _printable(_logger: object, _method: str, event: Event) -> Event:
    r"""Make text printable: file names are bytes, and those that are no UTF-8 appear as \xNN."""
    for key, value in event.items():
        if isinstance(value, str):
            raw = value.encode("utf-8", "surrogateescape")
            event[key] = raw.decode("utf-8", "backslashreplace")
    return event


def _on_one_line(_logger: object, _method: str, event: Event) -> Event:
    """Escape what would forge a line on a terminal; JSON escapes it by itself."""
    return {k: printable(v) if isinstance(v, str) else v for k, v in event.items()}
