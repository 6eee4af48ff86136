"""Colorize: luminance kept, hints obeyed, noise from the seed."""

import io
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image
from skimage import data
from torch import Tensor

from daemon.config.steps import Colorize
from daemon.models.calls import ColourCall
from daemon.photo import Picture
from daemon.restorers.chroma import whole_luminance
from daemon.restorers.interface import Restoration
from tests.support.answering import Answers, picture, pixels_of, real, run
from tests.support.photographs import pillow_luminance


def wild(calls: Sequence[ColourCall]) -> list[Tensor]:
    """A network that is sure of one strong colour, which follows the luminance a little."""
    return [proposal((0.5, -0.35), 0.1, call) for call in calls]


def doubtful(calls: Sequence[ColourCall]) -> list[Tensor]:
    """A network that finds every colour as likely as any other."""
    return [proposal((0.03, 0.02), 0.3, call) for call in calls]


def proposal(mean: tuple[float, float], deviation: float, call: ColourCall) -> Tensor:
    """An answer with this mean, stronger where the picture is lighter, and this deviation."""
    light = torch.nn.functional.avg_pool2d(call.grey, 4)[0]
    strength = 0.8 + 0.2 * light
    return torch.stack([mean[0] * strength, mean[1] * strength, torch.full_like(light, deviation)])


def colorized(
    given: Picture, model: Answers = real, seed: int = 5, **params: object
) -> Restoration:
    """What `colorize` makes of a picture; it asks the colour network and no other."""

    def checked(calls: Sequence[ColourCall]) -> list[Tensor]:
        assert all(isinstance(call, ColourCall) and call.model == "colour" for call in calls)
        assert all(side % 32 == 0 for call in calls for side in call.grey.shape[1:])
        return model(calls)

    return run(Colorize.model_validate(params), given, model=checked, seed=seed)


def levels(restoration: Restoration) -> NDArray[np.uint8]:
    pixels = pixels_of(restoration)
    assert pixels.dtype == np.uint8
    return pixels.astype(np.uint8)


def hinted(size: tuple[int, int], *dabs: tuple[slice, slice, tuple[int, int, int]]) -> Picture:
    """Two flat halves, 80 and 170, with dabs painted on a layer of any size."""
    grey = np.full((120, 160), 80, np.uint8)
    grey[:, 80:] = 170
    layer = np.zeros((*size, 4), np.uint8)
    for rows, columns, colour in dabs:
        layer[rows, columns] = (*colour, 255)
    return replace(picture(grey), hints=layer)


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=70)))
@settings(deadline=None, max_examples=40)
def test_a_colorized_picture_of_any_size_has_the_luminance_it_came_with(
    grey: NDArray[np.uint8],
) -> None:
    result = levels(colorized(picture(grey), wild))
    assert np.array_equal(pillow_luminance(result), grey)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (301, 2), (7, 193)])
@pytest.mark.parametrize("level", [0, 127, 255])
def test_a_flat_picture_of_any_size_is_coloured(size: tuple[int, int], level: int) -> None:
    restoration = colorized(picture(np.full(size, level, np.uint8)), wild)
    assert (pillow_luminance(levels(restoration)) == level).all()
    assert np.isfinite(dict(restoration.measures)["colourfulness"])


def test_a_photograph_takes_colour_and_keeps_everything_else() -> None:
    truth = data.chelsea()
    grey = pillow_luminance(truth)
    alpha = np.arange(grey.size, dtype=np.uint32).reshape(grey.shape).astype(np.uint8)
    mask = np.full((3, 3), 7, np.uint8)
    before = replace(picture(grey), alpha=alpha, mask=mask, notes=("n",))
    restoration = colorized(before)
    (after,) = restoration.pictures
    result = levels(restoration)
    assert np.array_equal(pillow_luminance(result), grey)
    assert (
        np.square(result - truth.astype(float)).mean()
        < 0.7 * np.square(grey[..., None] - truth.astype(float)).mean()
    )
    assert dict(restoration.measures)["colourfulness"] > 8
    assert (after.grey, after.hints) == (False, None)
    assert after.alpha is alpha
    assert after.mask is mask
    assert (after.metadata, after.notes) == (before.metadata, ("n",))


def test_a_picture_with_colours_is_treated_by_its_luminance() -> None:
    truth = np.ascontiguousarray(data.astronaut()[::4, ::4])
    from_colour = levels(colorized(picture(truth, grey=True), wild))
    assert np.array_equal(from_colour, levels(colorized(picture(pillow_luminance(truth)), wild)))


