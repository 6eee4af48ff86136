"""Crack search: what the damage network finds becomes a mask; a person's mask always wins."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional

from daemon.config.steps import Inpaint
from daemon.models.calls import DamageCall
from daemon.restorers.crack_search import SMALLEST_PX, connected, damage_levels, find_cracks
from tests.support.answering import (
    PriorCall,
    Turns,
    answer,
    picture,
    pixels_of,
    psnr,
    random_pixels,
    real,
    recipe_of,
    run,
)
from tests.support.photographs import cracked_print

FIND = Inpaint(find="cracks")


def bright_is_damage(calls: Sequence[PriorCall]) -> list[Tensor]:
    """A damage network that takes what is bright for damage; other networks are the real ones."""
    if not all(isinstance(call, DamageCall) for call in calls):
        return real(calls)
    damage = [call for call in calls if isinstance(call, DamageCall)]
    assert all(call.model == "damage" for call in damage)
    assert all(side % 16 == 0 for call in damage for side in call.picture.shape[1:])
    return [((call.picture.mean(0, keepdim=True) + 1) / 2).clamp(0, 1) for call in damage]


def lined(height: int, width: int, level: int = 255) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Dark ground with a bright line across, and where the line is."""
    pixels = np.full((height, width, 3), 70, np.uint8)
    where = np.zeros((height, width), bool)
    where[height // 2 : height // 2 + 3] = True
    pixels[where] = level
    return pixels, where


def test_what_the_network_finds_is_filled_in_and_the_rest_stays_to_the_level() -> None:
    pixels, where = lined(70, 90)
    result = run(FIND, picture(pixels), model=bright_is_damage)
    repaired = pixels_of(result)
    around = np.zeros_like(where)
    around[34:39] = True
    assert np.array_equal(repaired[~around], pixels[~around])
    assert repaired[where].max() < 150
    assert dict(result.measures)["filled"] == pytest.approx(around.mean())
    assert result.notes == ()


def test_mask_only_gives_the_mask_to_be_corrected() -> None:
    pixels, where = lined(70, 90)
    step = Inpaint(find="cracks", mask_only=True)
    turns: Turns = []
    mask = pixels_of(run(step, picture(pixels), model=bright_is_damage, turns=turns))
    assert (mask[where] == 255).all()
    assert set(np.unique(mask)) == {0, 255}
    assert len(turns) == 1


def test_a_mask_that_a_person_made_is_obeyed_and_nothing_is_searched() -> None:
    pixels, where = lined(70, 90)
    mask = np.zeros((70, 90), np.uint8)
    mask[10:13] = 255
    turns: Turns = []
    given = replace(picture(pixels), mask=mask)
    result = pixels_of(run(FIND, given, model=bright_is_damage, turns=turns))
    assert np.array_equal(result[where], pixels[where])
    assert not any(isinstance(call, DamageCall) for turn in turns for call in turn)


def test_a_note_says_that_no_damage_was_found() -> None:
    pixels = np.full((40, 50, 3), 70, np.uint8)
    result = run(FIND, picture(pixels), model=bright_is_damage)
    assert np.array_equal(pixels_of(result), pixels)
    assert result.notes == ("no damage was found",)


@pytest.mark.parametrize(
    ("longest", "searches"), [(639, 1), (2 * SMALLEST_PX - 1, 1), (2 * SMALLEST_PX, 2), (2560, 3)]
)
def test_large_scans_are_searched_at_halved_sizes_as_well(longest: int, searches: int) -> None:
    turns: Turns = []
    answer(damage_levels(lined(60, longest)[0]), bright_is_damage, turns)
    heights = [turn[0].picture.shape[1] for turn in turns if isinstance(turn[0], DamageCall)]
    assert len(turns) == searches
    assert heights == [64, 32, 16][:searches]


def test_a_wide_line_is_found_where_only_reduced_pictures_show_it_narrow() -> None:
    pixels, where = lined(64, 1400)

    def narrow(calls: Sequence[DamageCall]) -> list[Tensor]:
        """Sees bright lines of one or two pixels only."""
        light = [(call.picture.mean(0, keepdim=True) + 1) / 2 for call in calls]
        around = [-functional.max_pool2d(-one[None], 3, 1, 1)[0] for one in light]
        return [(one - inner).clamp(0, 1) for one, inner in zip(light, around, strict=True)]

    levels = answer(damage_levels(pixels), narrow)
    assert (levels[where] > 128).mean() > 0.9


@pytest.mark.parametrize("size", [(1, 1), (3, 700), (1300, 1100)])
def test_a_picture_of_any_size_has_a_mask_of_its_size(size: tuple[int, int]) -> None:
    mask = answer(find_cracks(picture(random_pixels(*size, "uint16")), FIND), bright_is_damage)
    assert mask.shape == size
    assert mask.dtype == np.uint8


def test_tiles_of_a_large_picture_are_one_search() -> None:
    pixels = np.asarray(random_pixels(40, 2500), np.uint8)
    levels = answer(damage_levels(pixels), bright_is_damage)
    light = np.rint(pixels.astype(float).mean(2))
    assert np.abs(levels - light).min() <= 1
    assert (levels >= light - 1).all()


def test_connected_pixels_count_if_one_of_them_is_sure() -> None:
    levels = np.zeros((6, 9), np.uint8)
    levels[1, 1:4] = 140
    levels[2, 4] = 240
    levels[4, 1:8] = 200
    found = connected(levels, surely=0.9, perhaps=0.5)
    assert found[1, 1:4].all()
    assert found[2, 4]
    assert found.sum() == 4


def test_more_sensitivity_takes_less_sure_patches() -> None:
    pixels, where = lined(70, 90, level=215)
    for sensitivity, least in ((0.3, 0.0), (0.6, 1.0)):
        step = Inpaint(find="cracks", sensitivity=sensitivity)
        mask = answer(find_cracks(picture(pixels), step), bright_is_damage) > 0
        assert mask[where].mean() == least


def test_both_searches_need_the_damage_network_and_this_one_knows_no_tone() -> None:
    assert recipe_of({"kind": "inpaint", "find": "cracks"}).models == ("prior", "damage")
    assert recipe_of({"kind": "inpaint", "find": True}).models == ("prior", "damage")
    assert recipe_of({"kind": "inpaint"}).models == ("prior",)
    assert not recipe_of({"kind": "inpaint", "find": "cracks"}).needs_mask
    with pytest.raises(ValidationError, match='find = "cracks" takes both: leave tone out'):
        Inpaint(find="cracks", tone="dark")
    with pytest.raises(ValidationError, match="cracks"):
        Inpaint(find="dust")


def test_the_shipped_networks_mend_a_cracked_print() -> None:
    whole, damaged, where = cracked_print()
    result = run(FIND, picture(damaged))
    assert 0.5 * where.mean() < dict(result.measures)["filled"] < 3 * where.mean()
    assert psnr(pixels_of(result), whole) > psnr(damaged, whole) + 4
