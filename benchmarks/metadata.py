"""Metadata before and after: `python -m benchmarks.metadata FOLDER... [--format same]`.

Reads every photograph below the folders and writes it again, as a recipe does that changes no
pixel, and compares what exiftool (which must be installed) says of both files. It prints how many
tags are equal, how many are meant to differ and why (`benchmarks.intended_tags`), and every other
tag that is changed, lost or new. Real files come from the test suites of exiv2, libexif, ExifTool
and ExifReader.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

from benchmarks.intended_tags import STORED_AS, reason_for
from daemon.config.output import Output
from daemon.config.recipe import Recipe
from daemon.config.steps import Inpaint
from daemon.engine.result_writer import stage
from daemon.messages.tasks import Job
from daemon.photo import Limits, Photo, read_header
from daemon.photo.reading import read_picture
from daemon.system.errors import RestoredError

Tags = dict[str, str]
Change = Literal["changed", "lost", "new"]

_SHOWN = 70
"""Characters of a value that are printed."""

_OPTIONS = ("-q", "-j", "-G1", "-a", "-n", "-b")
"""JSON with groups, duplicates, numbers and whole binary values."""

_BATCH = 200
"""Files that one run of exiftool is given."""


@dataclass
class Comparison:
    """What became of the tags of all files.

    Attributes:
        files: Files that were written.
        refused: Files that are not read, with the reason.
        equal: Tags that are what they were.
        intended: By reason, tags that are meant to differ.
        differences: By kind and tag, the files with what was before and after.
        notes: By note, how many files have it.
    """

    files: int = 0
    refused: list[tuple[Path, str]] = field(default_factory=list)
    equal: int = 0
    intended: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    differences: dict[tuple[Change, str], list[tuple[Path, str, str]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    notes: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, path: Path, before: Tags, after: Tags, notes: Sequence[str]) -> None:
        """Compare the tags of a file before and after; the notes are those of its result."""
        for tag, value in before.items():
            if after.get(tag) == value:
                self.equal += 1
            elif reason := reason_for(tag, notes):
                self.intended[reason] += 1
            elif tag in after:
                self.differences["changed", tag].append((path, value, after[tag]))
            else:
                self.differences["lost", tag].append((path, value, ""))
        for tag, value in after.items():
            if tag not in before and not reason_for(tag, notes):
                self.differences["new", tag].append((path, "", value))


def tags_of(paths: Sequence[Path]) -> list[Tags]:
    """What exiftool says of files, by group and tag; nothing of one that it cannot read."""
    found: dict[str, Tags] = {}
    for start in range(0, len(paths), _BATCH):
        listed = "\n".join(str(path) for path in paths[start : start + _BATCH])
        command = ["exiftool", *_OPTIONS, "-@", "-"]
        ran = subprocess.run(command, input=listed.encode(), capture_output=True, check=False)
        text = ran.stdout.decode(errors="replace") or "[]"
        described: list[Mapping[str, object]] = json.loads(text, strict=False)
        found |= {
            str(one["SourceFile"]): {key: str(value) for key, value in one.items() if ":" in key}
            for one in described
        }
    return [found.get(str(path), {}) for path in paths]


def written_again(path: Path, recipe: Recipe, folder: Path) -> tuple[Path, tuple[str, ...]]:
    """Read a photograph and write it unchanged into a folder; the file, and all notes.

    Raises:
        RestoredError: It is not read.
    """
    limits = Limits()
    picture = read_picture(Photo(path, path.name, "", read_header(path, limits)), limits)
    folder.mkdir()
    job = Job("0" * 64, recipe, (), path.stem, 0, ("0" * 64,) * len(recipe.models))
    files, notes = stage([picture], job, folder)
    original = picture.original
    if original is not None and original.space.model in ("cmyk", "lab"):
        notes = (*notes, f"{STORED_AS} {original.space.model}")
    return files[0].path, (*picture.notes, *notes)


def _pool() -> ProcessPoolExecutor:
    """One process, since a decoder may crash."""
    return ProcessPoolExecutor(1, get_context("spawn"))


def compare(paths: Sequence[Path], recipe: Recipe, folder: Path) -> Comparison:
    """Write every photograph again below a folder and compare the tags."""
    comparison = Comparison()
    pairs: list[tuple[Path, Path]] = []
    notes_of: list[tuple[str, ...]] = []
    pool = _pool()
    for number, path in enumerate(paths):
        try:
            result, notes = pool.submit(written_again, path, recipe, folder / str(number)).result()
        except BrokenProcessPool:
            comparison.refused.append((path, "a decoder crashed"))
            pool = _pool()
            continue
        except RestoredError as error:
            comparison.refused.append((path, str(error)))
            continue
        except Exception as error:  # a fault of the program, to be seen beside the others
            comparison.refused.append((path, f"FAULT: {type(error).__name__}: {error}"))
            continue
        pairs.append((path, result))
        notes_of.append(notes)
        for note in notes:
            comparison.notes[note] += 1
    pool.shutdown()
    comparison.files = len(pairs)
    befores, afters = (tags_of([pair[side] for pair in pairs]) for side in (0, 1))
    for (path, _), before, after, notes in zip(pairs, befores, afters, notes_of, strict=True):
        comparison.add(path, before, after, notes)
    return comparison


def told(comparison: Comparison) -> Iterator[str]:
    """The lines of the report."""
    counts = dict.fromkeys(("changed", "lost", "new"), 0)
    for (kind, _), files in comparison.differences.items():
        counts[kind] += len(files)
    yield "| files | refused | tags equal | meant to differ | changed | lost | new |"
    yield "|---|---|---|---|---|---|---|"
    meant = sum(comparison.intended.values())
    yield (
        f"| {comparison.files} | {len(comparison.refused)} | {comparison.equal} | {meant} "
        f"| {counts['changed']} | {counts['lost']} | {counts['new']} |"
    )
    for reason, number in sorted(comparison.intended.items(), key=lambda one: -one[1]):
        yield f"meant to differ in {number}: {reason}"
    by_number = sorted(comparison.differences.items(), key=lambda one: (one[0][0], -len(one[1])))
    for (kind, tag), files in by_number:
        path, before, after = files[0]
        yield f"{kind} {tag} in {len(files)}: {_short(before)} -> {_short(after)} ({path.name})"
    for note, number in sorted(comparison.notes.items(), key=lambda one: -one[1]):
        yield f"note in {number}: {note}"
    for path, why in comparison.refused:
        yield f"refused: {path.name}: {_short(why)}"


def _short(value: str) -> str:
    return repr(value if len(value) <= _SHOWN else f"{value[:_SHOWN]}…")


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--format", default="same")
    parser.add_argument("--to", type=Path, help="folder that keeps what is written")
    given = parser.parse_args()
    paths = sorted(path for folder in given.folders for path in folder.rglob("*") if path.is_file())
    recipe = Recipe(name="identity", steps=(Inpaint(),), output=Output(format=given.format))
    with tempfile.TemporaryDirectory() as folder:
        for line in told(compare(paths, recipe, given.to or Path(folder))):
            sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