def test_sixteen_bits_keep_their_luminance_to_the_level() -> None:
    deep = np.random.default_rng(1).integers(0, 65536, (40, 30), np.uint16)
    (result,) = colorized(replace(picture(deep), alpha=deep), wild).pictures
    assert result.pixels.dtype == np.uint16
    assert np.array_equal(whole_luminance(result.pixels), deep)
    assert result.alpha is deep
    colours = result.pixels.astype(int)
    assert np.abs(colours[..., 0] - colours[..., 2]).max() > 257


def test_saturation_zero_is_grey_and_more_of_it_is_more_colourful() -> None:
    grey = np.ascontiguousarray(data.camera()[::8, ::8])
    none, some, much = (colorized(picture(grey), wild, saturation=s) for s in (0, 0.3, 0.6))
    assert np.array_equal(levels(none), np.repeat(grey[..., None], 3, axis=2))
    assert dict(none.measures)["colourfulness"] == 0
    assert dict(much.measures)["colourfulness"] > 1.5 * dict(some.measures)["colourfulness"]


def test_one_seed_gives_the_same_colours_and_another_seed_others() -> None:
    given = picture(np.ascontiguousarray(data.camera()[::6, ::6]))
    once, again, other = (levels(colorized(given, seed=s, realism=1)) for s in (0, 0, 1))
    assert np.array_equal(once, again)
    assert np.abs(once.astype(int) - other).mean() > 1


def test_the_mean_takes_one_call_and_a_choice_one_more_in_the_same_batch() -> None:
    asked: list[list[ColourCall]] = []

    def counting(calls: Sequence[ColourCall]) -> list[Tensor]:
        asked.append(list(calls))
        return wild(calls)

    given = picture(np.full((20, 20), 90, np.uint8))
    colorized(given, counting)
    colorized(given, counting, realism=0.5, vivid=0.25)
    assert [len(calls) for calls in asked] == [1, 2]
    assert [call.variation > 0 for call in asked[1]] == [False, True]
    assert {call.vivid for call in asked[1]} == {0.25}
    assert len({call.key for call in asked[1]}) == 1


def test_realism_goes_in_a_straight_line_from_the_mean_to_one_choice() -> None:
    def two(calls: Sequence[ColourCall]) -> list[Tensor]:
        return [
            proposal((0.2, -0.1) if call.variation else (0.1, -0.2), 0.01, call) for call in calls
        ]

    given = picture(np.full((40, 40), 128, np.uint8))
    none, half, full = (
        levels(colorized(given, two, realism=r)).astype(int).mean((0, 1)) for r in (0, 0.5, 1)
    )
    assert np.allclose(half, (none + full) / 2, atol=1)
    assert full[0] - none[0] > 15


@pytest.mark.parametrize(
    ("size", "seen"),
    [
        ((4000, 3000), (256, 192)),
        ((200, 256), (192, 256)),
        ((10, 10), (256, 256)),
        ((300, 3000), (96, 1024)),
        ((3000, 100), (1024, 32)),
    ],
)
def test_the_network_sees_whole_photographs_small_and_panoramas_longer(
    size: tuple[int, int], seen: tuple[int, int]
) -> None:
    shapes: list[tuple[int, ...]] = []

    def watching(calls: Sequence[ColourCall]) -> list[Tensor]:
        shapes.extend(tuple(call.grey.shape[1:]) for call in calls)
        return wild(calls)

    colorized(picture(np.full(size, 90, np.uint8)), watching)
    assert shapes == [seen]


