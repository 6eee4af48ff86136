"""A run: carries out a plan for as long as there is time, and checks that nothing was lost."""

import contextlib
import os
import shutil
import signal
import stat
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, assert_never

import numpy as np

from benchmarks.survival.faults import Faults
from benchmarks.survival.invariant import Dropped, Found, Violation, changes, check, tree_state
from benchmarks.survival.plan import (
    Ask,
    DropGroups,
    DropMutated,
    DropOdd,
    DropPhotos,
    DropPrompts,
    HostileRequests,
    Round,
    Step,
    Strike,
    Submit,
    Wait,
)
from benchmarks.survival.process import DaemonProcess, Ended
from benchmarks.survival.work import Book, Dropper, hostile_requests
from benchmarks.survival.world import QUICK, World

_REST_S = 240.0
"""Seconds without any progress at rest after which what is not done counts as stuck."""

_ONCE_S = 600.0
"""Seconds after which a `once` has not ended."""

_RESULT_S = 30.0
"""Seconds for which a step of the plan waits for a result."""

_MANY = 5000
"""Files from which on nothing is looked at after each kill, as that takes longer than a start."""

_GOOD_CODES = (0, 64, 65, 75, 78)
"""Exit codes of a command that is not a bug, whatever the disks were like."""

_EVIDENCE = 3
"""Broken invariants of which the station is copied."""


@dataclass
class Tally:
    """What a run came to.

    Attributes:
        rounds: Rounds of the plan that were carried out.
        checks: Times at which everything was checked at rest.
        looks: Times at which everything was looked at between a kill and the next start.
        ended: Photographs that were found to have ended well, restored or failed.
        restored: Those of them that have a result.
        failures: How many photographs failed, by the beginning of the reason.
        once: How each `once` ended.
        commands: How many commands ended with which code.
        requests: Hostile requests by kind.
        violations: What must not be.
    """

    rounds: int = 0
    checks: int = 0
    looks: int = 0
    ended: int = 0
    restored: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    once: list[Ended] = field(default_factory=list)
    commands: Counter[str] = field(default_factory=Counter)
    requests: Counter[str] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)


