"""Limits messages to one of each kind per quiet period; the others are summed up at its end.

It sends nothing and reads no clock.
"""

from collections import deque
from dataclasses import dataclass, field

_MAX_TITLES = 10
"""Titles that a summary lists; older ones are only counted."""


@dataclass(frozen=True)
class Message:
    """A message to people.

    Attributes:
        kind: What it is about, such as "disk-full"; each kind has its own quiet period.
        title: One short line.
        text: The details.
    """

    kind: str
    title: str
    text: str


@dataclass
class _Held:
    """Messages of one kind held back until the end of its quiet period."""

    until_s: float
    count: int = 0
    latest: deque[Message] = field(default_factory=lambda: deque(maxlen=_MAX_TITLES))


class RateLimiter:
    """Decides which messages go out; owned by one thread.

    Args:
        quiet_s: Seconds after a message in which no other of its kind goes out.
    """

    def __init__(self, quiet_s: float) -> None:
        self._quiet_s = quiet_s
        self._held: dict[str, _Held] = {}

    def offer(self, message: Message, now: float) -> Message | None:
        """Return the message to send now: this one or a summary; None if it is held back.

        Args:
            message: The new message.
            now: Monotonic seconds.
        """
        held = self._held.get(message.kind)
        if held is not None and now < held.until_s:
            held.count += 1
            held.latest.append(message)
            return None
        if held is not None and held.count:
            held.count += 1
            held.latest.append(message)
            message = _summary(held)
        self._held[message.kind] = _Held(now + self._quiet_s)
        return message

    def due(self, now: float) -> list[Message]:
        """Summaries of the kinds whose quiet period is over; a new period begins for each."""
        over = [kind for kind, held in self._held.items() if now >= held.until_s]
        summaries = []
        for kind in over:
            held = self._held.pop(kind)
            if held.count:
                summaries.append(_summary(held))
                self._held[kind] = _Held(now + self._quiet_s)
        return summaries

    def flush(self) -> list[Message]:
        """Summaries of everything held back, before the daemon ends."""
        summaries = [_summary(held) for held in self._held.values() if held.count]
        self._held.clear()
        return summaries

    def next_due_s(self, now: float) -> float | None:
        """Seconds until something held back may go out; None if nothing is held back."""
        due = [held.until_s for held in self._held.values() if held.count]
        return max(0.0, min(due) - now) if due else None


def _summary(held: _Held) -> Message:
    last = held.latest[-1]
    if held.count == 1:
        return last
    lines = [f"- {message.title}" for message in held.latest]
    if held.count > len(lines):
        lines.insert(0, f"({held.count - len(lines)} before these)")
    text = "\n".join(("Since the last message of this kind:", *lines, "", last.text))
    return Message(last.kind, f"{held.count} times: {last.title}", text)
