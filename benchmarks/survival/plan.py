"""The plan of a run: rounds of work and faults, which follow from a seed alone.

How far a run comes with its plan depends on the machine; what it does in which order does not. When
a fault hits depends on the machine, too: no seed repeats that to the microsecond.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

import numpy as np
from numpy.random import Generator

T = TypeVar("T")

Mode = Literal["mixed", "kills", "disks", "images", "files", "time"]
Place = Literal["inbox", "scans", "kept", "gone"]
Fault = Literal[
    "kill daemon",
    "kill worker",
    "kill both",
    "stop worker",
    "stop daemon",
    "terminate",
    "full disk",
    "read-only disk",
    "unmounted disk",
    "locked ledger",
    "clock step",
    "removed lock",
]
Target = Literal["station", "outbox", "archive", "scans"]
Request = Literal[
    "retry", "redo", "pause", "resume", "reload", "change recipe", "status", "bulk controls"
]

MOUNT_FAULTS = ("full disk", "read-only disk", "unmounted disk")
"""Faults that need the right to mount."""

TINY = ("unfade", "unfade", "unfade", "quick", "twice", "tint")
"""Recipes of most photographs; the first is the cheapest."""

SHIPPED = ("denoise", "colorize", "restyle", "scratches", "super-resolve", "old-photo")
"""Shipped recipes of many network calls, which few photographs get."""


@dataclass(frozen=True)
class DropPhotos:
    """Single photographs.

    Attributes:
        seed: Of their content.
        count: How many.
        recipe: Their recipe where the place leaves it open; "" for `[match]`.
        place: Where they are dropped.
        slowly: They are written in pieces under their own names, not renamed into place.
        folder: Folder below that of the recipe.
    """

    seed: int
    count: int
    recipe: str = "unfade"
    place: Place = "inbox"
    slowly: bool = False
    folder: str = ""


@dataclass(frozen=True)
class DropMutated:
    """Damaged photographs, some of them in formats under a wrong name."""

    seed: int
    count: int
    recipe: str = "unfade"


@dataclass(frozen=True)
class DropGroups:
    """Photographs with what belongs to them.

    Attributes:
        what: Pairs, photographs with a mask, with hints, or with companions.
    """

    seed: int
    count: int
    what: Literal["pairs", "masks", "hints", "companions"]


@dataclass(frozen=True)
class DropOdd:
    """Things that are no photographs, or have names that programs stumble over."""

    seed: int


@dataclass(frozen=True)
class DropPrompts:
    """Prompt files for the recipe `picture`, of which every second one is hostile."""

    seed: int
    count: int


@dataclass(frozen=True)
class Submit:
    """A bulk job of photographs that stay where they are."""

    seed: int
    count: int
    recipe: str


@dataclass(frozen=True)
class Ask:
    """What people ask of the daemon by commands."""

    what: Request


@dataclass(frozen=True)
class HostileRequests:
    """Files in the folder of requests that are none, or ask for what must not be."""

    seed: int
    count: int


@dataclass(frozen=True)
class Strike:
    """A fault.

    Attributes:
        fault: Its kind.
        target: The disk, for faults of disks.
        seconds: How long it lasts, or how far the clock is stepped.
        work: What is dropped while it lasts.
        kill: The daemon is killed and started again while it lasts.
    """

    fault: Fault
    target: Target = "outbox"
    seconds: float = 0.0
    work: DropPhotos | None = None
    kill: bool = False


@dataclass(frozen=True)
class Wait:
    """Let the daemon work for a while.

    Attributes:
        seconds: How long.
        for_result: The time counts from the next result or failure, however slow the machine is.
    """

    seconds: float
    for_result: bool = False


Step = (
    DropPhotos
    | DropMutated
    | DropGroups
    | DropOdd
    | DropPrompts
    | Submit
    | Ask
    | HostileRequests
    | Strike
    | Wait
)


@dataclass(frozen=True)
class Round:
    """A part of the plan.

    Attributes:
        number: From 0.
        steps: What is done, one after the other.
        check: How the daemon comes to rest before all is checked; "" if this round goes on into the
            next one.
    """

    number: int
    steps: tuple[Step, ...]
    check: Literal["", "once", "idle"]


def rounds(seed: int, mode: Mode, *, count: int = 0) -> Iterator[Round]:
    """The plan of a run, without end.

    Args:
        seed: What it follows from.
        mode: Which work and faults.
        count: For "files": how many photographs in all.
    """
    number = 0
    while True:
        rng = np.random.default_rng((seed, number))
        match mode:
            case "mixed":
                yield _mixed(rng, number)
            case "kills":
                yield _kills(rng, number)
            case "disks":
                yield _disks(rng, number)
            case "images":
                yield Round(number, (_mutated(rng, 150), Wait(0.5)), _every(number, 4, "idle"))
            case "files":
                yield _files(rng, number, count)
            case "time":
                yield _time(rng, number)
        number += 1


def _mixed(rng: Generator, number: int) -> Round:
    """Work of every kind with faults between; every fourth round ends in a check.

    For half of the rounds the daemon itself is left alive, so that it grows old.
    """
    calm = number // 8 % 2 == 1
    steps: list[Step] = []
    for _ in range(int(rng.integers(2, 5))):
        steps.append(_work(rng))
        if rng.random() < 0.6:
            steps.append(_strike(rng, calm=calm))
        if rng.random() < 0.4:
            steps.append(Wait(_seconds(rng, 1.0), for_result=True))
    if rng.random() < 0.3:
        steps.append(Ask(_choice(rng, get_args(Request))))
    if rng.random() < 0.3:
        steps.append(HostileRequests(_seed(rng), int(rng.integers(2, 9))))
    return Round(number, tuple(steps), _every(number, 4, "once" if number % 8 == 3 else "idle"))


def _kills(rng: Generator, number: int) -> Round:
    """A few photographs, and kills at any time of the daemon's life, its start included."""
    steps: list[Step] = []
    for _ in range(4):
        steps.append(DropPhotos(_seed(rng), int(rng.integers(2, 9)), _choice(rng, TINY)))
        at_work = rng.random() < 0.5
        steps.append(Wait(_seconds(rng, 0.5 if at_work else 3.0), for_result=at_work))
        kills: tuple[Fault, ...] = ("kill daemon", "kill daemon", "kill worker", "kill both")
        steps.append(Strike(_choice(rng, kills)))
    return Round(number, tuple(steps), _every(number, 5, "idle" if number % 2 else "once"))


