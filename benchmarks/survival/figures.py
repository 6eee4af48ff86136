"""Figures of a run: what was done, what was found, and whether the daemon grew."""

from collections.abc import Sequence

import numpy as np

from benchmarks.measuring import Row
from benchmarks.survival.invariant import Violation
from benchmarks.survival.process import Vitals
from benchmarks.survival.run import Run

_YOUNG_S = 15.0
"""Seconds of a daemon's life that do not count for its growth: it starts."""

_OLD_S = 45.0
"""Shortest life in seconds that tells of growth."""

_MAX_DESCRIPTORS = 12
"""Descriptors that a daemon may gain: a second event, a request, a report being drawn."""

_MAX_GROWTH_MB = 40.0
"""Memory that a daemon may gain in a life of at most half an hour."""


def rows_of(run: Run, seconds: float) -> list[Row]:
    """What a run came to, as rows of a table."""
    tally, book, faults = run.tally, run.book, run.faults.counts
    kills = sum(faults[kind] for kind in ("kill daemon", "kill worker", "kill both"))
    made = sum(number for kind, number in faults.items() if not kind.startswith("skipped"))
    dropped = {name: number for name, number in book.counts.items() if "mutated" not in name}
    mutated = {
        name.removeprefix("mutated "): number
        for name, number in book.counts.items()
        if "mutated" in name
    }
    longest = max((ended.seconds for ended in tally.once), default=0.0)
    rows = [
        Row(
            "time",
            f"{seconds / 60:.1f} min, {tally.rounds} rounds; checked {tally.checks} times at rest, "
            f"{tally.looks} times after a kill",
        ),
        Row("dropped", _listed(dropped)),
        Row("mutated images", f"{sum(mutated.values())}: {_listed(mutated)}", "10,000"),
        Row("ended", f"{tally.ended}: {tally.restored} restored", "every one"),
        Row("failed, by reason", _listed(dict(tally.failures.most_common(12)))),
        Row("kills", f"{kills} of {made} faults", "500"),
        Row("faults", _listed(faults)),
        Row("hostile requests", str(sum(tally.requests.values()))),
        Row("commands", _listed(tally.commands)),
        Row("`once`", f"{len(tally.once)}, longest {longest:.0f} s", "every one ended"),
    ]
    rows += _growth_rows(run.daemon.lives)
    rows.append(Row("broken invariants", str(len(tally.violations)), "0"))
    return rows


def growth(lives: Sequence[Sequence[Vitals]]) -> list[Violation]:
    """Daemons that gained descriptors or memory without end."""
    found = []
    for life in map(_grown, lives):
        if len(life) < 2 or life[-1].at - life[0].at < _OLD_S - _YOUNG_S:
            continue
        third = max(1, len(life) // 3)
        early = np.median([one.descriptors for one in life[:third]])
        late = np.median([one.descriptors for one in life[-third:]])
        if late - early > _MAX_DESCRIPTORS:
            found.append(Violation("descriptors", "daemon", f"{early:.0f} -> {late:.0f}"))
        lighter = float(np.median([one.memory_mb for one in life[:third]]))
        heavier = float(np.median([one.memory_mb for one in life[-third:]]))
        if heavier - lighter > _MAX_GROWTH_MB:
            found.append(Violation("memory", "daemon", f"{lighter:.0f} -> {heavier:.0f} MB"))
    return found


def _growth_rows(lives: Sequence[Sequence[Vitals]]) -> list[Row]:
    """The longest life: descriptors and memory, and how they grew."""
    longest = _grown(max(lives, key=_length_s, default=[]))
    if len(longest) < 10:
        return [Row("descriptors and memory", "no daemon lived long enough to tell")]
    minutes = [(one.at - longest[0].at) / 60 for one in longest]
    rows = []
    for what, values in (
        ("descriptors", [one.descriptors for one in longest]),
        ("memory, MB", [one.memory_mb for one in longest]),
    ):
        slope = float(np.polyfit(minutes, values, 1)[0])
        spread = f"{min(values):.0f} to {max(values):.0f}, slope {slope:+.3f} a minute"
        rows.append(Row(what, f"{spread}, in a life of {minutes[-1]:.1f} min", "flat"))
    return rows


def _length_s(life: Sequence[Vitals]) -> float:
    return life[-1].at - life[0].at if life else 0.0


def _grown(life: Sequence[Vitals]) -> list[Vitals]:
    """A life without its start."""
    return [one for one in life if one.at - life[0].at >= _YOUNG_S]


def _listed(counts: "dict[str, int]") -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(counts.items())) or "none"
