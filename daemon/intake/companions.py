"""Which photographs belong together, by their names alone.

Comes in: file names of one folder. Goes out: pairs, and side files with what they belong to.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from pathlib import PurePath

_HALF = re.compile(r"(?P<name>.+)(?P<mark>[-_])(?P<half>[ab12])", re.IGNORECASE | re.DOTALL)
_SIDE = re.compile(r"(?P<name>.+)\.(?P<role>mask|hints)\.png", re.IGNORECASE | re.DOTALL)
_OTHER = {"a": "b", "b": "a", "1": "2", "2": "1"}


@dataclass(frozen=True)
class Half:
    """What the name of a half says: of NAME-a, `name` is NAME, `mark` "-" and `half` "a"."""

    name: str
    mark: str
    half: str

    @property
    def other(self) -> str:
        """The name of the half that is missing, less its suffix."""
        return f"{self.name}{self.mark}{_OTHER[self.half]}"


@dataclass(frozen=True)
class Pair:
    """Two file names in order, and what the result's name starts with."""

    first: str
    second: str
    stem: str


def stem_of(name: str) -> str:
    """A file name less its suffix; pathlib does the same ten times slower."""
    before, dot, after = name.rpartition(".")
    return before if dot and before and after else name


def half_of(name: str) -> Half | None:
    """Read a file name as that of a half: NAME-a, NAME_b, NAME-1, NAME_2, with any suffix."""
    found = _HALF.fullmatch(stem_of(name))
    return Half(found["name"], found["mark"], found["half"].lower()) if found else None


def side_of(name: str) -> tuple[str, str] | None:
    """Read a file name as that of a side file: what it is called after, and "mask" or "hints"."""
    found = _SIDE.fullmatch(name)
    return (found["name"], found["role"].lower()) if found else None


def by_name(names: Iterable[str]) -> list[Pair]:
    """Pair up halves.

    Capitals and suffixes may differ; where several could be the other half, the one most alike
    in both is taken.

    Returns:
        Pairs in order of their names; no name is in two of them.
    """
    alike: dict[tuple[str, str, bool], tuple[list[str], list[str]]] = {}
    for name in sorted(names):
        half = half_of(name)
        if half is not None:
            key = (half.name.casefold(), half.mark, half.half.isdigit())
            sides = alike.setdefault(key, ([], []))
            sides[half.half in "b2"].append(name)
    return [pair for firsts, seconds in alike.values() for pair in _match(firsts, seconds)]


def of_folder(names: Iterable[str], folder: str) -> Pair | None:
    """Take two pictures that are alone in a folder for a pair, named after the folder."""
    both = sorted(names)
    return Pair(both[0], both[1], folder) if len(both) == 2 else None


def _match(firsts: list[str], seconds: list[str]) -> list[Pair]:
    def unlike(both: tuple[str, str]) -> tuple[bool, bool]:
        first, second = map(PurePath, both)
        return first.stem[:-1] != second.stem[:-1], first.suffix != second.suffix

    pairs: list[Pair] = []
    taken: set[str] = set()
    for first, second in sorted(product(firsts, seconds), key=unlike):
        if taken.isdisjoint((first, second)):
            taken |= {first, second}
            pairs.append(Pair(first, second, stem_of(first)[:-2]))
    return sorted(pairs, key=lambda pair: pair.first)
