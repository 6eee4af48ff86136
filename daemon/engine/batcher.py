"""The batcher: which pending calls share the next forward pass.

Calls of one `BatchKey` may share a pass. How many do is capped by what is worth putting through one
pass and, for each key, by what fitted into memory before. The batcher never touches a tensor.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from daemon.models.calls import BatchKey, ModelCall

PATIENCE_S = 3.0
"""Seconds after which a call is late: it goes before fuller batches and older tasks."""

_PROBE_AFTER = 16
"""Full batches that must fit before a lowered cap is tried doubled."""

_PROBE_AFTER_AT_MOST = 4096
"""The same number at most; it doubles whenever the doubled cap failed at once."""


@dataclass(frozen=True, slots=True)
class PendingCall:
    """A call that waits for its answer.

    Attributes:
        run: Number of the run that made it; older tasks have lower numbers.
        index: Index of the call among those the run waits for.
        call: The call.
        since: When it was made, in seconds on the monotonic clock.
    """

    run: int
    index: int
    call: ModelCall
    since: float


@dataclass
class _Cap:
    """Largest batch of one key: lowered by failures, raised again after some successes."""

    highest: int
    current: int
    probe_after: int = _PROBE_AFTER
    successes: int = 0


class Batcher:
    """The pending calls by key, and the cap of each key.

    Args:
        pass_pixels: Pixels worth putting through one forward pass.
        patience_s: Seconds after which a call is late.
    """

    def __init__(self, pass_pixels: int, patience_s: float = PATIENCE_S) -> None:
        self._pass_pixels = pass_pixels
        self._patience_s = patience_s
        self._pending: defaultdict[BatchKey, list[PendingCall]] = defaultdict(list)
        self._caps: dict[BatchKey, _Cap] = {}

    def __len__(self) -> int:
        """Number of pending calls."""
        return sum(map(len, self._pending.values()))

    def add(self, run: int, calls: Sequence[ModelCall], now: float) -> None:
        """Add the calls that a run has made together."""
        for index, call in enumerate(calls):
            self._pending[call.key].append(PendingCall(run, index, call, now))

    def drop(self, run: int) -> None:
        """Drop the pending calls of a run."""
        for key, calls in self._pending.items():
            self._pending[key] = [pending for pending in calls if pending.run != run]

    def put_back(self, batch: Sequence[PendingCall]) -> None:
        """Put back calls that were picked and could not be answered."""
        for pending in batch:
            self._pending[pending.call.key].append(pending)

    def pick(
        self, now: float, *, more_coming: bool, ready: Callable[[BatchKey], bool] = lambda key: True
    ) -> list[PendingCall]:
        """Take out the calls of the next forward pass.

        The key with the most overdue call goes first, then the one with the fullest batch. Within
        a key the oldest task goes first, so that tasks finish one after the other rather than all
        at the end.

        Args:
            now: Seconds, on the clock of `add`.
            more_coming: Generators are about to make calls, for which a batch may wait that is
                neither full nor late.
            ready: Whether the model of a key is loaded, or may be loaded now.

        Returns:
            Calls of one key; none if it is better to wait.
        """
        # Photographs of many sizes leave many keys behind.
        for key in [key for key, calls in self._pending.items() if not calls]:
            del self._pending[key]
        pending = {key: calls for key, calls in self._pending.items() if ready(key)}
        if not pending:
            return []
        late_s = {key: self._late_s(calls, now) for key, calls in pending.items()}
        filled = {key: min(1.0, len(calls) / self.cap(key)) for key, calls in pending.items()}
        key = max(pending, key=lambda key: (late_s[key], filled[key], -pending[key][0].since))
        if more_coming and not late_s[key] and filled[key] < 1:
            return []
        calls = sorted(pending[key], key=lambda call: self._rank(call, now))
        cap = self.cap(key)
        self._pending[key] = calls[cap:]
        return calls[:cap]

    def cap(self, key: BatchKey) -> int:
        """Largest batch of this key at present, in calls; at least 1."""
        return self._caps[key].current if key in self._caps else self._highest(key)

    def failed(self, key: BatchKey, size: int) -> None:
        """Note that a batch of this size did not fit: the cap becomes at most half of it."""
        highest = self._highest(key)
        cap = self._caps.setdefault(key, _Cap(highest, highest))
        if cap.successes == 0 and cap.current < cap.highest:
            # The doubled cap failed at once: try it again only after twice as many batches.
            cap.probe_after = min(2 * cap.probe_after, _PROBE_AFTER_AT_MOST)
        cap.current = max(1, min(cap.current, size // 2))
        cap.successes = 0

    def fitted(self, key: BatchKey, size: int) -> None:
        """Note that a batch of this size fitted: after some full ones a lowered cap is doubled."""
        cap = self._caps.get(key)
        if cap is None or cap.current == cap.highest or size < cap.current:
            return
        cap.successes += 1
        if cap.successes >= cap.probe_after:
            cap.current = min(cap.highest, 2 * cap.current)
            cap.successes = 0

    def _highest(self, key: BatchKey) -> int:
        """Largest batch that is worth one pass, in calls; at least 1."""
        return max(1, self._pass_pixels // key.pixels)

    def _late_s(self, calls: Sequence[PendingCall], now: float) -> float:
        """Seconds that the longest waiting call has waited if it is late, else 0."""
        waited_s = now - min(call.since for call in calls)
        return waited_s if waited_s > self._patience_s else 0.0

    def _rank(self, call: PendingCall, now: float) -> tuple[bool, float, int]:
        """Sort key: late calls by their age, then the others by task."""
        late = now - call.since > self._patience_s
        return (not late, call.since if late else call.run, call.index)
