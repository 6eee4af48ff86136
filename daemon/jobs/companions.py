"""The rule for file names that belong together: side files, the halves of pairs, companions.

This is the only place that knows it; inbox, archive, redo, retry, bulk jobs, `apply` and estimates
ask here. Where one file of a group must be called otherwise, `group_names` names them all.

A side file is called after its photograph: NAME.mask.png or NAME.hints.png, where NAME is the
photograph's name with or without its suffix. NAME is compared exactly but for the Unicode form (a
Mac decomposes accents, others do not), the rest in any capitals.
Where several files could serve, the one called after the name without suffix is used, and of those
the first in order of names.

The halves of a pair are NAME-a and NAME-b, NAME_a and NAME_b, NAME-1 and NAME-2, or NAME_1 and
NAME_2, each with any suffix and in any capitals.

A companion is what a camera, a library or a download keeps beside a photograph. No recipe reads it;
it goes where its photograph goes. `COMPANIONS` has a rule for each kind.

Takeout cuts long names, so the first characters of a photograph's name are enough there.

A name that is nearly that of a side file (NAME.hint.png, NAME.msk.png, NAME.mask.jpg) makes none,
but `nearly_side_of` knows it, so that people can be asked what they meant.

Only names are looked at; no function here opens or lists anything, except `SideFilesOnDisk`.
"""

import difflib
import os
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path, PurePath

from daemon.photo.file_names import is_photo_name
from daemon.system.files import RECORD_ROOM, fit_name, shown, with_mark
from daemon.system.text import same_name

ROLES = ("mask", "hints")
"""Roles of side files: NAME.mask.png, NAME.hints.png."""

_HALF = re.compile(r"(?P<name>.+)(?P<mark>[-_])(?P<half>[ab12])", re.IGNORECASE | re.DOTALL)
_SIDE = re.compile(r"(?P<photo>.+)\.(?P<role>mask|hints)\.png", re.IGNORECASE | re.DOTALL)
_SIDE_ENDINGS = (".mask.png", ".hints.png")
_NEARLY_SIDE = re.compile(r"(?P<photo>.+)\.(?P<word>\w{2,8})\.\w{3,4}", re.DOTALL)
_ALIKE = 0.8
"""Likeness of a word to a role, by difflib: `msk` and `hint` have more, `task` and `cast` less."""

WHAT_PAIRS_ARE = "a pair is NAME-a with NAME-b, NAME_1 with NAME_2, or two alone in a sub-folder"
"""The rule for pairs in one clause, for messages."""

_TAKEOUT = "supplemental-metadata"
_TAKEOUT_CUT = "|".join(_TAKEOUT[:length] for length in range(len(_TAKEOUT), 0, -1))

COMPANIONS = {
    "XMP": r"(?P<photo>.+)\.xmp",
    "Apple's edits": r"(?P<photo>.+)\.aae",
    "thumbnail of a camera": r"(?P<photo>.+)\.thm",
    "moving part of a Live Photo": r"(?P<photo>.+)\.mov",
    # NAME.jpg.json, NAME.jpg.supplemental-metadata.json, which is cut where the name is long, and
    # NAME.jpg(1).json beside NAME(1).jpg
    "Google Takeout": rf"(?P<photo>.+?)(\.({_TAKEOUT_CUT})?)?(?P<copy>\(\d+\))?\.json",
}
"""What companions are called, by kind; `photo` is their photograph's name with or without suffix,
`copy` a part of it that stands before its suffix."""

_COMPANION = [re.compile(rule, re.IGNORECASE | re.DOTALL) for rule in COMPANIONS.values()]
_COMPANION_ENDINGS = (".xmp", ".aae", ".thm", ".mov", ".json")

_TAKEOUT_LENGTHS = (46, 47)
"""Characters to which Google Takeout cuts what stands before .json; it has used both."""

_COPY = re.compile(r"\(\d+\)(?=(\.[^.]*)?$)")
"""The number of a copy in a photograph's name, as in NAME(1).jpg."""

_OTHER = {"a": "b", "b": "a", "1": "2", "2": "1"}


@dataclass(frozen=True)
class SideName:
    """The parts of a side file's name.

    Attributes:
        photo: Name of its photograph, with or without suffix, as names are compared.
        role: "mask" or "hints".
    """

    photo: str
    role: str


@dataclass(frozen=True)
class Half:
    """The parts of a half's name: in NAME-a, `name` is NAME, `mark` "-" and `half` "a"."""

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


