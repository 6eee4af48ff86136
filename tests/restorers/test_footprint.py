"""Sizes and memory of recipes, known before any work."""

from typing import Any

import pytest

from daemon.config.output import Output
from daemon.restorers.chain import restore
from daemon.restorers.footprint import footprint, output_size
from tests.support.answering import answer, echo, picture, random_pixels, recipe_of


@pytest.mark.parametrize(
    ("steps", "size"),
    [
        ([{"kind": "denoise"}], (30, 20)),
        ([{"kind": "super-resolve", "scale": 3}], (90, 60)),
        ([{"kind": "super-resolve"}, {"kind": "super-resolve", "scale": 4}], (240, 160)),
        ([{"kind": "colorize"}, {"kind": "restyle", "strength": 0.1}], (30, 20)),
    ],
)
def test_the_size_of_the_result_is_known_beforehand(
    steps: list[dict[str, Any]], size: tuple[int, int]
) -> None:
    chain = recipe_of(*steps)
    result = answer(restore(chain, (picture(random_pixels(20, 30)),), 0), echo)
    assert result.pictures[0].pixels.shape[1::-1] == size
    assert output_size(chain, 30, 20) == size


@pytest.mark.parametrize("size", [(2000, 30), (1, 1), (100, 700)])
@pytest.mark.parametrize("sweep", [[0.5], [0.1, 0.2, 0.3, 0.4, 0.5]])
def test_the_size_of_a_sheet_is_known_beforehand(size: tuple[int, int], sweep: list[float]) -> None:
    chain = recipe_of({"kind": "restyle", "sweep": sweep, "steps": 1})
    pixels = random_pixels(size[1], size[0])
    result = answer(restore(chain, (picture(pixels),), 0), echo)
    assert result.pictures[0].pixels.shape[1::-1] == output_size(chain, *size)


def test_the_footprint_of_a_hundred_megapixels_stays_under_four_gigabytes() -> None:
    hundred = ((10000, 10000),)
    assert 10**9 < footprint(recipe_of({"kind": "denoise"}), hundred) < 4 * 10**9
    assert footprint(recipe_of({"kind": "denoise"}), ((100, 100),)) < 10**7
    assert footprint(recipe_of({"kind": "super-resolve"}), ((1000, 1000),)) > footprint(
        recipe_of({"kind": "denoise"}), ((1000, 1000),)
    )


def test_unfading_needs_room_for_two_pictures_and_no_floats() -> None:
    recipe = recipe_of({"kind": "unfade"})
    assert footprint(recipe, [(10_000, 10_000)]) == 2 * 12 * 10_000**2


@pytest.mark.parametrize(
    ("several", "one", "times"),
    [
        ({"kind": "denoise", "self_ensemble": 8}, {"kind": "denoise"}, 8),
        ({"kind": "inpaint", "find": True}, {"kind": "inpaint"}, 4),
        ({"kind": "inpaint", "realism": 0.5}, {"kind": "inpaint"}, 4),
    ],
)
def test_states_that_are_worked_on_at_the_same_time_are_counted(
    several: dict[str, object], one: dict[str, object], times: int
) -> None:
    needed = [footprint(recipe_of(step), ((1000, 1000),)) for step in (one, several)]
    assert needed[1] > 0.9 * times * needed[0]


def test_a_recipe_needs_more_for_a_larger_photograph() -> None:
    recipe = recipe_of(
        {"kind": "denoise", "mode": "gaussian"}, {"kind": "super-resolve", "scale": 3}
    )
    assert footprint(recipe, [(40, 40)]) < footprint(recipe, [(4000, 4000)])


def test_a_search_for_cracks_needs_room_for_its_findings_in_the_whole_picture() -> None:
    plain, searched = (
        footprint(recipe_of({"kind": "inpaint", "find": find}), [(8000, 6000)])
        for find in (True, "cracks")
    )
    assert searched - plain == 16 * 48_000_000


def test_the_encoder_of_the_result_is_counted() -> None:
    plain = recipe_of({"kind": "unfade"})
    needed = {}
    for format in ("png", "jxl", "avif"):
        output = Output.model_validate({"format": format})
        needed[format] = footprint(plain.model_copy(update={"output": output}), ((1000, 1000),))
    assert needed["avif"] == 56_000_000 > needed["jxl"] > needed["png"]