def sepia(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A brown print of a grey picture."""
    light = grey / np.float32(255)
    toned = np.stack([light**0.8, light, light**1.4], axis=2)
    return np.rint(255 * toned).astype(np.uint8)


def test_where_the_network_is_unsure_a_sepia_print_stays_sepia_and_a_note_says_how_much() -> None:
    toned = sepia(np.ascontiguousarray(data.camera()[::4, ::4]))
    restoration = colorized(picture(toned), doubtful)
    assert np.abs(levels(restoration).astype(int) - toned).mean() < 3
    assert restoration.notes == ("the colours are a guess: unsure in 100 % of the picture",)
    assert dict(restoration.measures)["unsure"] == 1
    coloured = levels(colorized(picture(toned), doubtful, keep_tone=False)).astype(int)
    assert np.abs(coloured - toned).mean() > 8


def test_where_the_network_is_sure_a_sepia_print_takes_its_colours() -> None:
    grey = np.ascontiguousarray(data.camera()[::4, ::4])
    toned = sepia(grey)
    restoration = colorized(picture(toned), wild)
    plain = colorized(picture(pillow_luminance(toned)), wild)
    assert np.array_equal(levels(restoration), levels(plain))
    assert restoration.notes == ("the colours are a guess",)


@pytest.mark.parametrize(("deviation", "factor"), [(0.01, 1.0), (0.19, 1.6), (0.147, 1.29)])
def test_what_the_network_is_sure_of_is_painted_no_stronger_than_it_says(
    deviation: float, factor: float
) -> None:
    flat = np.full((64, 64, 3), 128, np.uint8)

    def says(calls: Sequence[ColourCall]) -> list[Tensor]:
        shape = (calls[0].grey.shape[1] // 4, calls[0].grey.shape[2] // 4)
        return [torch.tensor([0.12, -0.06, deviation])[:, None, None].expand(3, *shape)]

    pixels = levels(colorized(picture(flat, grey=True), says, keep_tone=False)).astype(int)
    assert pixels[..., 0].mean() - 128 == pytest.approx(255 * 0.12 * factor, abs=2)
    assert pixels[..., 2].mean() - 128 == pytest.approx(-255 * 0.06 * factor, abs=2)


def test_surfaces_that_are_surely_grey_do_not_count_as_unsure() -> None:
    def sure(calls: Sequence[ColourCall]) -> list[Tensor]:
        return [proposal((0.002, 0.001), 0.05, call) for call in calls]

    restoration = colorized(picture(np.full((30, 40), 60, np.uint8)), sure)
    assert dict(restoration.measures)["unsure"] == 0


def test_what_hints_reach_is_no_longer_unsure() -> None:
    dab = (slice(50, 56), slice(30, 36), (160, 50, 40))
    restoration = colorized(hinted((120, 160), dab), doubtful)
    assert dict(restoration.measures)["unsure"] == pytest.approx(0.5, abs=0.02)


def test_vivid_gives_a_photograph_more_colour() -> None:
    given = picture(pillow_luminance(np.ascontiguousarray(data.astronaut()[::2, ::2])))
    plain, vivid = (dict(colorized(given, vivid=v).measures)["colourfulness"] for v in (0, 1))
    assert vivid > plain + 2


@pytest.mark.parametrize("realism", [0, 1])
def test_a_region_with_a_hint_takes_its_colour_and_the_neighbouring_region_does_not(
    realism: float,
) -> None:
    dab = (slice(50, 56), slice(30, 36), (160, 50, 40))
    unpainted = replace(hinted((120, 160), dab), hints=None)
    plain = colorized(unpainted, realism=realism)
    painted = colorized(hinted((120, 160), dab), realism=realism)
    red, green, blue = np.moveaxis(levels(painted).astype(int), 2, 0)
    least = 55 if realism else 75
    assert (red - green)[:, :76].min() > least
    assert (red - blue)[:, :76].min() > least
    moved = np.abs(levels(painted).astype(int) - levels(plain))[:, 84:]
    if realism == 0:
        assert moved.max() <= 3
    assert (red - green)[:, 84:].max() < 60


def test_hints_on_a_layer_of_another_size_lie_in_the_same_place_and_one_pixel_is_enough() -> None:
    coarse = hinted((12, 16), (slice(5, 6), slice(3, 4), (40, 60, 200)))
    fine = hinted((1200, 1600), (slice(549, 550), slice(349, 350), (40, 60, 200)))
    for one in (coarse, fine):
        result = levels(colorized(one, wild)).astype(int)
        assert (result[..., 2] - result[..., 0])[:, :76].min() > 80


def test_hints_that_are_switched_off_or_empty_change_nothing() -> None:
    painted = hinted((60, 80), (slice(5, 9), slice(5, 9), (255, 0, 0)))
    plain = levels(colorized(replace(painted, hints=None), wild))
    assert np.array_equal(levels(colorized(painted, wild, hints=False)), plain)
    assert np.array_equal(levels(colorized(hinted((60, 80)), wild)), plain)
    assert not np.array_equal(levels(colorized(painted, wild)), plain)


def test_a_saved_png_of_the_result_still_has_the_luminance_of_the_input() -> None:
    grey = np.ascontiguousarray(data.coins()[::2, ::2])
    file = io.BytesIO()
    Image.fromarray(levels(colorized(picture(grey)))).save(file, "PNG")
    assert np.array_equal(np.asarray(Image.open(file).convert("L")), grey)
