"""Where the log goes and what a line of it looks like: JSON, or coloured text on a terminal.

Modules get their logger from `structlog.get_logger` and log an event in snake_case with fields, as
in `_log.info("restored", row=..., recipe=..., photo=..., seconds=...)`. The command that runs calls
`configure` once.
"""

import logging
import math
import sys
import time
import warnings
from collections.abc import Callable, MutableMapping
from typing import Any, TextIO, cast

import structlog
from structlog.typing import Processor

from daemon.system.log_stream import LogStream, LostLines
from daemon.system.text import json_text, paragraph, printable

_REPEAT_S = 60.0
"""Seconds for which what a library has said is not said again."""

_MAX_REMEMBERED = 256

_log = structlog.get_logger()
_stream: LogStream | None = None
_level = "info"

Event = MutableMapping[str, Any]


def set_level(name: str) -> None:
    """Set the least serious events, such as "warning", of what is configured from now on."""
    global _level  # as the stream, one for the process
    _level = name


def configure(stream: TextIO | None = None, *, console: bool | None = None) -> None:
    """Send the log to a stream.

    Args:
        stream: The stream; None takes what `sys.stderr` is now.
        console: Write text for people instead of JSON; None does so if the stream is a terminal.
    """
    global _stream  # as the configuration of structlog, one for the process
    target = sys.stderr if stream is None else stream
    for_people = target.isatty() if console is None else console
    end: Processor = (
        structlog.dev.ConsoleRenderer(timestamp_key="time")
        if for_people
        else structlog.processors.JSONRenderer(serializer=_serialize)
    )
    _stream = LogStream(target, _tell_lost, direct=not for_people)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            structlog.processors.format_exc_info,
            _printable,
            end,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_level),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, _stream)),
        # A cached logger would keep writing to the stream of an earlier configuration.
        cache_logger_on_first_use=False,
    )
    tell_warnings(lambda what, where: _log.warning("library_warning", what=what, where=where))
    if not any(isinstance(handler, LibraryHandler) for handler in logging.root.handlers):
        logging.root.addHandler(LibraryHandler(logging.WARNING))


def lost_lines() -> LostLines | None:
    """Lines of the log that are lost because it cannot be written now, or None."""
    return _stream.lost if _stream is not None else None


def _tell_lost(lost: LostLines) -> str:
    """Render the event; not by a logger, as the one that writes now holds a lock."""
    event: Any = {"event": "log_lines_lost", "lines": lost.lines, "why": lost.why}
    for processor in structlog.get_config()["processors"]:
        event = processor(None, "warning", event)
    return str(event)


def tell_warnings(tell: Callable[[str, str], None]) -> None:
    """Have Python's warnings told in place of printed.

    Args:
        tell: Called with "CATEGORY: MESSAGE" and "FILE:LINE" of each.
    """

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        tell(f"{category.__name__}: {message}", f"{filename}:{lineno}")

    warnings.showwarning = show


class LibraryHandler(logging.Handler):
    """Logs what libraries tell Python's own `logging`.

    What is repeated is counted, and told at the first time after a minute: whoever opens
    connections to a web server must not fill the log.
    """

    def __init__(self, level: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin without having said anything; `clock` gives seconds."""
        super().__init__(level)
        self._clock = clock
        self._said: dict[tuple[str, str], tuple[float, int]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Log one record."""
        try:
            what = record.getMessage()
        except Exception:  # its arguments do not fit its text
            what = str(record.msg)
        now, key = self._clock(), (record.name, what)
        said_at, repeated = self._said.get(key, (-math.inf, 0))
        if now - said_at < _REPEAT_S:
            self._said[key] = (said_at, repeated + 1)
            return
        if len(self._said) >= _MAX_REMEMBERED:
            self._said.clear()
        self._said[key] = (now, 0)
        more = {"repeated": repeated} if repeated else {}
        _log.warning("library_warning", what=what, where=record.name, **more)


def _printable(_logger: object, _method: str, event: Event) -> Event:
    r"""Make text printable: file names are bytes, and those that are no UTF-8 appear as \xNN.

    A traceback keeps its lines.
    """
    for key, value in event.items():
        if isinstance(value, str):
            raw = value.encode("utf-8", "surrogateescape")
            text = raw.decode("utf-8", "backslashreplace")
            event[key] = paragraph(text) if key == "exception" else printable(text)
    return event


def _serialize(event: Event, default: object = None, **options: object) -> str:
    return json_text(event, default=str)
