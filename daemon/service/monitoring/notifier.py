"""Notifications: people are told by mail or messenger, through apprise.

Comes in: news, from any thread. Goes out: messages to each address of the settings, one of a kind
in a quiet period. Never blocks who tells, never raises after the start, and never writes an
address, which often is a password, into the log.
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

if TYPE_CHECKING:
    from apprise import NotifyBase

    Instantiate = Callable[[str], NotifyBase | None]

_log = structlog.get_logger()

SEND_S = 30.0
"""So long one address may take; another one is not kept waiting by it."""


_SHORT = 2
"""Parts of a URL up to this length are no secrets, and hiding them would blot every sentence."""


class Address(Protocol):
    """Where messages go."""

    @property
    def name(self) -> str:
        """For the log: tells addresses apart and no secret."""

    def send(self, message: Message) -> str:
        """Send, however long it takes; why it was not taken, or ""."""


class Notifier:
    """Tells people; one thread decides, one for each address sends.

    Args:
        addresses: Where messages go; with none, everything is dropped.
        quiet_s: After a message, others of its kind are held back for so long, then summed up.
        send_s: So long one address may take, in seconds.
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
        self._quiet = RateLimiter(quiet_s)
        self._send_s = send_s
        self._clock = clock
        self._news: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._sending: dict[str, threading.Thread] = {}
        self._begun = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="notifier", daemon=True)

    def tell(self, kind: str, title: str, text: str) -> None:
        """Tell people, unless this kind is quiet; then it is counted and summed up. Any thread.

        Args:
            kind: What it is about, such as "disk-full"; a few fixed words, no names.
            title: In a few words.
            text: The rest.
        """
        if not self._addresses:
            return
        self._news.put(Message(kind, title, text))
        if self._begun.acquire(blocking=False):  # by the first, and never given back
            self._thread.start()

    def close(self, wait_s: float) -> None:
        """Send what was held back, and wait for it at most so long."""
        if self._thread.ident is not None:
            self._news.put(None)
            self._thread.join(wait_s)

    def _work(self) -> None:
        going_on = True
        while going_on:
            try:
                going_on = self._once()
            except Exception:  # people are told no more of this; the daemon's work goes on
                _log.exception("notification_failed")

    def _once(self) -> bool:
        """Wait for news or the end of a quiet period; whether there is more to come."""
        with contextlib.suppress(queue.Empty):
            message = self._news.get(timeout=self._quiet.next_due_s(self._clock()))
            if message is None:
                for left in self._quiet.rest():
                    self._send(left)
                return False
            chosen = self._quiet.offer(message, self._clock())
            if chosen is not None:
                self._send(chosen)
        for summary in self._quiet.due(self._clock()):
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
    """The addresses of the settings, ready to be sent to.

    Args:
        urls: Of the setting `notify`.
        file: Of the setting `notify_file`: one URL a line; empty lines and # comments are skipped.

    Raises:
        ConfigError: apprise is not installed, the file cannot be read, or a URL is not known.
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

    Its service is asked directly: `Apprise.notify` sends from a pool of threads that Python waits
    for when it exits, so that a server which never answers would keep the daemon from ending.
    """

    def __init__(self, place: str, url: str, instantiate: "Instantiate") -> None:
        scheme = url.partition("://")[0] if "://" in url else ""
        self.name = f"{place} ({scheme or 'no scheme'})"
        self._secrets = _secrets(url)
        with _overheard():
            service = instantiate(url)
        if service is None:
            raise ConfigError(
                f"{self.name}: not a URL that apprise knows; "
                "`apprise --details` lists what it does, with examples"
            )
        self._service = service

    def send(self, message: Message) -> str:
        """Send, however long it takes; why it was not taken, or ""."""
        with _overheard() as said:
            # An empty body would be refused.
            sent = self._service.notify(title=message.title, body=message.text or message.title)
        if sent:
            return ""
        return self._secrets.sub("***", "; ".join(said)) or "apprise does not say why"


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
def _overheard() -> Iterator[list[str]]:
    """What apprise says to its log from this thread; it is kept out of every other log."""
    said: list[str] = []
    thread = threading.get_ident()
    ears = logging.Handler(logging.WARNING)
    ears.emit = lambda record: (  # type: ignore[method-assign]
        said.append(record.getMessage()) if record.thread == thread else None
    )
    logger = logging.getLogger("apprise")
    logger.propagate = False
    logger.addHandler(ears)
    try:
        yield said
    finally:
        logger.removeHandler(ears)


def _secrets(url: str) -> re.Pattern[str]:
    """Matches every part of a URL that may be a secret: all but its scheme and host."""
    rest = url.partition("://")[2]
    try:
        host = urlsplit(f"//{rest}").hostname or ""
    except ValueError:
        host = ""
    parts = {part for part in re.split(r"[/:@?&=,;#]", rest) if len(part) > _SHORT}
    parts |= {unquote(part) for part in parts}
    longest_first = sorted((p for p in parts if p.lower() != host), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