def nearly_side_of(name: str) -> SideName | None:
    """The side file whose name was probably meant; None if it is one, or is not like one."""
    if name.count(".") < 2 or not is_photo_name(name) or side_of(name) is not None:
        return None
    found = _NEARLY_SIDE.fullmatch(name)
    if found is None:
        return None
    like = difflib.get_close_matches(found["word"].lower(), ROLES, 1, _ALIKE)
    return SideName(same_name(found["photo"]), like[0]) if like else None


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
        self._nearly: dict[SideName, str] = {}
        for name in names:
            side = side_of(name)
            if side is not None and side.role in roles:
                self._names.add(name)
                self._by_photo.setdefault(side, []).append(name)
            elif side is None and (meant := nearly_side_of(name)) is not None:
                self._nearly.setdefault(meant, name)

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

    def misnamed(self, photo: str, role: str) -> str | None:
        """A file that was probably meant as a photograph's side file; None where there is one."""
        if self.of(photo, role) is not None:
            return None
        called = (self._nearly.get(SideName(called, role)) for called in called_after(photo))
        return next((name for name in called if name not in (None, photo)), None)


def misnamed_in_words(name: str, photo: str, role: str) -> str:
    """What to say of a file that was probably meant as the side file of a photograph."""
    meant = shown(side_name(photo, role))
    return f"{shown(name)} is not read as its {role}; did you mean {meant}?"


def companion_of(name: str) -> str | None:
    """Name of the photograph, with or without suffix, whose companion a file would be by its name.

    It is in the form in which names are compared; None if no companion is called so.
    """
    if not name.lower().endswith(_COMPANION_ENDINGS):  # most names end here
        return None
    found = next((found for rule in _COMPANION if (found := rule.fullmatch(name))), None)
    if found is None:
        return None
    photo = same_name(found["photo"])
    return _with_copy(photo, found.groupdict().get("copy") or "")


def _with_copy(photo: str, copy: str) -> str:
    """NAME(1).jpg, of NAME.jpg and (1)."""
    return f"{stem_of(photo)}{copy}{photo[len(stem_of(photo)) :]}"


def _cut_by_takeout(photo: str) -> list[str]:
    """Takeout's name of a photograph, as names are compared, whose own it has to cut."""
    name = same_name(photo)
    found = _COPY.search(name)
    copy = found[0] if found is not None else ""
    plain = name if found is None else name[: found.start()] + name[found.end() :]
    return [_with_copy(plain[:most], copy) for most in _TAKEOUT_LENGTHS if len(plain) > most]


class Companions:
    """The companions among the names of one folder."""

    def __init__(self, names: Iterable[str]) -> None:
        self._by_photo: dict[str, list[str]] = {}
        for name in sorted(names):
            photo = companion_of(name)
            if photo is not None:
                self._by_photo.setdefault(photo, []).append(name)

    def of(self, photo: str) -> list[str]:
        """The companions of a photograph."""
        found = [name for called in called_after(photo) for name in self._by_photo.get(called, ())]
        for called in _cut_by_takeout(photo):
            found += [n for n in self._by_photo.get(called, ()) if n.lower().endswith(".json")]
        return [name for name in dict.fromkeys(found) if name != photo]


class Photographs:
    """The photographs among the names of one folder, to be found by their companions."""

    def __init__(self, names: Iterable[str]) -> None:
        self._own = _ByCalled()
        self._renamed = _ByCalled()
        for name in sorted(filter(is_photo_name, names)):
            before = without_key(name)
            self._own.add(name, name)
            if before != name:
                self._renamed.add(name, before)

    def of(self, companion: str) -> str | None:
        """The photograph that a companion belongs to; None if there is none."""
        return next(iter(self._own.of(companion)), None)

    def renamed(self, companion: str) -> list[str]:
        """Photographs called NAME~KEY to which a companion may belong that is called after NAME."""
        return self._renamed.of(companion)


class _ByCalled:
    """Names of photographs by what their companions call them."""

    def __init__(self) -> None:
        self._whole: dict[str, list[str]] = {}
        self._cut: dict[str, list[str]] = {}

    def add(self, name: str, photo: str) -> None:
        """Add a name of which the companions are called after `photo`."""
        for called in called_after(photo):
            self._whole.setdefault(called, []).append(name)
        for called in _cut_by_takeout(photo):
            self._cut.setdefault(called, []).append(name)

    def of(self, companion: str) -> list[str]:
        called = companion_of(companion)
        if called is None:
            return []
        cut = self._cut.get(called, []) if companion.lower().endswith(".json") else []
        return [*self._whole.get(called, []), *cut]


_KEYED = re.compile(r"~[0-9a-f]{8}(-\d+)?(?=([-_][ab12])?(\.[^.]*)?$)", re.IGNORECASE)
"""Addition of `group_names` to a photograph's name in the archive, before the mark of a half."""


def without_key(name: str) -> str:
    """NAME.jpg, of NAME~KEY.jpg."""
    found = _KEYED.search(name)
    return name if found is None else name[: found.start()] + name[found.end() :]


