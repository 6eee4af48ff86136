"""Working at the size of a checkpoint's training: sizes, and the change brought back."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data

from daemon.checkpoints.traits import PRIOR_TRAITS
from daemon.config.steps import Denoise, Restyle
from daemon.diffusion.noise import Noise
from daemon.models.calls import ModelCalls, PipelineCall
from daemon.photo import Picture
from daemon.restorers.registry import restorer_for
from daemon.restorers.working_size import at_working_size, working_size
from tests.support.answering import picture, random_pixels
from tests.support.checkpoints import drive
from tests.support.pipelines import EDIT, IMAGE

LARGE = replace(IMAGE, side_px=512)
LATENT = replace(IMAGE, family="latent", uses=("latent",), side_px=512)

Pixels = NDArray[Any]


def changed(change: Callable[[Pixels], Pixels], given: Picture, size: tuple[int, int]) -> Pixels:
    """The result of a restorer that changes the small picture by a function of its levels."""

    def restore(small: Picture) -> ModelCalls[Pixels]:
        assert small.pixels.shape[:2] == size
        levels = change(small.pixels.astype(float) / 65535)
        return (levels * 65535).round().clip(0, 65535).astype(np.uint16)
        yield

    return drive(at_working_size(given, size, given.mask, restore), lambda calls: [])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(("shape", "size"), [((150, 210), (48, 64)), ((20, 30), (64, 96))])
def test_what_does_not_change_stays_to_the_level(
    dtype: type[np.generic], shape: tuple[int, int], size: tuple[int, int]
) -> None:
    pixels = (random_pixels(*shape).astype(np.uint32) * np.iinfo(dtype).max // 255).astype(dtype)  # type: ignore[type-var]
    result = changed(lambda levels: levels, picture(pixels), size)
    assert result.dtype == dtype
    assert np.array_equal(result, pixels)


def test_a_change_of_tones_reaches_every_detail_of_the_large_photograph() -> None:
    pixels = data.astronaut()
    result = changed(lambda levels: levels * 0.7 + 0.1, picture(pixels), (128, 128))
    wanted = pixels * 0.7 + 25.5
    error = np.sqrt(np.mean((result.astype(float) - wanted) ** 2))
    assert error < 0.6, "levels; enlarging the small result would miss by 9.6"


def test_what_is_removed_leaves_no_ghost() -> None:
    pixels = np.full((256, 256, 3), 180, np.uint8)
    pixels[100:140, 60:200] = 40
    result = changed(lambda levels: levels * 0 + 180 / 255, picture(pixels), (64, 64))
    assert np.abs(result.astype(int) - 180).mean() < 2
    assert np.abs(result[108:132, 70:190].astype(int) - 180).max() < 12


def test_the_mask_keeps_to_the_level() -> None:
    mask = np.zeros((120, 90), np.uint8)
    mask[40:80, 20:60] = 255
    given = replace(picture(random_pixels(120, 90)), mask=mask)
    result = changed(lambda levels: 1 - levels, given, (64, 48))
    assert np.array_equal(result[mask == 0], given.pixels[mask == 0])
    assert not np.array_equal(result[mask > 0], given.pixels[mask > 0])


def test_sizes_follow_the_training_unless_the_recipe_says_another() -> None:
    assert working_size((3000, 4000), Restyle(), LARGE) == (448, 592)
    assert working_size((200, 300), Restyle(), LARGE) == (416, 624)
    assert working_size((3000, 4000), Restyle(work_px=1024), LARGE) == (880, 1184)
    assert working_size((3000, 4000), Restyle(work_px=0), LARGE) is None
    assert working_size((512, 512), Restyle(), LARGE) is None
    assert working_size((300, 3000), Restyle(), LARGE) is None, "a strip is cut into tiles"
    assert working_size((3000, 4000), Restyle(), LATENT) is None, "tiles share one latent"
    assert working_size((200, 300), Restyle(), LATENT) == (512, 768)
    assert working_size((200, 300), Denoise(), PRIOR_TRAITS) is None


def test_a_large_photograph_is_edited_in_one_piece_and_comes_back_at_its_size() -> None:
    seen: list[PipelineCall] = []

    def model(calls: list[PipelineCall]) -> list[object]:
        seen.extend(calls)
        return [-call.image for call in calls if call.image is not None]

    pixels = data.astronaut()[:300]
    step = Restyle(model="./it", prompt="a negative")
    restorer = restorer_for("restyle", EDIT)
    result = drive(restorer((picture(pixels),), step, Noise(0)), model)  # type: ignore[arg-type]
    (call,) = seen
    assert (call.settings.height, call.settings.width) == (64, 80)
    difference = result.pictures[0].pixels.astype(int) - (255 - pixels.astype(int))
    assert np.sqrt(np.mean(difference**2)) < 12
    seen.clear()
    whole = step.model_copy(update={"work_px": 0})
    drive(restorer((picture(pixels),), whole, Noise(0)), model)  # type: ignore[arg-type]
    assert len(seen) > 10
