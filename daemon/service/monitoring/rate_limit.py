"""Quiet periods: of one kind of message, one at a time; the rest is counted and summed up.

Comes in: messages, with the time. Goes out: those to send now. Sends nothing and reads no clock.
"""

from collections import deque
from dataclasses import dataclass, field

_NAMED = 10
"""Titles that a summary repeats; of the others it gives the number."""


@dataclass(frozen=True)
class Message:
    """What a person is told.

    Attributes:
        kind: What it is about, such as "disk-full"; the quiet period is kept by kind.
        title: In a few words.
        text: The rest, for people.
    """

    kind: str
    title: str
    text: str


@dataclass
class _Held:
    until_s: float
    count: int = 0
    latest: deque[Message] = field(default_factory=lambda: deque(maxlen=_NAMED))


class RateLimiter:
    """Decides which messages go out; owned by one thread.

    Args:
        quiet_s: After a message, no other of its kind goes out for so long, in seconds.
    """

    def __init__(self, quiet_s: float) -> None:
        self._quiet_s = quiet_s
        self._held: dict[str, _Held] = {}

    def offer(self, message: Message, now: float) -> Message | None:
        """The message to send in its place now, or None: it is held back and counted.

        Args:
            message: The news.
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
        """Sum up what was held back and whose quiet period is over; a new one begins."""
        over = [kind for kind, held in self._held.items() if now >= held.until_s]
        summaries = []
        for kind in over:
            held = self._held.pop(kind)
            if held.count:
                summaries.append(_summary(held))
                self._held[kind] = _Held(now + self._quiet_s)
        return summaries

    def rest(self) -> list[Message]:
        """Sum up everything that is held back, however quiet it should be: the end has come."""
        summaries = [_summary(held) for held in self._held.values() if held.count]
        self._held.clear()
        return summaries

    def next_due_s(self, now: float) -> float | None:
        """Seconds until something held back may go out; None if nothing is."""
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