def group_names(photos: Sequence[str], beside: Sequence[str], key: str = "") -> list[str]:
    """Names of files that belong together, where some of their own are taken or too long.

    Whoever looks for the side files, companions and the other half of a photograph by the rules
    here finds the same ones under the new names.

    Args:
        photos: Names of a photograph or of the two of a pair.
        beside: Names of side files and companions.
        key: What makes the names others, as in NAME~KEY.jpg; "" only shortens them.

    Returns:
        The new names, in the order of both.
    """
    owned = [(name, *_belonging(name, photos)) for name in beside]
    ends = [ending for _, _, ending in owned]
    if not key and all(fit_name(name) == name for name in (*photos, *beside)):
        return [*photos, *beside]
    room = max([RECORD_ROOM, *(len(os.fsencode(ending)) for ending in ends)])
    named = _photo_names(photos, key, room)
    found = list(named)
    for one in owned:  # one whose name Takeout had cut may now be called like another
        name = _beside_name(one, photos, named, key)
        while name in found:
            name = with_mark(name, "~2")
        found.append(name)
    return found


def called_like(name: str, photo: str, new_photo: str) -> str:
    """What a side file or companion of a photograph is called once that is called otherwise.

    One that is not called after the photograph keeps its name.
    """
    owner, ending = _belonging(name, (photo,))
    return _beside_name((name, owner, ending), (photo,), (new_photo,), "")


def _belonging(name: str, photos: Sequence[str]) -> tuple[str | None, str]:
    """The photograph that a name is called after, and what follows the name of that with suffix.

    An ending that follows the name without suffix begins with "*" in its place.
    """
    for photo in photos:
        if side := _SIDE.fullmatch(name):
            called, ending = side["photo"], name[side.end("photo") :]
        elif found := next((f for rule in _COMPANION if (f := rule.fullmatch(name))), None):
            copy = found.groupdict().get("copy") or ""
            called = _with_copy(found["photo"], copy)
            ending = name[found.end("photo") :].replace(copy, "")
        else:
            continue
        if same_name(called) == same_name(photo) or same_name(called) in _cut_by_takeout(photo):
            return photo, ending
        if same_name(called) == same_name(stem_of(photo)):
            return photo, f"*{ending}"
    return None, ""


def _photo_names(photos: Sequence[str], key: str, room: int) -> list[str]:
    """New names of photographs; halves of a pair stay halves of a pair."""
    mark = f"~{key}" if key else ""
    halves = [half for photo in photos if (half := half_of(photo)) is not None]
    if len(photos) == len(halves) == 2:
        first, second = halves
        if first.mark == second.mark and _OTHER[first.half] == second.half:
            ends = [photo[len(stem_of(photo)) - 2 :] for photo in photos]
            room += max(len(os.fsencode(end)) for end in ends)
            stems = [fit_name(f"{half.name}{mark}", room) for half in halves]
            return [stem + end for stem, end in zip(stems, ends, strict=True)]
    return [fit_name(with_mark(photo, mark), room) for photo in photos]


def _beside_name(
    owned: tuple[str, str | None, str], photos: Sequence[str], named: Sequence[str], key: str
) -> str:
    name, owner, ending = owned
    if owner is None:
        return fit_name(with_mark(name, f"~{key}" if key else ""))
    new = named[photos.index(owner)]
    if new == owner:
        return fit_name(name)
    return stem_of(new) + ending[1:] if ending.startswith("*") else new + ending


class SideFilesOnDisk:
    """Side files and companions beside photographs anywhere on disk; each folder is listed once."""

    def __init__(self) -> None:
        self._folders: dict[Path, tuple[SideFiles, Companions]] = {}

    def all_of(self, photo: Path, role: str) -> list[Path]:
        """The side files of a photograph in one role; the one that is used comes first.

        Raises:
            OSError: The folder cannot be listed.
        """
        names = self._beside(photo)[0].all_of(photo.name, role)
        return [side for name in names if (side := photo.with_name(name)).is_file()]

    def misnamed(self, photo: Path, role: str) -> str | None:
        """What to say of a file that was probably meant as a side file which is not there.

        Raises:
            OSError: The folder cannot be listed.
        """
        name = self._beside(photo)[0].misnamed(photo.name, role)
        return None if name is None else misnamed_in_words(name, photo.name, role)

    def companions_of(self, photo: Path) -> list[Path]:
        """The companions of a photograph.

        Raises:
            OSError: The folder cannot be listed.
        """
        names = self._beside(photo)[1].of(photo.name)
        return [found for name in names if (found := photo.with_name(name)).is_file()]

    def _beside(self, photo: Path) -> tuple[SideFiles, Companions]:
        folder = photo.parent
        if folder not in self._folders:
            names = [entry.name for entry in folder.iterdir()]
            self._folders[folder] = SideFiles(names), Companions(names)
        return self._folders[folder]


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
