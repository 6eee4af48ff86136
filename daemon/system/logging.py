"""The log: an event and its fields, as JSON lines, or in colour where a person watches.

Comes in: events. Goes out: lines on stderr. Configured once, by the command that runs.
"""

import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog
from structlog.typing import FilteringBoundLogger, Processor

Event = MutableMapping[str, Any]


def configure(stream: TextIO | None = None, *, console: bool | None = None) -> None:
    """Send the log to a stream.

    Args:
        stream: Where to; stderr if None, looked up now.
        console: Lines for people instead of JSON; None means so on a terminal.
    """
    target = sys.stderr if stream is None else stream
    for_people = target.isatty() if console is None else console
    ends: list[Processor] = (
        [structlog.dev.ConsoleRenderer(timestamp_key="time")]
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


def get_log() -> FilteringBoundLogger:
    """The logger; `log.info("restored", job=..., recipe=..., photo=..., seconds=...)`."""
    log: FilteringBoundLogger = structlog.get_logger()
    return log


def _printable(_logger: object, _method: str, event: Event) -> Event:
    r"""File names are bytes: those that are no UTF-8 appear as \xNN, so that all can read them."""
    for key, value in event.items():
        if isinstance(value, str):
            raw = value.encode("utf-8", "surrogateescape")
            event[key] = raw.decode("utf-8", "backslashreplace")
    return event
