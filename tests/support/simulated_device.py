"""A device with a clock of its own, on which the batcher's choices are played through.

Runs make their calls, passes take as long as a table says, and nothing waits for real time.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from daemon.engine.batcher import Batcher, rows_of
from daemon.models.calls import BatchKey, ModelCall

Turns = Sequence[Sequence[ModelCall]]
"""The calls of a run, turn by turn: a turn is made once the one before is answered."""


@dataclass(frozen=True)
class SimulatedPass:
    """A pass: when it began, what it computed, and for which runs."""

    began_s: float
    ended_s: float
    key: BatchKey
    runs: tuple[int, ...]
    longest_wait_s: float

    @property
    def seconds(self) -> float:
        return self.ended_s - self.began_s

    @property
    def operation(self) -> str:
        return self.key.operation


@dataclass
class _Run:
    turns: Turns
    next_at_s: float
    turn: int = 0
    missing: int = 0


@dataclass
class SimulatedDevice:
    """Runs on one device.

    Attributes:
        batcher: What chooses the passes.
        pass_s: (key, rows) -> seconds of a pass.
        host_s: Seconds from the answers of a turn to the calls of the next.
        passes: Every pass, in order.
        ended_s: When each run ended, by its number.
    """

    batcher: Batcher
    pass_s: Callable[[BatchKey, int], float]
    host_s: float = 0.001
    passes: list[SimulatedPass] = field(default_factory=list)
    ended_s: dict[int, float] = field(default_factory=dict)
    _runs: dict[int, _Run] = field(default_factory=dict)

    def arrive(self, run: int, at_s: float, turns: Turns) -> None:
        """Let a run come at a time."""
        self._runs[run] = _Run(turns, at_s)

    def play(self, until_s: float = math.inf) -> None:
        """Play until every run has ended, or until a time."""
        now = 0.0
        while self._runs and now < until_s:
            self._make_calls(now)
            generating = [
                number
                for number, run in self._runs.items()
                if not run.missing and (run.turn or run.next_at_s <= now)
            ]
            choice = self.batcher.pick(now, generating=generating)
            if choice.batch:
                key = choice.batch[0].call.key
                ended = now + self.pass_s(key, rows_of(choice.batch))
                waits = [now - pending.since for pending in choice.batch]
                runs = tuple(pending.run for pending in choice.batch)
                self.passes.append(SimulatedPass(now, ended, key, runs, max(waits)))
                now = ended
                self.batcher.passed(key, self.passes[-1].seconds, now)
                for number in runs:
                    self._answer(number, now)
            else:
                events = [run.next_at_s for run in self._runs.values() if not run.missing]
                asked_again = math.inf if choice.wait_s is None else now + choice.wait_s
                now = min([*events, asked_again])

    def _make_calls(self, now: float) -> None:
        for number, run in list(self._runs.items()):
            if run.missing or run.next_at_s > now:
                continue
            if run.turn == len(run.turns):
                self.ended_s[number] = now
                self.batcher.drop(number)
                del self._runs[number]
                continue
            run.missing = len(run.turns[run.turn])
            self.batcher.add(number, run.turns[run.turn], now)

    def _answer(self, number: int, now: float) -> None:
        run = self._runs[number]
        run.missing -= 1
        if not run.missing:
            run.turn += 1
            run.next_at_s = now + self.host_s
