"""Photographs of several folders, grouped by their source, and a split by source.

A file name begins with its source, `SOURCE__NAME.webp`. Photographs of one source are alike: one
camera, one trip, one kitchen. A network that has seen some of them is judged too kindly on the
others, so whole sources are held out.
"""

import hashlib
import os
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import numpy as np
from numpy.random import Generator
from PIL import Image

from training.photos import SUFFIXES, Pixels, is_validation

_HELD_OUT_SHARE = 12
"""One source in so many is held out."""

_LARGE_SOURCES = 0.75
"""Exponent of a source's number of photographs in its odds: large sources count less for each."""


@dataclass(frozen=True)
class Sources:
    """Photographs in memory, by source.

    Attributes:
        names: Names of the sources, sorted.
        photographs: The photographs of each, RGB.
    """

    names: tuple[str, ...]
    photographs: tuple[tuple[Pixels, ...], ...]

    def draw(self, rng: Generator) -> Pixels:
        """A random photograph; see `_LARGE_SOURCES`."""
        odds = np.array([len(group) for group in self.photographs]) ** _LARGE_SOURCES
        group = self.photographs[rng.choice(len(odds), p=odds / odds.sum())]
        return group[rng.integers(len(group))]

    def first_of_each(self, count: int) -> list[Pixels]:
        """Up to `count` photographs, taken in turn from every source."""
        longest = max((len(group) for group in self.photographs), default=0)
        in_turn = [
            group[index]
            for index in range(longest)
            for group in self.photographs
            if index < len(group)
        ]
        return in_turn[:count]


def source_of(name: str) -> str:
    """The source of a file name; a name without one is a source of its own."""
    return name.partition("__")[0]


def is_held_out(source: str) -> bool:
    """Whether all photographs of a source are held out."""
    return hashlib.sha256(f"source {source}".encode()).digest()[0] % _HELD_OUT_SHARE == 0


def source_paths(folders: Sequence[Path], *, held_out: bool) -> dict[str, list[Path]]:
    """Photographs by source: of the sources held out, or of all others.

    The validation split by file name is in neither part: other networks are judged by it.
    """
    found: defaultdict[str, list[Path]] = defaultdict(list)
    for folder in folders:
        for path in sorted(folder.iterdir()):
            source = source_of(path.name)
            if path.suffix.lower() not in SUFFIXES or is_validation(path.name):
                continue
            if is_held_out(source) == held_out:
                found[source].append(path)
    return dict(sorted(found.items()))


def load_sources(paths: dict[str, list[Path]], longest_px: int, shortest_px: int) -> Sources:
    """Read photographs, reduced to a longest side.

    Args:
        paths: Photographs by source.
        longest_px: Longest side of what is kept in memory.
        shortest_px: Photographs with a shorter side then are left out, and sources without any.
    """
    kept: dict[str, tuple[Pixels, ...]] = {}
    with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        for source, files in paths.items():
            pictures = pool.map(_read, files, repeat(longest_px))
            group = tuple(one for one in pictures if min(one.shape[:2]) >= shortest_px)
            if group:
                kept[source] = group
    return Sources(tuple(kept), tuple(kept.values()))


def _read(path: Path, longest_px: int) -> Pixels:
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    picture.thumbnail((longest_px, longest_px), Image.Resampling.BICUBIC, reducing_gap=2.0)
    return np.asarray(picture)
