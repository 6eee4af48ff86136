"""Waiting calls, and which of them share the next forward pass.

Comes in: calls with the number of the order that asks. Goes out: groups of calls with one key, no
larger than the cap. Remembers, per key, what fitted into memory. Never touches a tensor.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from daemon.models.calls import BatchKey, ModelCall

PATIENCE_S = 3.0
"""A call that waited so long goes before fuller groups and older orders."""

_PROBE_AFTER = 16
_PROBE_AFTER_AT_MOST = 4096


@dataclass(frozen=True, slots=True)
class PendingCall:
    """One waiting call.

    Attributes:
        order: Number of the order that asks; older orders have lower numbers.
        index: Which of the order's calls it is.
        call: The call.
        since: When it was asked, in seconds of a monotonic clock.
    """

    order: int
    index: int
    call: ModelCall
    since: float


@dataclass
class _Cap:
    """How many calls of a key fit: lowered by failures, raised again after some successes."""

    most: int
    now: int
    probe_after: int = _PROBE_AFTER
    successes: int = 0


class Batcher:
    """The calls that wait, by key, and the cap of every key."""

    def __init__(self, pass_pixels: int, patience_s: float = PATIENCE_S) -> None:
        self._pass_pixels = pass_pixels
        self._patience_s = patience_s
        self._waiting: defaultdict[BatchKey, list[PendingCall]] = defaultdict(list)
        self._caps: dict[BatchKey, _Cap] = {}

    def __len__(self) -> int:
        """How many calls wait."""
        return sum(map(len, self._waiting.values()))

    def add(self, order: int, calls: Sequence[ModelCall], now: float) -> None:
        """Let the calls of an order wait for their answers."""
        for index, call in enumerate(calls):
            self._waiting[call.key].append(PendingCall(order, index, call, now))

    def drop(self, order: int) -> None:
        """Forget the waiting calls of an order."""
        for key, asks in self._waiting.items():
            self._waiting[key] = [ask for ask in asks if ask.order != order]

    def put_back(self, asks: Sequence[PendingCall]) -> None:
        """Let calls wait again that were picked and could not be answered."""
        for ask in asks:
            self._waiting[ask.call.key].append(ask)

    def pick(
        self, now: float, *, more_coming: bool, ready: Callable[[BatchKey], bool] = lambda key: True
    ) -> list[PendingCall]:
        """Take out the calls of the next forward pass.

        Whoever lost patience goes first, then the fullest group. Inside a group the oldest order
        goes first, so that orders finish one after the other rather than all at the end.

        Args:
            now: The time, on the clock of `add`.
            more_coming: Generators are about to ask; a group that is not full may wait for them.
            ready: Whether the model of a key is loaded, or may be now.

        Returns:
            Calls of one key, none if it is better to wait.
        """
        waiting = {key: asks for key, asks in self._waiting.items() if asks and ready(key)}
        if not waiting:
            return []
        late = {key: self._lateness(asks, now) for key, asks in waiting.items()}
        full = {key: min(1.0, len(asks) / self.cap(key)) for key, asks in waiting.items()}
        key = max(waiting, key=lambda key: (late[key], full[key], -waiting[key][0].since))
        if more_coming and not late[key] and full[key] < 1:
            return []
        asks = sorted(waiting[key], key=lambda ask: self._turn(ask, now))
        cap = self.cap(key)
        self._waiting[key] = asks[cap:]
        return asks[:cap]

    def cap(self, key: BatchKey) -> int:
        """How many calls of this key go through one pass, at present; at least 1."""
        if key not in self._caps:
            most = max(1, self._pass_pixels // key.pixels)
            self._caps[key] = _Cap(most, most)
        return self._caps[key].now

    def failed(self, key: BatchKey, size: int) -> None:
        """Memory did not suffice for this many calls: from now on at most half of them."""
        self.cap(key)
        cap = self._caps[key]
        if cap.successes == 0 and cap.now < cap.most:
            # The probe itself failed: ask again only after twice as long.
            cap.probe_after = min(2 * cap.probe_after, _PROBE_AFTER_AT_MOST)
        cap.now = max(1, min(cap.now, size // 2))
        cap.successes = 0

    def fitted(self, key: BatchKey, size: int) -> None:
        """Memory sufficed for this many calls; after some full groups the cap is tried doubled."""
        cap = self._caps[key]
        if cap.now == cap.most or size < cap.now:
            return
        cap.successes += 1
        if cap.successes >= cap.probe_after:
            cap.now = min(cap.most, 2 * cap.now)
            cap.successes = 0

    def _lateness(self, asks: Sequence[PendingCall], now: float) -> float:
        waited_s = now - min(ask.since for ask in asks)
        return waited_s if waited_s > self._patience_s else 0.0

    def _turn(self, ask: PendingCall, now: float) -> tuple[bool, float, int]:
        late = now - ask.since > self._patience_s
        return (not late, ask.since if late else ask.order, ask.index)
