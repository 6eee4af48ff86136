"""The rule for file names that belong together: side files and the halves of pairs.

This is the only place that knows it; inbox, redo, retry, bulk jobs, `apply` and estimates ask here.

A side file is called after its photograph: NAME.mask.png or NAME.hints.png, where NAME is the
photograph's name with or without its suffix. NAME is compared exactly but for the Unicode form (a
Mac decomposes accents, others do not), the rest in any capitals.
Where several files could serve, the one called after the name without suffix is used, and of those
the first in order of names.

The halves of a pair are NAME-a and NAME-b, NAME_a and NAME_b, NAME-1 and NAME-2, or NAME_1 and
NAME_2, each with any suffix and in any capitals.

Only names are looked at; no function here opens or lists anything, except `SideFilesOnDisk`.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path, PurePath

from daemon.system.text import same_name

ROLES = ("mask", "hints")
"""What a side file is to its photograph: NAME.mask.png, NAME.hints.png."""

_HALF = re.compile(r"(?P<name>.+)(?P<mark>[-_])(?P<half>[ab12])", re.IGNORECASE | re.DOTALL)
_SIDE = re.compile(r"(?P<photo>.+)\.(?P<role>mask|hints)\.png", re.IGNORECASE | re.DOTALL)
_SIDE_ENDINGS = (".mask.png", ".hints.png")
WHAT_PAIRS_ARE = "a pair is NAME-a with NAME-b, NAME_1 with NAME_2, or two alone in a sub-folder"
"""The rule for pairs in one clause, for messages."""

_OTHER = {"a": "b", "b": "a", "1": "2", "2": "1"}


@dataclass(frozen=True)
class SideName:
    """What the name of a side file says.

    Attributes:
        photo: Name of its photograph, with or without suffix, as names are compared.
        role: "mask" or "hints".
    """

    photo: str
    role: str


@dataclass(frozen=True)
class Half:
    """What the name of a half says: in NAME-a, `name` is NAME, `mark` "-" and `half` "a"."""

    name: str
    mark: str
    half: str

    @property
    def other(self) -> str:
        """The name of the other half, without suffix."""
        return f"{self.name}{self.mark}{_OTHER[self.half]}"


@dataclass(frozen=True)
class Pair:
    """Two file names in order, and the stem of the result's name."""

    first: str
    second: str
    stem: str


def stem_of(name: str) -> str:
    """A file name without its suffix; pathlib does the same ten times slower."""
    before, dot, after = name.rpartition(".")
    return before if dot and before and after else name


def side_of(name: str) -> SideName | None:
    """Read a file name as that of a side file; None if it is not one."""
    if not name[-len(".hints.png") :].lower().endswith(_SIDE_ENDINGS):  # most names end here
        return None
    found = _SIDE.fullmatch(name)
    return SideName(same_name(found["photo"]), found["role"].lower()) if found else None


def side_name(photo: str, role: str) -> str:
    """The usual name of a photograph's side file, such as NAME.mask.png."""
    return f"{stem_of(photo)}.{role}.png"


def called_after(photo: str) -> tuple[str, ...]:
    """The names after which side files of a photograph may be called; the preferred one first.

    They are in the form in which names are compared.
    """
    return tuple(dict.fromkeys(map(same_name, (stem_of(photo), photo))))


class SideFiles:
    """The side files among the names of one folder."""

    def __init__(self, names: Iterable[str], roles: Collection[str] = ROLES) -> None:
        """Find the side files.

        Args:
            names: File names, in any order.
            roles: Which side files count; the others are photographs like any file.
        """
        self._names: set[str] = set()
        self._by_photo: dict[SideName, list[str]] = {}
        for name in names:
            side = side_of(name)
            if side is not None and side.role in roles:
                self._names.add(name)
                self._by_photo.setdefault(side, []).append(name)

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def all_of(self, photo: str, role: str) -> list[str]:
        """The side files of a photograph in one role; the one that is used comes first."""
        return [
            name
            for called in called_after(photo)
            for name in sorted(
                self._by_photo.get(SideName(called, role), ()),
                key=lambda name: (not name.startswith(stem_of(photo)), name),
            )
        ]

    def of(self, photo: str, role: str) -> str | None:
        """The side file of a photograph that is used in a role; None if there is none."""
        return next(iter(self.all_of(photo, role)), None)


