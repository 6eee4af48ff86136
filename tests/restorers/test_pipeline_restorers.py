"""Restorers that ask pipelines: sizes, tiles, seeds, masks, luminance, the measurement."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from daemon.checkpoints.traits import Traits
from daemon.config.steps import Colorize, Denoise, Inpaint, Restyle, Step, SuperResolve
from daemon.diffusion.noise import Noise
from daemon.models.calls import PipelineCall
from daemon.restorers.interface import Restoration
from daemon.restorers.pipeline_repair import CLEAN, COLOUR
from daemon.restorers.pipeline_tiles import PipelineRequest, cut_pipeline_side, run_tiled
from daemon.restorers.registry import restorer_for
from tests.support.answering import blend_weights, picture, random_pixels
from tests.support.checkpoints import drive
from tests.support.pipelines import EDIT, IMAGE, INPAINT, UPSCALE


class PipelineModel:
    """Stands for a pipeline: answers by a function of the picture, and keeps the calls."""

    def __init__(self, make: Callable[[Tensor], Tensor] = lambda image: image) -> None:
        self.calls: list[PipelineCall] = []
        self._make = make

    def __call__(self, calls: Sequence[PipelineCall]) -> list[Tensor]:
        answers = []
        for call in calls:
            assert call.image is not None
            self.calls.append(call)
            answer = self._make(call.image)
            assert tuple(answer.shape) == (3, call.settings.height, call.settings.width)
            answers.append(answer)
        return answers


@pytest.mark.parametrize("step", [Inpaint(prompt="a cup"), Restyle(prompt="a cup", strength=0.8)])
def test_an_inpainting_pipeline_changes_what_the_mask_marks_and_sees_only_those_tiles(
    step: Inpaint | Restyle,
) -> None:
    pixels = random_pixels(40, 150)
    lost = np.zeros((40, 150), np.uint8)
    lost[10:30, 100:120] = 255
    given = replace(picture(pixels), mask=lost)
    pipeline = PipelineModel(torch.neg)
    result = drive(restorer_for(step.kind, INPAINT)((given,), step, Noise(0)), pipeline)
    (made,) = result.pictures
    assert np.array_equal(made.pixels[lost == 0], pixels[lost == 0])
    assert np.array_equal(made.pixels[lost > 0], 255 - pixels[lost > 0])
    tiles = cut_pipeline_side(150, 64, 16)
    marked = [start for start in tiles.starts if start < 120 and start + 64 > 100]
    assert len(pipeline.calls) == len(marked) < len(tiles.starts)
    wanted = 1.0 if isinstance(step, Inpaint) else 0.8
    assert {call.settings.strength for call in pipeline.calls} == {wanted}
    for call in pipeline.calls:
        assert call.mask is not None
        assert set(call.mask.flatten().tolist()) <= {0.0, 1.0}


def larger(image: Tensor) -> Tensor:
    return image.repeat_interleave(4, 1).repeat_interleave(4, 2)


def restored(
    step: Step, pixels: NDArray[np.generic], pipeline: PipelineModel, traits: Traits, seed: int = 0
) -> Restoration:
    restorer = restorer_for(step.kind, traits)
    return drive(restorer((picture(pixels),), step, Noise(seed)), pipeline)


def test_a_picture_of_any_size_comes_back_at_its_size_in_sides_that_pipelines_take() -> None:
    for height, width in ((1, 1), (17, 40), (64, 64), (65, 150), (3, 600)):
        image = torch.rand(3, height, width) * 2 - 1
        pipeline = PipelineModel()
        result = drive(run_tiled(PipelineRequest("it", "edit"), image, Noise(0), EDIT), pipeline)
        assert torch.allclose(result, image, atol=1e-6)
        assert all(call.settings.width % 16 == 0 for call in pipeline.calls)
        assert all(call.settings.height <= 64 for call in pipeline.calls)
        assert len({call.key for call in pipeline.calls}) == 1, "tiles of a picture share a batch"


def test_an_upscaler_gets_small_tiles_and_its_answer_is_four_times_as_large() -> None:
    image = torch.rand(3, 70, 100) * 2 - 1
    pipeline = PipelineModel(larger)
    result = drive(run_tiled(PipelineRequest("it", "upscale"), image, Noise(0), UPSCALE), pipeline)
    assert torch.allclose(result, larger(image), atol=1e-6)
    assert {call.image.shape for call in pipeline.calls if call.image is not None} == {(3, 64, 64)}
    assert {(c.settings.width, c.settings.height) for c in pipeline.calls} == {(256, 256)}


def test_tiles_overlap_by_a_quarter_and_their_weights_sum_to_one() -> None:
    for length in (65, 100, 129, 1000):
        side = cut_pipeline_side(length, 64, 16)
        assert side.stop(len(side.starts) - 1) == length
        assert torch.allclose(blend_weights(side), torch.ones(length), atol=1e-6)
        gaps = np.diff(side.starts)
        assert (64 - gaps >= 15).all()


def test_every_tile_of_every_job_has_a_seed_of_its_own_that_repeats() -> None:
    pixels = random_pixels(64, 150)
    step = Denoise(model="./it", work_px=0)
    first, again, other = PipelineModel(), PipelineModel(), PipelineModel()
    restored(step, pixels, first, EDIT)
    restored(step, pixels, again, EDIT)
    restored(step, pixels, other, EDIT, seed=1)
    seeds = [call.seed for call in first.calls]
    assert len(set(seeds)) == len(seeds) == 3
    assert seeds == [call.seed for call in again.calls]
    assert not set(seeds) & {call.seed for call in other.calls}


def test_restyle_passes_the_recipe_on_and_keeps_what_the_mask_keeps() -> None:
    pixels = random_pixels(32, 48)
    mask = np.zeros((32, 48), np.uint8)
    mask[:, 24:] = 255
    step = Restyle(
        model="./it",
        strength=0.5,
        prompt="oil",
        negative_prompt="ink",
        guidance=3.0,
        steps=7,
        work_px=0,
    )
    pipeline = PipelineModel(torch.negative)
    restorer = restorer_for("restyle", IMAGE)
    given = replace(picture(pixels), mask=mask)
    result = drive(restorer((given,), step, Noise(0)), pipeline)
    (call,) = pipeline.calls
    settings = call.settings
    assert (call.prompt, call.negative) == ("oil", "ink")
    assert (settings.use, settings.strength, settings.guidance, settings.steps) == (
        "image", 0.5, 3.0, 7,
    )  # fmt: skip
    output = result.pictures[0].pixels
    assert np.array_equal(output[:, :24], pixels[:, :24])
    assert np.array_equal(output[:, 24:], 255 - pixels[:, 24:])
    ((name, sigma),) = result.measures
    assert name == "sigma"
    assert sigma == pytest.approx(127.5)


def test_restyle_at_strength_0_calls_no_pipeline_and_a_sweep_is_one_sheet() -> None:
    pixels = random_pixels(32, 32)
    pipeline = PipelineModel()
    same = restored(Restyle(model="./it", strength=0), pixels, pipeline, IMAGE)
    assert np.array_equal(same.pictures[0].pixels, pixels)
    assert pipeline.calls == []
    sheet = restored(Restyle(model="./it", sweep=(0.3, 0.6)), pixels, pipeline, IMAGE)
    assert [call.settings.strength for call in pipeline.calls] == [0.3, 0.6]
    assert len({call.seed for call in pipeline.calls}) == 1
    assert sheet.pictures[0].pixels.shape[1] > 3 * 32


@pytest.mark.parametrize(
    ("step", "instruction"),
    [
        (Denoise(model="./it"), CLEAN),
        (Denoise(model="./it", prompt="remove the dust"), "remove the dust"),
        (Colorize(model="./it"), COLOUR),
        (Restyle(model="./it", prompt="make it winter"), "make it winter"),
    ],
)
def test_edits_use_the_instruction_of_the_recipe_or_their_own(step: Step, instruction: str) -> None:
    pipeline = PipelineModel()
    restored(step, random_pixels(32, 32), pipeline, EDIT)
    assert {call.prompt for call in pipeline.calls} == {instruction}
    assert {call.settings.use for call in pipeline.calls} == {"edit"}


def test_a_grey_photograph_stays_grey_when_it_is_denoised() -> None:
    tinted = PipelineModel(lambda image: image * torch.tensor([1.0, 0.5, 0.2])[:, None, None])
    result = restored(Denoise(model="./it"), random_pixels(32, 32)[..., 0], tinted, EDIT)
    output = result.pictures[0].pixels
    assert (output == output[..., :1]).all()


def test_colorize_takes_the_colour_of_an_edit_and_keeps_the_luminance() -> None:
    pixels = random_pixels(48, 64)[..., 0]
    red = PipelineModel(lambda image: image * 0 + torch.tensor([0.9, -0.6, -0.9])[:, None, None])
    result = restored(Colorize(model="./it"), pixels, red, EDIT)
    output = result.pictures[0].pixels
    assert np.array_equal(np.asarray(Image.fromarray(output.astype(np.uint8)).convert("L")), pixels)
    assert output[..., 0].mean() > output[..., 2].mean() + 20
    (call,) = red.calls
    assert call.image is not None
    assert torch.equal(call.image[0], call.image[2]), "it is shown the grey photograph"


def test_colorize_shows_a_large_photograph_small() -> None:
    pipeline = PipelineModel()
    result = restored(Colorize(model="./it"), random_pixels(100, 200), pipeline, EDIT)
    (call,) = pipeline.calls
    assert (call.settings.width, call.settings.height) == (64, 64)
    assert call.image is not None
    assert torch.equal(call.image[:, 32:], call.image[:, 31:32].expand(-1, 32, -1)), "repeated"
    assert result.pictures[0].pixels.shape == (100, 200, 3)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_super_resolve_gives_the_wanted_scale_and_agrees_with_the_small_picture(
    scale: int,
) -> None:
    pixels = random_pixels(24, 40) // 2 + 64
    wrong = PipelineModel(lambda image: (larger(image) * 0.5 + 0.1).clamp(-1, 1))
    step = SuperResolve(model="./it", scale=scale)
    result = restored(step, pixels, wrong, UPSCALE)
    output = result.pictures[0].pixels
    assert output.shape == (24 * scale, 40 * scale, 3)
    ((name, residual),) = result.measures
    assert name == "residual"
    assert residual < 0.6


def test_the_answer_of_a_faithful_upscaler_is_the_result_at_scale_4() -> None:
    pixels = random_pixels(16, 16)
    result = restored(SuperResolve(model="./it", scale=4), pixels, PipelineModel(larger), UPSCALE)
    assert np.array_equal(result.pictures[0].pixels, pixels.repeat(4, 0).repeat(4, 1))
