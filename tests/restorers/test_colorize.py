"""Colorize: luminance exact, colours along edges, painted dabs obeyed, noise from the seed."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image
from skimage import data
from torch import Tensor

from daemon.checkpoints.library import Library
from daemon.config.steps import Colorize
from daemon.diffusion.noise import Noise
from daemon.models.calls import DenoiseCall
from daemon.models.prior import Prior
from daemon.models.registry import Placement
from daemon.photo import Metadata, Picture
from daemon.restorers import chroma
from daemon.restorers.colour_hints import HintSpread, hints_on
from daemon.restorers.registry import Restoration, restorer_for

_SOME = Noise(5)


def _l(pixels: NDArray[np.generic]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(pixels).convert("L"))


def _photograph(name: str) -> NDArray[np.uint8]:
    pixels: NDArray[np.uint8] = getattr(data, name)()
    return pixels


def _picture(pixels: NDArray[np.generic]) -> Picture:
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    return Picture(pixels, grey=True, metadata=Metadata("PNG", "L"))


class _Wild:
    """A network whose answer is a strong colour of its own, and luminance that is wrong."""

    def predict(self, calls: list[DenoiseCall]) -> list[Tensor]:
        colour = torch.tensor((0.9, -0.8, 0.3)).view(3, 1, 1)
        return [0.3 * call.x_t.clamp(-2, 2) + colour for call in calls]


def _run(picture: Picture, model: object, noise: Noise = _SOME, **params: object) -> Restoration:
    asking = restorer_for("colorize")((picture,), Colorize.model_validate(params), noise)
    answers = None
    while True:
        try:
            calls = next(asking) if answers is None else asking.send(answers)
        except StopIteration as end:
            restoration: Restoration = end.value
            return restoration
        assert all(
            isinstance(call, DenoiseCall) and call.degradation.grey and call.model == "prior"
            for call in calls
        )
        answers = model.predict(list(calls))  # type: ignore[attr-defined]


def _pixels(restoration: Restoration) -> NDArray[np.uint8]:
    (picture,) = restoration.pictures
    assert picture.pixels.dtype == np.uint8
    return picture.pixels.astype(np.uint8)


@pytest.fixture(scope="module")
def prior() -> Prior:
    return Prior(Placement(Library().checkpoint("prior"), "cpu"))


@given(
    grey=hnp.arrays(np.uint8, (5, 7)),
    tint=hnp.arrays(np.float32, (5, 7, 2), elements=st.floats(-8, 8, width=32)),
)
@settings(deadline=None)
def test_any_chroma_on_any_grey_keeps_pillows_luminance(
    grey: NDArray[np.uint8], tint: NDArray[np.float32]
) -> None:
    assert np.array_equal(_l(chroma.with_chroma(grey, tint)), grey)


def test_every_level_with_every_strength_of_chroma_keeps_pillows_luminance() -> None:
    steps = np.linspace(-1.2, 1.2, 97, dtype=np.float32)
    tint = np.stack(np.meshgrid(steps, steps), axis=2)
    for level in range(256):
        grey = np.full(tint.shape[:2], level, np.uint8)
        painted = chroma.with_chroma(grey, tint)
        assert np.array_equal(_l(painted), grey)
        assert (painted == level).all() == (level in (0, 255))


def test_a_colour_that_would_clip_fades_and_keeps_its_hue() -> None:
    grey = np.full((1, 1), 200, np.uint8)
    red, green, blue = chroma.with_chroma(grey, np.array([[[1.0, -0.5]]], np.float32))[0, 0] / 1.0
    assert red == 255
    assert (200 - blue) / (red - 200) == pytest.approx(0.5, abs=0.02)
    assert green < 200


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=70)))
@settings(deadline=None, max_examples=40)
def test_a_colorized_picture_of_any_size_has_the_luminance_it_came_with(
    grey: NDArray[np.uint8],
) -> None:
    result = _pixels(_run(_picture(grey), _Wild(), steps=2))
    assert np.array_equal(_l(result), grey)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (301, 2), (7, 193)])
@pytest.mark.parametrize("level", [0, 127, 255])
def test_a_flat_picture_from_one_pixel_up_is_coloured_without_a_fault(
    size: tuple[int, int], level: int
) -> None:
    restoration = _run(_picture(np.full(size, level, np.uint8)), _Wild(), steps=2)
    assert (_l(_pixels(restoration)) == level).all()
    assert np.isfinite(dict(restoration.measures)["colourfulness"])


def test_a_photograph_takes_colour_and_keeps_everything_else(prior: Prior) -> None:
    truth = _photograph("chelsea")
    grey = _l(truth)
    alpha = np.arange(grey.size, dtype=np.uint32).reshape(grey.shape).astype(np.uint8)
    mask = np.full((3, 3), 7, np.uint8)
    before = replace(_picture(grey), alpha=alpha, mask=mask, notes=("n",))
    restoration = _run(before, prior, realism=0)
    (after,) = restoration.pictures
    result = _pixels(restoration)
    assert np.array_equal(_l(result), grey)
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
    truth = np.ascontiguousarray(_photograph("astronaut")[::4, ::4])
    from_colour = _pixels(_run(_picture(truth), _Wild()))
    assert np.array_equal(from_colour, _pixels(_run(_picture(_l(truth)), _Wild())))


def test_sixteen_bits_are_rounded_to_eight_and_said() -> None:
    deep = np.random.default_rng(1).integers(0, 65536, (40, 30), np.uint16)
    picture = replace(_picture(deep), alpha=deep)
    restoration = _run(picture, _Wild(), realism=0)
    expected = np.rint(deep / 257).astype(np.uint8)
    assert np.array_equal(_l(_pixels(restoration)), expected)
    alpha = restoration.pictures[0].alpha
    assert alpha is not None
    assert np.array_equal(alpha, expected)
    assert any("16 bits" in note for note in restoration.notes)


def test_saturation_zero_is_grey_and_more_of_it_is_more_colourful() -> None:
    grey = np.ascontiguousarray(_photograph("camera")[::8, ::8])
    none, some, much = (_run(_picture(grey), _Wild(), saturation=s) for s in (0, 0.3, 0.6))
    assert np.array_equal(_pixels(none), np.repeat(grey[..., None], 3, axis=2))
    assert dict(none.measures)["colourfulness"] == 0
    assert dict(much.measures)["colourfulness"] > 1.5 * dict(some.measures)["colourfulness"]


def test_one_seed_gives_the_same_colours_and_another_seed_others(prior: Prior) -> None:
    picture = _picture(np.ascontiguousarray(_photograph("camera")[::6, ::6]))
    once, again, other = (
        _pixels(_run(picture, prior, Noise(s), realism=1, steps=3)) for s in (0, 0, 1)
    )
    assert np.array_equal(once, again)
    assert np.abs(once.astype(int) - other).mean() > 1


def test_the_mean_takes_one_evaluation_and_a_sample_as_many_as_asked_for_more() -> None:
    counted: list[float] = []

    class Counting(_Wild):
        def predict(self, calls: list[DenoiseCall]) -> list[Tensor]:
            counted.extend(call.t for call in calls)
            return super().predict(calls)

    picture = _picture(np.full((20, 20), 90, np.uint8))
    _run(picture, Counting(), realism=0, steps=5)
    assert counted == [pytest.approx(np.pi / 2)]
    counted.clear()
    _run(picture, Counting(), realism=0.5, steps=5)
    assert len(counted) == 6
    assert counted == sorted(counted, reverse=True)
    assert counted[-1] > 0


def test_the_known_grey_is_in_every_noisy_picture_the_network_sees() -> None:
    grey = np.ascontiguousarray(_photograph("camera")[::8, ::8])
    weights = torch.tensor((0.299, 0.587, 0.114)).view(3, 1, 1)
    lit = torch.from_numpy(grey / np.float32(127.5) - 1)
    seen: list[float] = []

    class Watching(_Wild):
        def predict(self, calls: list[DenoiseCall]) -> list[Tensor]:
            for call in calls:
                luma = (weights * call.x_t).sum(0)[: grey.shape[0], : grey.shape[1]]
                seen.append(float(torch.corrcoef(torch.stack((luma.ravel(), lit.ravel())))[0, 1]))
            return super().predict(calls)

    _run(_picture(grey), Watching(), realism=1, steps=6)
    assert seen[-1] > 0.9
    assert seen[2:] == sorted(seen[2:])


def test_no_colour_bleeds_across_a_hard_edge_of_luminance() -> None:
    grey = np.full((240, 400), 60, np.uint8)
    grey[:, 203:] = 190
    guide = chroma.resized(grey, 60, 100)
    tint = np.empty((60, 100, 2), np.float32)
    tint[:, :51], tint[:, 51:] = (0.2, -0.1), (-0.1, 0.15)
    painted = chroma.coloured(grey, chroma.local_colours(guide, tint)).astype(int)
    dark, light = painted[..., 0] - painted[..., 1], painted[..., 2] - painted[..., 0]
    assert (dark[:, :203] > 50).all()
    assert (light[:, 203:] > 45).all()


@pytest.mark.parametrize("rows", [1, 7, 64])
def test_bands_of_any_height_give_the_picture_painted_whole(rows: int) -> None:
    grey = np.ascontiguousarray(_photograph("camera")[:301, :207])
    random = np.random.default_rng(3).normal(0, 0.2, (31, 20, 2)).astype(np.float32)
    colours = chroma.local_colours(chroma.resized(grey, 31, 20), random)
    whole = chroma.coloured(grey, colours, band_rows=len(grey))
    assert np.array_equal(chroma.coloured(grey, colours, band_rows=rows), whole)


def test_luminance_is_pillows_also_of_random_colours() -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (130, 90, 3), np.uint8)
    assert np.array_equal(chroma.luminance(pixels), _l(pixels))


def test_colourfulness_is_that_of_its_definition() -> None:
    pixels = _photograph("coffee")
    red, green, blue = np.moveaxis(pixels.astype(float), 2, 0)
    a, b = red - green, (red + green) / 2 - blue
    expected = np.hypot(a.std(), b.std()) + 0.3 * np.hypot(a.mean(), b.mean())
    assert chroma.colourfulness(pixels) == pytest.approx(expected, rel=1e-5)


def _hints(size: tuple[int, int], *dabs: tuple[slice, slice, tuple[int, int, int]]) -> Picture:
    """Two flat halves, 80 and 170, and dabs painted on a layer of any size."""
    grey = np.full((120, 160), 80, np.uint8)
    grey[:, 80:] = 170
    layer = np.zeros((*size, 4), np.uint8)
    for rows, columns, colour in dabs:
        layer[rows, columns] = (*colour, 255)
    return replace(_picture(grey), hints=layer)


@pytest.mark.parametrize("realism", [0, 1])
def test_a_region_with_a_dab_takes_the_dabs_colour_and_its_neighbour_does_not(
    realism: float, prior: Prior
) -> None:
    dab = (slice(50, 56), slice(30, 36), (160, 50, 40))
    unpainted = replace(_hints((120, 160), dab), hints=None)
    plain = _run(unpainted, prior, realism=realism, steps=4)
    hinted = _run(_hints((120, 160), dab), prior, realism=realism, steps=4)
    red, green, blue = np.moveaxis(_pixels(hinted).astype(int), 2, 0)
    least = 55 if realism else 75
    assert (red - green)[:, :76].min() > least
    assert (red - blue)[:, :76].min() > least
    moved = np.abs(_pixels(hinted).astype(int) - _pixels(plain))[:, 84:]
    if realism == 0:
        assert moved.max() <= 3
    assert (red - green)[:, 84:].max() < 60


def test_hints_of_another_size_mean_the_same_place_and_one_pixel_is_enough() -> None:
    coarse = _hints((12, 16), (slice(5, 6), slice(3, 4), (40, 60, 200)))
    fine = _hints((1200, 1600), (slice(549, 550), slice(349, 350), (40, 60, 200)))
    for picture in (coarse, fine):
        result = _pixels(_run(picture, _Wild(), realism=0)).astype(int)
        assert (result[..., 2] - result[..., 0])[:, :76].min() > 80


def test_hints_that_are_switched_off_or_empty_change_nothing() -> None:
    painted = _hints((60, 80), (slice(5, 9), slice(5, 9), (255, 0, 0)))
    plain = _pixels(_run(replace(painted, hints=None), _Wild()))
    assert np.array_equal(_pixels(_run(painted, _Wild(), hints=False)), plain)
    assert np.array_equal(_pixels(_run(_hints((60, 80)), _Wild())), plain)
    assert not np.array_equal(_pixels(_run(painted, _Wild())), plain)


def test_two_dabs_in_two_regions_keep_to_their_own() -> None:
    guide = np.full((40, 60), 0.3, np.float32)
    guide[:, 30:] = 0.7
    layer = np.zeros((40, 60, 4), np.uint8)
    layer[20, 5], layer[20, 50] = (200, 60, 60, 255), (60, 60, 200, 255)
    dabs = hints_on(layer, 40, 60)
    assert dabs is not None
    spread = HintSpread(guide, dabs).applied(np.zeros((40, 60, 2), np.float32))
    for half, dab in ((np.s_[:, :30], dabs.chroma[20, 5]), (np.s_[:, 30:], dabs.chroma[20, 50])):
        assert np.abs(spread[half] - dab).max() < 0.1 * np.abs(dab).max()


def test_a_saved_png_of_the_result_still_has_the_luminance_of_the_input(prior: Prior) -> None:
    grey = np.ascontiguousarray(_photograph("coins")[::2, ::2])
    file = io.BytesIO()
    Image.fromarray(_pixels(_run(_picture(grey), prior))).save(file, "PNG")
    assert np.array_equal(np.asarray(Image.open(file).convert("L")), grey)


def test_a_dab_on_a_coarser_layer_fills_its_whole_place() -> None:
    layer = np.zeros((4, 5, 4), np.uint8)
    layer[1, 2] = (90, 90, 250, 128)
    dabs = hints_on(layer, 16, 25)
    assert dabs is not None
    expected = np.zeros((16, 25), bool)
    expected[4:8, 10:15] = True
    assert np.array_equal(dabs.painted, expected)
    blue_less_luma = (250 - 90) * (1 - 7471 / 65536) / 255
    assert dabs.chroma[expected][:, 1] == pytest.approx(blue_less_luma, abs=1e-6)
