"""Measured results of programs on photographs, kept in a JSON file and shown as tables.

One file holds what was measured at different times: other programs once, restored whenever its
networks change. Every entry has its date and version.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import mean, median

OURS = "restored"
"""How the names of our programs begin."""


@dataclass(frozen=True)
class Entry:
    """How good one program is on one kind of damage and one set of photographs.

    Attributes:
        psnr: In dB against the true picture, by photograph.
        ssim: Against the true picture, by photograph.
        ciede2000: Mean difference of the colours, by photograph; 1 can just be seen. Empty where
            colours are not judged.
        colourfulness: Of the result, by photograph; empty where colours are not judged.
        cpu_s: Processor seconds by photograph, all threads together; other processes do not count.
        megabytes: Weights on disk, in 10^6 bytes.
        least: Least PSNR, where no PSNR by photograph is known.
        version: What was measured.
        day: Date of the measurement, such as "2026-11-28".
    """

    psnr: Mapping[str, float] = field(default_factory=dict)
    ssim: Mapping[str, float] = field(default_factory=dict)
    ciede2000: Mapping[str, float] = field(default_factory=dict)
    colourfulness: Mapping[str, float] = field(default_factory=dict)
    cpu_s: Mapping[str, float] = field(default_factory=dict)
    megabytes: float = 0.0
    least: float | None = None
    version: str = ""
    day: str = ""


Trials = dict[str, dict[str, Entry]]
"""Entries by kind of damage and program."""


class Measurements:
    """The entries of a JSON file, by set of photographs, kind of damage and program."""

    def __init__(self, file: Path) -> None:
        self._file = file
        text = file.read_text("utf-8") if file.exists() else "{}"
        self.sets: dict[str, Trials] = {
            name: {
                trial: {program: Entry(**entry) for program, entry in programs.items()}
                for trial, programs in trials.items()
            }
            for name, trials in json.loads(text).items()
        }

    def add(self, name: str, trial: str, program: str, entry: Entry) -> None:
        """Put in one entry in place of an earlier one, and save the file."""
        self.sets.setdefault(name, {}).setdefault(trial, {})[program] = entry
        plain = {
            one: {
                kind: {program: asdict(entry) for program, entry in programs.items()}
                for kind, programs in trials.items()
            }
            for one, trials in self.sets.items()
        }
        self._file.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")


def table(sets: Mapping[str, Trials], trial: str, order: Sequence[str]) -> str:
    """The Markdown table of one kind of damage.

    Args:
        sets: Entries; the first set has all columns, the others PSNR and CIEDE2000.
        trial: The kind of damage.
        order: Names of programs in the order of the rows.
    """
    first, *others = sets
    main = sets[first].get(trial, {})
    colour = any(entry.ciede2000 for entry in main.values())
    titles = ["program", "PSNR, dB", "least", "SSIM"]
    titles += ["CIEDE2000", "colourfulness"] * colour
    for other in others:
        titles += [f"{other}, dB"] + [f"{other}, CIEDE2000"] * colour
    titles += ["CPU s", "MB"]
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for program in order:
        if program in main and (main[program].psnr or main[program].colourfulness):
            rest = [sets[other].get(trial, {}).get(program, Entry()) for other in others]
            lines.append(f"| {' | '.join(_row(program, main[program], rest, colour=colour))} |")
    return "\n".join(lines)


def _row(program: str, entry: Entry, rest: Sequence[Entry], *, colour: bool) -> list[str]:
    values = [program, _mean(entry.psnr, 2), _least(entry), _mean(entry.ssim, 3)]
    if colour:
        values += [_mean(entry.ciede2000, 2), _mean(entry.colourfulness, 1)]
    for other in rest:
        values.append(_mean(other.psnr, 2))
        if colour:
            values.append(_mean(other.ciede2000, 2))
    cpu_s = f"{median(entry.cpu_s.values()):.2f}" if entry.cpu_s else ""
    return [*values, cpu_s, f"{entry.megabytes:.1f}" if entry.megabytes else ""]


def _mean(values: Mapping[str, float], digits: int) -> str:
    return f"{mean(values.values()):.{digits}f}" if values else ""


def _least(entry: Entry) -> str:
    if entry.least is not None:
        return f"{entry.least:.2f}"
    return f"{min(entry.psnr.values()):.2f}" if entry.psnr else ""
