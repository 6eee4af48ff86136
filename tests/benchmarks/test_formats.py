"""How the comparison with libvips judges what both made of a file."""

from pathlib import Path

import numpy as np

from benchmarks.formats import Found, Reading, Verdict, judge, summary
from benchmarks.measuring import Row
from tests.support.photos import cat

LEVELS = cat(20, 10)


def verdict(ours: Reading, peer: Reading) -> Verdict:
    return judge(ours, peer, "PNG")[0]


def test_equal_pixels_are_the_same_and_so_are_rounded_ones() -> None:
    rounded = np.clip(LEVELS.astype(int) + 3, 0, 255).astype(np.uint8)
    assert verdict(Reading(LEVELS), Reading(LEVELS.copy())) == "same"
    assert verdict(Reading(LEVELS), Reading(rounded)) == "same"


def test_other_pixels_sizes_and_opacity_differ() -> None:
    clear = np.zeros((10, 20), np.uint8)
    ours = Reading(LEVELS)
    assert verdict(ours, Reading(255 - LEVELS)) == "different"
    assert verdict(ours, Reading(LEVELS[:5])) == "different"
    assert verdict(Reading(LEVELS, clear), Reading(LEVELS, clear + 255)) == "different"


def test_colours_that_nobody_sees_do_not_count() -> None:
    alpha = np.full((10, 20), 255, np.uint8)
    alpha[:5] = 0
    other = LEVELS.copy()
    other[:5] = 0
    assert verdict(Reading(LEVELS, alpha), Reading(other, alpha)) == "same"


def test_what_one_alone_reads_is_told() -> None:
    refused = Reading(None, why="no")
    assert verdict(refused, Reading(LEVELS)) == "only the peer's"
    assert verdict(Reading(LEVELS), refused) == "only ours"
    assert verdict(refused, refused) == "neither's"


def test_shares_count_what_the_peer_reads() -> None:
    verdicts: tuple[Verdict, ...] = ("same", "same", "different", "only the peer's", "only ours")
    rows = summary([Found(Path("a.png"), one, "PNG") for one in verdicts])
    assert Row("of what the peer reads, read", "75.0%", "99 %") in rows
    assert Row("of what both read, equal", "66.7%") in rows
