"""Messages to people by mail or messenger, through apprise.

Each address of the settings gets them, one of each kind per quiet period. Sending never blocks the
caller and never raises after the start. An address often holds a password, so none is ever logged.
"""

import contextlib
import logging
import queue
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote, urlsplit

import structlog

from daemon.service.monitoring.rate_limit import Message, RateLimiter
from daemon.system.errors import ConfigError
from daemon.system.files import shown
from daemon.system.text import printable

if TYPE_CHECKING:
    from apprise import NotifyBase

    Instantiate = Callable[[str], NotifyBase | None]

_log = structlog.get_logger()

SEND_S = 30.0
"""Seconds one address may take; the others do not wait for it."""

_SHORT = 2
"""Parts of a URL up to this length are not hidden: hiding them would garble every sentence."""


class Address(Protocol):
    """A place that messages are sent to."""

    @property
    def name(self) -> str:
        """Name for the log: tells addresses apart and holds no secret."""

    def send(self, message: Message) -> str:
        """Send, however long it takes; returns why it failed, or ""."""


class Notifier:
    """Sends messages to people: one thread decides, and one for each address sends.

    Args:
        addresses: Where messages go; without any, messages are dropped.
        quiet_s: Seconds after a message in which others of its kind are held back; then they
            are summed up.
        send_s: Seconds one address may take.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        addresses: Sequence[Address],
        quiet_s: float,
        *,
        send_s: float = SEND_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._addresses = addresses
        self._limiter = RateLimiter(quiet_s)
        self._send_s = send_s
        self._clock = clock
        self._messages: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._sending: dict[str, threading.Thread] = {}
        self._started = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="notifier", daemon=True)

    def notify(self, kind: str, title: str, text: str) -> None:
        """Send a message, or hold it back in a quiet period of its kind. Any thread may call it.

        Args:
            kind: What it is about, such as "disk-full"; from a small fixed set, never a name.
            title: One short line.
            text: The details, of one or more lines.
        """
        if not self._addresses:
            return
        self._messages.put(Message(kind, printable(title), printable(text, keep="\n")))
        if self._started.acquire(blocking=False):  # the first message takes it for good
            self._thread.start()

    def close(self, wait_s: float) -> None:
        """Send what was held back, and wait at most `wait_s` seconds for that."""
        if self._thread.ident is not None:
            self._messages.put(None)
            self._thread.join(wait_s)

    def _work(self) -> None:
        open_for_more = True
        while open_for_more:
            try:
                open_for_more = self._once()
            except Exception:  # this message is lost; the daemon's work goes on
                _log.exception("notification_failed")

    def _once(self) -> bool:
        """Wait for a message or the end of a quiet period; False once the notifier is closed."""
        with contextlib.suppress(queue.Empty):
            message = self._messages.get(timeout=self._limiter.next_due_s(self._clock()))
            if message is None:
                for summary in self._limiter.flush():
                    self._send(summary)
                return False
            chosen = self._limiter.offer(message, self._clock())
            if chosen is not None:
                self._send(chosen)
        for summary in self._limiter.due(self._clock()):
            self._send(summary)
        return True

    def _send(self, message: Message) -> None:
        deadline = time.monotonic() + self._send_s
        begun = [address for address in self._addresses if self._begin(address, message)]
        for address in begun:
            thread = self._sending[address.name]
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                _not_sent(address, message, f"no answer within {self._send_s:g} s")

    def _begin(self, address: Address, message: Message) -> bool:
        before = self._sending.get(address.name)
        if before is not None and before.is_alive():
            _not_sent(address, message, "an earlier message is still being sent")
            return False
        thread = threading.Thread(target=_send_to, args=(address, message), daemon=True)
        self._sending[address.name] = thread
        thread.start()
        return True


def read_addresses(urls: Sequence[str], file: Path | None) -> tuple[Address, ...]:
    """The addresses of the settings, checked and ready for use.

    Args:
        urls: The setting `notify`.
        file: The setting `notify_file`: one URL a line; empty lines and # comments are skipped.

    Raises:
        ConfigError: apprise is not installed, the file cannot be read, or a URL is unknown.
    """
    named = [(f"notify[{number}]", url) for number, url in enumerate(urls)]
    if file is not None:
        try:
            lines = file.read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise ConfigError(
                f"notify_file is {shown(file)}, which cannot be read: {why}"
            ) from error
        named += [
            (f"{shown(file.name)}:{number}", line.strip())
            for number, line in enumerate(lines, start=1)
            if line.strip() and not line.lstrip().startswith("#")
        ]
    if not named:
        return ()
    try:
        import apprise  # an extra, and slow to import
    except ImportError as error:
        raise ConfigError(
            "notify is set, but apprise is not installed; pip install 'restored[notify]'"
        ) from error
    return tuple(_AppriseAddress(*one, apprise.Apprise.instantiate) for one in named)


class _AppriseAddress:
    """One URL of apprise.

    Its service is called directly. `Apprise.notify` sends from a thread pool that Python joins
    when it exits, so a server that never answers would keep the daemon from ending.
    """

    def __init__(self, place: str, url: str, instantiate: "Instantiate") -> None:
        scheme = url.partition("://")[0] if "://" in url else ""
        self.name = f"{place} ({scheme or 'no scheme'})"
        self._secrets = _secrets(url)
        with _captured_warnings():
            service = instantiate(url)
        if service is None:
            raise ConfigError(
                f"{self.name}: not a URL that apprise knows; "
                "`apprise --details` lists those it knows, with examples"
            )
        self._service = service

    def send(self, message: Message) -> str:
        """Send, however long it takes; returns why it failed, or ""."""
        with _captured_warnings() as said:
            # apprise refuses an empty body.
            sent = self._service.notify(title=message.title, body=message.text or message.title)
        if sent:
            return ""
        return self._secrets.sub("***", "; ".join(said)) or "apprise gave no reason"


def _send_to(address: Address, message: Message) -> None:
    try:
        why = address.send(message)
    except Exception as error:
        why = type(error).__name__  # its text may hold the address
    if why:
        _not_sent(address, message, why)
    else:
        _log.info("notified", kind=message.kind, address=address.name)


def _not_sent(address: Address, message: Message, why: str) -> None:
    _log.warning("not_notified", kind=message.kind, address=address.name, why=why)


@contextlib.contextmanager
def _captured_warnings() -> Iterator[list[str]]:
    """Warnings that apprise logs in this thread; they are kept out of every other log."""
    said: list[str] = []
    thread = threading.get_ident()
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: (  # type: ignore[method-assign]
        said.append(record.getMessage()) if record.thread == thread else None
    )
    logger = logging.getLogger("apprise")
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield said
    finally:
        logger.removeHandler(handler)


def _secrets(url: str) -> re.Pattern[str]:
    """A pattern of every part of a URL that may be secret: all but its scheme and host."""
    rest = url.partition("://")[2]
    try:
        host = urlsplit(f"//{rest}").hostname or ""
    except ValueError:
        host = ""
    parts = {part for part in re.split(r"[/:@?&=,;#]", rest) if len(part) > _SHORT}
    parts |= {unquote(part) for part in parts}
    longest_first = sorted((p for p in parts if p.lower() != host), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