def _disks(rng: Generator, number: int) -> Round:
    """A few photographs, and disks that are full, read-only or away, with kills meanwhile."""
    steps: list[Step] = []
    for _ in range(3):
        steps.append(DropPhotos(_seed(rng), int(rng.integers(2, 9)), _choice(rng, TINY)))
        steps.append(Wait(_seconds(rng, 0.3), for_result=rng.random() < 0.5))
        fault: Fault = _choice(rng, ("full disk", "read-only disk", "unmounted disk"))
        targets: tuple[Target, ...] = ("outbox", "archive", "scans")
        if fault == "full disk":
            targets = (*targets, "station")
        work, kill = DropPhotos(_seed(rng), 3, _choice(rng, TINY)), rng.random() < 0.3
        steps.append(Strike(fault, _choice(rng, targets), _seconds(rng, 6.0), work, kill))
    return Round(number, tuple(steps), _every(number, 4, "idle" if number % 8 == 3 else "once"))


def _files(rng: Generator, number: int, count: int) -> Round:
    """All photographs at once, in a thousand a folder; the daemon is killed now and then."""
    steps: list[Step] = []
    if number == 0:
        steps = [
            DropPhotos(_seed(rng), 1000, "unfade", folder=f"{part:04}")
            for part in range(max(1, count // 1000))
        ]
    else:
        steps = [Wait(60.0), Strike(_choice(rng, ("kill daemon", "kill worker")))]
    return Round(number, tuple(steps), "")


def _time(rng: Generator, number: int) -> Round:
    """Photographs that wait for a window of the night, while the clock runs fast."""
    steps: list[Step] = [
        DropPhotos(_seed(rng), int(rng.integers(4, 17)), _choice(rng, ("night", "unfade"))),
        Wait(_seconds(rng, 4.0)),
    ]
    if rng.random() < 0.2:
        steps.append(Strike("kill daemon"))
    return Round(number, tuple(steps), "")


def _work(rng: Generator) -> Step:
    seed, count = _seed(rng), int(rng.integers(2, 13))
    kind = rng.random()
    if kind < 0.30:
        return DropPhotos(seed, count, _choice(rng, TINY), slowly=rng.random() < 0.2)
    if kind < 0.35:
        return DropPhotos(seed, 2, _choice(rng, SHIPPED))
    if kind < 0.40:
        return DropPhotos(seed, count, "")
    if kind < 0.55:
        places: tuple[Place, ...] = ("scans", "kept", "gone")
        return DropPhotos(seed, count, "", _choice(rng, places))
    if kind < 0.70:
        return _mutated(rng, 4 * count)
    if kind < 0.85:
        return DropGroups(seed, count, _choice(rng, ("pairs", "masks", "hints", "companions")))
    if kind < 0.89:
        return DropOdd(seed)
    if kind < 0.92:
        return DropPrompts(seed, 4)
    return Submit(seed, 2 * count, _choice(rng, TINY))


def _strike(rng: Generator, *, calm: bool) -> Strike:
    harmless: tuple[Fault, ...] = (
        *("kill worker", "stop worker", "full disk", "read-only disk", "unmounted disk"),
        *("locked ledger", "clock step", "removed lock", "stop daemon"),
    )
    deadly: tuple[Fault, ...] = ("kill daemon", "kill daemon", "kill both", "terminate")
    fault = _choice(rng, harmless if calm or rng.random() < 0.5 else deadly)
    if fault == "clock step":
        return Strike(
            fault, seconds=_choice(rng, (-86400.0, -3600.0, -30.0, 30.0, 3600.0, 86400.0))
        )
    targets: tuple[Target, ...] = ("outbox", "archive", "scans")
    if fault == "full disk":
        targets = (*targets, "station", "station")
    work = DropPhotos(_seed(rng), 3) if rng.random() < 0.5 else None
    kill = not calm and rng.random() < 0.2
    return Strike(fault, _choice(rng, targets), _seconds(rng, 3.0), work, kill)


def _mutated(rng: Generator, count: int) -> DropMutated:
    return DropMutated(_seed(rng), count, _choice(rng, ("unfade", "unfade", "unfade", "quick")))


def _every(
    number: int, rounds_apart: int, check: Literal["once", "idle"]
) -> Literal["", "once", "idle"]:
    return check if number % rounds_apart == rounds_apart - 1 else ""


def _choice(rng: Generator, values: tuple[T, ...]) -> T:
    return values[int(rng.integers(len(values)))]


def _seed(rng: Generator) -> int:
    return int(rng.integers(2**32))


def _seconds(rng: Generator, most: float) -> float:
    return round(float(rng.random()) * most, 3)
