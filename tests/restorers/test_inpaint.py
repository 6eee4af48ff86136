"""Inpaint: what is lost is result anew, what is kept stays to the level."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from skimage import data

from daemon.config.steps import Inpaint
from daemon.diffusion import windows
from daemon.models.calls import ModelCalls
from daemon.photo import Picture
from daemon.restorers.inpaint import filled
from daemon.system.errors import PhotoError
from tests.support.answering import Turns, gaussian, picture, psnr, random_pixels, run


def masked(pixels: NDArray[np.generic], mask: NDArray[np.bool_]) -> Picture:
    return replace(picture(pixels), mask=mask.astype(np.uint8) * 255)


def scratched(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A photograph with three bright scratches, and where they are."""
    height, width = pixels.shape[:2]
    layer = Image.new("L", (width, height))
    pen = ImageDraw.Draw(layer)
    for x in (0.2, 0.5, 0.8):
        pen.line((x * width, 0, (1 - x) * width, height), fill=255, width=3)
    lost = np.asarray(layer) > 0
    return np.where(lost[..., None], np.uint8(240), pixels), lost


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("realism", [0.0, 0.5, 1.0])
def test_what_is_kept_stays_to_the_level_and_nothing_of_the_damage_is_left(
    dtype: str, realism: float
) -> None:
    pixels = random_pixels(40, 50, dtype)
    lost = np.zeros((40, 50), bool)
    lost[10:20, 10:30] = True
    answers = []
    for damage in (0, np.iinfo(dtype).max):
        pixels[lost] = damage
        step = Inpaint(steps=3, realism=realism)
        result = run(step, masked(pixels, lost), model=gaussian(0, 0.1))
        assert np.array_equal(result.pictures[0].pixels[~lost], pixels[~lost])
        assert result.pictures[0].mask is None
        assert dict(result.measures) == {"filled": pytest.approx(0.1)}
        answers.append(result.pictures[0].pixels)
    assert np.array_equal(answers[0], answers[1])


@pytest.mark.parametrize("name", ["astronaut", "chelsea"])
def test_scratches_on_a_real_photograph_are_filled_in(name: str) -> None:
    truth = np.asarray(Image.fromarray(getattr(data, name)()).resize((192, 128)))
    damaged, lost = scratched(truth)
    result = run(Inpaint(), masked(damaged, lost))
    inpainted = result.pictures[0].pixels
    smooth = np.where(lost[..., None], np.uint8(np.median(truth)), truth)
    assert psnr(inpainted, truth) > psnr(damaged, truth) + 9
    assert psnr(inpainted, truth) > psnr(smooth, truth) + 5


def test_the_mean_of_samples_is_nearer_to_the_truth_than_one() -> None:
    truth = np.asarray(Image.fromarray(data.chelsea()).resize((192, 128)))
    damaged, lost = scratched(truth)
    turns: Turns = []
    one, mean = (run(Inpaint(realism=r), masked(damaged, lost), turns=turns) for r in (1.0, 0.0))
    assert [len(turn) for turn in turns] == [1] * 10 + [4] * 10
    assert psnr(mean.pictures[0].pixels, truth) > psnr(one.pictures[0].pixels, truth) + 0.2


def test_a_window_without_damage_asks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "WINDOW_PX", 512)
    pixels = random_pixels(48, 1200)
    lost = np.zeros((48, 1200), bool)
    lost[20:24, :40] = True
    turns: Turns = []
    step = Inpaint(steps=2)
    run(step, masked(pixels, lost), model=gaussian(0, 0.1), turns=turns)
    whole = math.prod(pixels.shape[:2])
    assert 0 < sum(call.x_t[0].numel() for call in turns[0]) < 0.6 * whole
    assert len(turns) == 2


def test_an_empty_mask_changes_nothing_and_asks_nothing() -> None:
    pixels = random_pixels(20, 30)
    turns: Turns = []
    given = masked(pixels, np.zeros((20, 30), bool))
    result = run(Inpaint(), given, turns=turns)
    assert np.array_equal(result.pictures[0].pixels, pixels)
    assert turns == []


def test_without_a_mask_or_with_nothing_kept_the_photograph_is_refused() -> None:
    given = picture(random_pixels(20, 30))
    with pytest.raises(PhotoError, match=r"needs NAME\.mask\.png") as caught:
        run(Inpaint(), given)
    assert caught.value.photo == ""
    assert caught.value.remedy == "paint it white where the picture is lost"
    whole = masked(given.pixels, np.ones((20, 30), bool))
    with pytest.raises(PhotoError) as caught:
        run(Inpaint(), whole)
    assert caught.value.photo == ""
    assert caught.value.why == "the mask has no black (0) pixel"
    assert caught.value.remedy == "paint what is to be kept black"


def test_a_search_that_takes_everything_for_damage_blames_no_mask(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def everything(picture: Picture, params: Inpaint) -> ModelCalls[NDArray[np.uint8]]:
        return np.full(picture.pixels.shape[:2], 255, np.uint8)
        yield

    monkeypatch.setattr("daemon.restorers.inpaint.find_scratches", everything)
    with pytest.raises(PhotoError) as caught:
        run(Inpaint(find=True, sensitivity=0.999), picture(random_pixels(2, 3)))
    assert caught.value.why == "the search takes the whole picture for damage"
    assert caught.value.remedy == "lower sensitivity, or paint NAME.mask.png beside NAME"


@pytest.mark.parametrize("size", [(1, 2), (3, 2), (17, 16)])
def test_the_smallest_pictures_pass(size: tuple[int, int]) -> None:
    lost = np.zeros(size, bool)
    lost[:, 0] = True
    given = masked(random_pixels(*size), lost)
    result = run(Inpaint(steps=2), given).pictures[0].pixels
    assert np.array_equal(result[:, 1:], given.pixels[:, 1:])
    assert not np.array_equal(result, given.pixels)


def test_grey_stays_grey() -> None:
    damaged, lost = scratched(np.stack([data.camera()[100:164, 100:164]] * 3, axis=-1))
    given = replace(masked(damaged, lost), grey=True)
    result = run(Inpaint(steps=3), given).pictures[0].pixels
    assert np.array_equal(result, np.repeat(result[..., :1], 3, axis=2))


def test_a_soft_edge_of_a_mask_keeps_the_share_that_it_says() -> None:
    pixels = random_pixels(32, 32)
    mask = np.zeros((32, 32), np.uint8)
    mask[8:24, 8:24] = 51
    soft, hard = (
        run(Inpaint(steps=3), replace(picture(pixels), mask=m))
        for m in (mask, np.where(mask, 255, 0).astype(np.uint8))
    )
    expected = 0.8 * pixels.astype(float) + 0.2 * np.asarray(hard.pictures[0].pixels, float)
    assert np.abs(np.asarray(soft.pictures[0].pixels, np.float64) - expected).max() <= 1


def test_the_filling_is_between_what_is_around_it() -> None:
    ramp = torch.linspace(-1, 1, 65).expand(3, 33, 65)
    lost = torch.zeros(33, 65, dtype=torch.bool)
    lost[8:20, 24:40] = True
    result = filled(ramp, lost)
    assert torch.equal(result[:, ~lost], ramp[:, ~lost])
    inside = result[:, lost]
    assert inside.min() >= -0.45 and inside.max() <= 0.45
    assert (result - ramp)[:, lost].abs().max() < 0.25
    assert torch.equal(filled(ramp, torch.ones_like(lost)), torch.zeros_like(ramp))