class Run:
    """Carries out rounds on one world; closed by `close`."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.book = Book()
        self.tally = Tally()
        self.daemon = DaemonProcess(world)
        self.faults = Faults(world, self.daemon, self._look)
        self._dropper = Dropper(world, self.book)
        self._guarded = tree_state(world.guarded)
        self._around = _names_around(world)
        self._versions = 0
        self._paused: set[str] = set()

    def carry_out_plan(self, planned: Iterator[Round], *, until: float, cycles: int | None) -> None:
        """Carry out rounds until the time is over, then check everything once more.

        Args:
            planned: The plan.
            until: Monotonic seconds.
            cycles: Most rounds; None: as many as there is time for.
        """
        for one in planned:
            if time.monotonic() >= until or (cycles is not None and self.tally.rounds >= cycles):
                break
            self.carry_out(one)
        self.check("idle")

    def carry_out(self, planned: Round) -> None:
        """Carry out one round, and check everything if it says so."""
        self._say(f"round {planned.number}")
        for step in planned.steps:
            self._revive()
            self._do(step)
        self.tally.rounds += 1
        if planned.check:
            self.check(planned.check)

    def check(self, how: Literal["once", "idle"]) -> None:
        """Heal all faults, bring the daemon to rest, check, and take away what ended well."""
        self.world.heal()
        self._command("resume")
        for name in self._paused:
            self._command("bulk", "resume", name)
        self._paused.clear()
        found = self._at_rest_by_once() if how == "once" else self._at_rest()
        self.tally.checks += 1
        self.note(found.violations)
        self.note(changes(self._guarded, tree_state(self.world.guarded)))
        self.note(changes(self._around, _names_around(self.world)))
        self._take_away(found)
        self.daemon.start()

    def close(self) -> None:
        """End the daemon."""
        self.world.heal()
        self.daemon.close()

    def _do(self, step: Step) -> None:
        match step:
            case DropPhotos():
                self._dropper.photos(step)
            case DropMutated():
                self._dropper.mutated(step)
            case DropGroups():
                self._dropper.groups(step)
            case DropOdd():
                self._dropper.odd(step)
            case DropPrompts():
                self._dropper.prompts(step)
            case Submit():
                self._dropper.submit(step)
            case Ask():
                self._ask(step)
            case HostileRequests():
                rng = np.random.default_rng(step.seed)
                self.tally.requests.update(hostile_requests(rng, step.count, self.world))
            case Strike():
                work = step.work
                meanwhile = (lambda: self._dropper.photos(work)) if work else (lambda: None)
                self._say(f"strike {step.fault} {step.target} {step.seconds:g}")
                self.note(self.faults.strike(step, meanwhile))
            case Wait():
                self._wait(step)
            case _:
                assert_never(step)

    def _look(self) -> list[Violation]:
        """What must not be, not even for a moment, after a kill."""
        if len(self.book.files) > _MANY:
            return []
        self.tally.looks += 1
        return check(self._files(), self.world.places, at_rest=False).violations

    def _wait(self, wait: Wait) -> None:
        before, until = self._ended(), time.monotonic() + _RESULT_S
        while wait.for_result and time.monotonic() < until and self._waits_for():
            if self._ended() != before:
                break
            time.sleep(0.05)
        time.sleep(wait.seconds)

    def _ask(self, ask: Ask) -> None:
        match ask.what:
            case "reload":
                self.daemon.send(signal.SIGHUP, daemon=True, worker=False)
            case "change recipe":
                self._versions += 1
                recipe = self.world.station_root / "recipes/quick.toml"
                with contextlib.suppress(OSError):
                    recipe.write_text(QUICK.format(sigma=5 + self._versions % 40))
                self.daemon.send(signal.SIGHUP, daemon=True, worker=False)
            case "bulk controls":
                for name in list(self.book.bulk)[-1:]:
                    word = ("pause", "retry", "cancel", "resume")[len(self.book.bulk) % 4]
                    if word == "cancel":
                        self.book.cancel(name)
                    if word == "pause":
                        self._paused.add(name)
                    self._command("bulk", word, name)
            case "retry" | "redo" | "pause" | "resume" | "status":
                self._command(ask.what)
            case _:
                assert_never(ask.what)

    def _command(self, *arguments: str) -> None:
        ended = self.daemon.command(*arguments)
        self.tally.commands[f"{arguments[0]}: {ended.code}"] += 1
        if ended.code not in _GOOD_CODES:
            words = " ".join(arguments)
            self.note([Violation("command", words, f"ended with {ended.code}")])

    def _revive(self) -> None:
        """Start the daemon if it is not there: it may give up while a disk is full."""
        code = self.daemon.ended_by_itself()
        if code is not None:
            self.tally.commands[f"run: {code}"] += 1
            if code not in (0, 75):
                self.note([Violation("ended", "daemon", f"by itself, with {code}")])
        self.daemon.start()

    def _at_rest(self) -> Found:
        """What is found once the daemon at work has nothing left to do."""
        last, since = -1, time.monotonic()
        while True:
            self._revive()
            found, began = Found(), time.monotonic()
            if not self._waits_for():
                found = check(self._files(), self.world.places, at_rest=True)
                if not found.violations:
                    return found
            progress = self._progress()
            if progress != last:
                last, since = progress, time.monotonic()
            elif time.monotonic() - since > _REST_S:
                return check(self._files(), self.world.places, at_rest=True)
            looked_s = time.monotonic() - began  # many files are not looked at all the time
            time.sleep(max(2.0 if found.violations else 0.3, 5 * looked_s))

    def _at_rest_by_once(self) -> Found:
        """What is found after `once`, which ends with nothing left to do."""
        self.daemon.stop()
        found = Found()
        for _ in range(4):
            ended = self.daemon.once(_ONCE_S)
            self.tally.once.append(ended)
            if ended.code not in (0, 65, 75):
                why = f"{ended.code} after {ended.seconds:.0f} s"
                self.note([Violation("once", "did not end well", why)])
            found = check(self._files(), self.world.places, at_rest=True)
            if not found.violations and not self._waits_for():
                break
            time.sleep(1.5)  # a file that came a moment ago settles
        return found

    def _waits_for(self) -> list[Path]:
        """What a daemon at rest has nothing left of: requests, work, photographs to be claimed."""
        station = self.world.station
        waiting = list(station.requests.glob("[!.]*.json"))
        waiting += [Path(name) for names in _walk(station.work) for name in names]
        waiting += [
            path
            for digest, path in self.book.paths.items()
            if self.book.files[digest].originals != "leave" and not self.book.files[digest].waits
            if os.path.lexists(path)
        ]
        return waiting

    def _progress(self) -> int:
        """A number that changes while the daemon gets on, but not while it tries in vain."""
        work = [name for names in _walk(self.world.station.work) for name in names]
        return hash((tuple(sorted(work)), self._ended(), len(self._waits_for())))

    def _ended(self) -> int:
        """How many files there are in outboxes and in failed/."""
        places = self.world.places
        return sum(len(names) for at in (*places.outboxes, places.failed) for names in _walk(at))

    def _files(self) -> list[Dropped]:
        return list(self.book.files.values())

    def _take_away(self, found: Found) -> None:
        """Empty outbox, archive and failed/ of what ended, as people do; forget it."""
        for lead in found.ended:
            self.tally.ended += 1
            self.tally.restored += lead in found.restored
            if lead in found.failed:
                self.tally.failures[found.failed[lead].split(": ")[-1][:60]] += 1
        for path in found.files:
            path.unlink(missing_ok=True)
        for path in self.book.forget({one.lead for one in self._files()}):
            path.unlink(missing_ok=True)
        self.book.bulk.clear()
        for folder in (self.world.station.inbox, *self.world.watched):
            _clear(folder)

    def note(self, violations: list[Violation]) -> None:
        """Print and keep what must not be; copies the station's state the first times."""
        for one in violations:
            print(f"BROKEN {one.what}: {one.photo!r}: {one.why}", flush=True)
            self._say(f"BROKEN {one}")
        if violations and len(list(self.world.root.glob("evidence-*"))) < _EVIDENCE:
            number = len(self.tally.violations)
            target = self.world.root / f"evidence-{number}"
            with contextlib.suppress(OSError, shutil.Error):
                shutil.copytree(self.world.station.state, target)
        self.tally.violations += violations

    def _say(self, text: str) -> None:
        """Write a line into the daemon's log, so that the two can be read together."""
        with self.world.log.open("a") as log:
            log.write(f"--- {time.strftime('%H:%M:%S', time.gmtime())} {text!r}\n")


def _names_around(world: World) -> dict[str, str]:
    """The names beside the station, and which of its own folders and settings there are."""
    ours = {"evidence", "daemon.log"}
    names = {path.name: "there" for path in world.root.iterdir()}
    kept = {name: value for name, value in names.items() if name.split("-")[0] not in ours}
    return {name: value for name, value in kept.items() if not name.endswith("-results")}


def _walk(folder: Path) -> Iterator[list[str]]:
    for _, _, files in os.walk(folder):
        yield files


def _clear(inbox: Path) -> None:
    """Remove what is left in an inbox: links, FIFOs, sockets, empty files and folders."""
    for folder, folders, files in os.walk(inbox, topdown=False):
        for name in files + [name for name in folders if Path(folder, name).is_symlink()]:
            path = Path(folder, name)
            if not stat.S_ISREG(path.lstat().st_mode) or path.lstat().st_size == 0:
                path.unlink(missing_ok=True)
        if Path(folder).parent != inbox and Path(folder) != inbox:
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
