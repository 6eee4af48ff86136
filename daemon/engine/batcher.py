"""The batcher: which pending calls share the next forward pass.

Calls of one `BatchKey` may share a pass. How many do is capped by what is worth putting through one
pass, by the measured memory of a row, and by what fitted before. The batcher never touches a
tensor.

Its rules, where a call's pass is the pass of its key, whose time is measured:

- A key is late once a call of it has waited longer than its pass takes since the call was made or
  the last pass of the key ended. Late keys go first, the one that is late for longest before the
  others. So a short pass, such as that of a prompt, waits for the pass that runs and hardly for a
  second one, and keys that always have calls share the device's time equally.
- Of keys that are not late the one with the fullest batch goes first.
- A pass that is not full waits a moment for runs that are about to make calls of its key, so that
  the runs that shared the last pass share the next one, with whoever came in between.
- Where more calls wait than a pass holds, the runs with the least left to do go first: a short
  newcomer overtakes long runs, and of equal runs the oldest ends first. A run that was passed over
  for three times the passes that all pending calls need goes before them.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from daemon.engine.pass_memory import PassMemory
from daemon.engine.pass_times import PassTimes
from daemon.models.calls import BatchKey, ModelCall

LINGER_S = 0.02
"""Seconds the device may idle, at least, for runs that would fill a batch; a pass takes 0.1 s."""

MOST_LINGER_S = 0.25
"""Seconds it may idle for them at most."""

_LINGER_SHARE = 0.25
"""Share of a pass that the device may idle for runs whose last calls had its key."""

NEWCOMER_SHARE = 0.1
"""Share of a pass that it may idle for runs whose next calls may have any key."""

_ROUNDS = 3
"""Rounds after which a run that is passed over goes first; a round is as many passes as all pending
calls of the key need."""

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


@dataclass(frozen=True, slots=True)
class Choice:
    """What the device does next.

    Attributes:
        batch: Calls of one key; none if it is better to wait.
        wait_s: Seconds after which to ask again if no event comes before; None if only an event
            changes anything.
    """

    batch: list[PendingCall]
    wait_s: float | None = None


@dataclass
class _Cap:
    """Largest batch of one key, in rows: lowered by failures, raised again after some successes."""

    highest: int
    current: int
    probe_after: int = _PROBE_AFTER
    successes: int = 0


@dataclass
class _Progress:
    """How far a run is.

    Attributes:
        rows: Rows of its last calls, by key: its next ones are probably like them.
        t: Diffusion time of its last calls; the latest if they differ.
        turns_left: How often it will probably make calls like its last ones.
        passed_over: Passes of its key since a call of it was taken.
    """

    rows: dict[BatchKey, int] = field(default_factory=dict)
    t: float = 0.0
    turns_left: float = 0.0
    passed_over: int = 0

    def next_turn(self, calls: Sequence[ModelCall]) -> None:
        """Note the next calls of the run."""
        t, before = max((call.t for call in calls), default=0.0), self.t
        # Angles that fall tell how many more will; what has just begun is let in first.
        self.turns_left = t / (before - t) if 0 < t < before else 0.0
        self.rows = defaultdict(int)
        for call in calls:
            self.rows[call.key] += call.rows
        self.t = t
        self.passed_over = 0

    def rows_left(self, key: BatchKey) -> float:
        """Rows of a key that the run probably still needs."""
        return self.rows.get(key, 0) * (1 + self.turns_left)


@dataclass(frozen=True)
class _Group:
    """The pending calls of a key, as they stand now.

    Attributes:
        key: Their key.
        filled: Share of a full batch that they make, (0, 1].
        deadline: When they are late, in seconds on the monotonic clock.
        waits_until: Until when it is better to wait for more of them.
    """

    key: BatchKey
    filled: float
    deadline: float
    waits_until: float


class Batcher:
    """The pending calls by key, and the cap of each key.

    Args:
        pass_pixels: Pixels worth putting through one forward pass.
        memory: Measured memory of passes.
    """

    def __init__(self, pass_pixels: int, memory: PassMemory | None = None) -> None:
        self._pass_pixels = pass_pixels
        self._memory = memory or PassMemory()
        self._pending: defaultdict[BatchKey, list[PendingCall]] = defaultdict(list)
        self._caps: dict[BatchKey, _Cap] = {}
        self._runs: dict[int, _Progress] = {}
        self._times = PassTimes()
        self._idle_since = -math.inf

    def __len__(self) -> int:
        """Number of pending calls."""
        return sum(map(len, self._pending.values()))

    def add(self, run: int, calls: Sequence[ModelCall], now: float) -> None:
        """Add the calls that a run has made together."""
        if not len(self):
            self._idle_since = now
        self._runs.setdefault(run, _Progress()).next_turn(calls)
        for index, call in enumerate(calls):
            self._pending[call.key].append(PendingCall(run, index, call, now))

    def drop(self, run: int) -> None:
        """Drop the pending calls of a run, which will make no more."""
        self._runs.pop(run, None)
        for key, calls in self._pending.items():
            self._pending[key] = [pending for pending in calls if pending.run != run]

    def put_back(self, batch: Sequence[PendingCall]) -> None:
        """Put back calls that were picked and could not be answered."""
        for pending in batch:
            self._pending[pending.call.key].append(pending)

    def pick(
        self,
        now: float,
        *,
        generating: Collection[int] = (),
        ready: Callable[[BatchKey], bool] = lambda key: True,
    ) -> Choice:
        """Take out the calls of the next forward pass.

        Args:
            now: Seconds, on the clock of `add`.
            generating: Runs that are about to make calls, or to end.
            ready: Whether the model of a key is loaded, or may be loaded now.
        """
        # Photographs of many sizes leave many keys behind.
        for key in [key for key, calls in self._pending.items() if not calls]:
            del self._pending[key]
        groups = [self._group(key, now, generating) for key in self._pending if ready(key)]
        if not groups:
            return Choice([])
        due = [group for group in groups if group.waits_until <= now]
        if not due:
            return Choice([], min(group.waits_until for group in groups) - now)
        late = [group for group in due if group.deadline <= now]
        if late:
            chosen = min(late, key=lambda group: group.deadline)
        else:
            chosen = max(due, key=lambda group: (group.filled, -group.deadline))
        return Choice(self._take(chosen.key))

    def cap(self, key: BatchKey) -> int:
        """Largest batch of this key at present, in rows; at least 1."""
        cap = self._caps[key].current if key in self._caps else self._highest(key)
        fitting = self._memory.most_rows(key)
        return cap if fitting is None else min(cap, fitting)

    def failed(self, key: BatchKey, rows: int) -> None:
        """Note that a batch of so many rows did not fit: the cap becomes at most half of it."""
        highest = self._highest(key)
        cap = self._caps.setdefault(key, _Cap(highest, highest))
        if cap.successes == 0 and cap.current < cap.highest:
            # The doubled cap failed at once: try it again only after twice as many batches.
            cap.probe_after = min(2 * cap.probe_after, _PROBE_AFTER_AT_MOST)
        cap.current = max(1, min(cap.current, rows // 2))
        cap.successes = 0

    def fitted(self, key: BatchKey, rows: int) -> None:
        """Note that a batch of so many rows fitted: after full ones a lowered cap is doubled."""
        cap = self._caps.get(key)
        if cap is None or cap.current == cap.highest or rows < cap.current:
            return
        cap.successes += 1
        if cap.successes >= cap.probe_after:
            cap.current = min(cap.highest, 2 * cap.current)
            cap.successes = 0

    def passed(self, key: BatchKey, seconds: float, now: float) -> None:
        """Note that a pass of a key took so long and has ended now."""
        self._times.note(key, seconds, now)
        self._idle_since = now

    def _highest(self, key: BatchKey) -> int:
        """Largest batch that is worth one pass, in rows; at least 1."""
        return max(1, self._pass_pixels // key.pixels)

    def _group(self, key: BatchKey, now: float, generating: Collection[int]) -> _Group:
        calls, pass_s = self._pending[key], self._times.seconds(key)
        filled = min(1.0, rows_of(calls) / self.cap(key))
        ended_s = self._times.ended_s(key)
        since = max(ended_s, min(pending.since for pending in calls))
        deadline = since + max(LINGER_S, pass_s)
        waits_until = now
        if filled < 1 and generating:
            runs = [self._runs.get(run) for run in generating]
            if any(run is not None and key in run.rows for run in runs):
                linger_s = min(MOST_LINGER_S, max(LINGER_S, _LINGER_SHARE * pass_s))
                waits_until = ended_s + linger_s
            elif deadline > now:
                linger_s = min(LINGER_S, NEWCOMER_SHARE * pass_s) if pass_s else LINGER_S
                waits_until = self._idle_since + linger_s
        return _Group(key, filled, deadline, waits_until)

    def _take(self, key: BatchKey) -> list[PendingCall]:
        """Take the calls of the next pass of a key out: at least one, and as many as the cap."""
        calls, cap = self._pending[key], self.cap(key)
        patience = _ROUNDS * math.ceil(rows_of(calls) / cap)
        batch: list[PendingCall] = []
        left: list[PendingCall] = []
        rows = 0
        for pending in sorted(calls, key=lambda pending: self._rank(pending, patience)):
            if batch and rows + pending.call.rows > cap:
                left.append(pending)
            else:
                batch.append(pending)
                rows += pending.call.rows
        self._pending[key] = left
        taken = {pending.run for pending in batch}
        for run in {pending.run for pending in left} - taken:
            self._runs[run].passed_over += 1
        for run in taken:
            self._runs[run].passed_over = 0
        return sorted(batch, key=lambda pending: (pending.run, pending.index))

    def _rank(self, pending: PendingCall, patience: int) -> tuple[bool, float, int, int]:
        """Sort key: runs passed over for too long by their age, then those with the least left."""
        run = self._runs[pending.run]
        late = run.passed_over >= patience
        first = pending.since if late else run.rows_left(pending.call.key)
        return (not late, first, pending.run, pending.index)


def rows_of(calls: Sequence[PendingCall]) -> int:
    """Rows that these calls take in a pass."""
    return sum(pending.call.rows for pending in calls)