class SideFilesOnDisk:
    """Side files beside photographs anywhere on disk; each folder is listed once."""

    def __init__(self) -> None:
        self._folders: dict[Path, SideFiles] = {}

    def all_of(self, photo: Path, role: str) -> list[Path]:
        """The side files of a photograph in one role; the one that is used comes first.

        Raises:
            OSError: The folder cannot be listed.
        """
        folder = photo.parent
        if folder not in self._folders:
            self._folders[folder] = SideFiles(entry.name for entry in folder.iterdir())
        names = self._folders[folder].all_of(photo.name, role)
        return [side for name in names if (side := folder / name).is_file()]


def without_side_files(files: Sequence[Path], roles: Collection[str]) -> list[Path]:
    """The photographs among files, in the same order.

    A file is no photograph if its name makes it the side file of another one that is given.
    """
    names: dict[Path, list[str]] = {}
    for file in files:
        names.setdefault(file.parent, []).append(file.name)
    sides: set[Path] = set()
    for folder, beside in names.items():
        found = SideFiles(beside, roles)
        for photo, role in product(beside, roles):
            sides.update(folder / name for name in found.all_of(photo, role))
    return [file for file in files if file not in sides]


def half_of(name: str) -> Half | None:
    """Read a file name as that of a half; None if it is not one."""
    found = _HALF.fullmatch(stem_of(name))
    return Half(found["name"], found["mark"], found["half"].lower()) if found else None


def by_name(names: Iterable[str]) -> list[Pair]:
    """Pair up halves.

    Where several files could be the other half, the one most alike in capitals and suffix is taken.

    Returns:
        Pairs in order of their names; no name is in two of them.
    """
    alike: dict[tuple[str, str, bool], tuple[list[str], list[str]]] = {}
    for name in sorted(names):
        half = half_of(name)
        if half is not None:
            key = (same_name(half.name).casefold(), half.mark, half.half.isdigit())
            firsts_and_seconds = alike.setdefault(key, ([], []))
            firsts_and_seconds[half.half in "b2"].append(name)
    return [pair for firsts, seconds in alike.values() for pair in _match(firsts, seconds)]


def of_folder(names: Iterable[str], folder: str) -> Pair | None:
    """Take two pictures that are alone in a folder for a pair, named after the folder."""
    both = sorted(names)
    return Pair(both[0], both[1], folder) if len(both) == 2 else None


def other_half(photo: str, others: Collection[str]) -> str | None:
    """The photograph that belongs to this one: its other half, or the only other file there is.

    Args:
        photo: Name of one photograph of a pair.
        others: Names of the other photographs beside it.
    """
    for pair in by_name({photo, *others}):
        if photo in (pair.first, pair.second):
            return pair.second if photo == pair.first else pair.first
    return next(iter(others)) if len(others) == 1 else None


def _match(firsts: list[str], seconds: list[str]) -> list[Pair]:
    def unlike(both: tuple[str, str]) -> tuple[bool, bool]:
        first, second = map(PurePath, both)
        return same_name(first.stem[:-1]) != same_name(
            second.stem[:-1]
        ), first.suffix != second.suffix

    pairs: list[Pair] = []
    taken: set[str] = set()
    for first, second in sorted(product(firsts, seconds), key=unlike):
        if taken.isdisjoint((first, second)):
            taken |= {first, second}
            pairs.append(Pair(first, second, stem_of(first)[:-2]))
    return sorted(pairs, key=lambda pair: pair.first)
