"""Every restorer, and all geometry that fits, crops or tiles, at sizes nobody thought of."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from daemon.checkpoints.traits import PRIOR_TRAITS, Traits
from daemon.config.content_features import Feature
from daemon.config.steps import (
    Colorize,
    Denoise,
    Inpaint,
    Interpolate,
    Restyle,
    Step,
    SuperResolve,
    Unfade,
)
from daemon.diffusion.noise import Noise
from daemon.models.calls import (
    Answer,
    ClipCall,
    ColourCall,
    DamageCall,
    DecodeCall,
    DenoiseCall,
    EmbedCall,
    Embedding,
    EncodeCall,
    ModelCall,
    PipelineCall,
    RestoreCall,
)
from daemon.photo import Picture
from daemon.restorers.content import measure_features
from daemon.restorers.footprint import scale_of
from daemon.restorers.interpolate import filling_box, fitted
from daemon.restorers.pipeline_tiles import cut_pipeline_side
from daemon.restorers.registry import STEP_KINDS, restorer_for
from daemon.restorers.restyle import fitted_mask
from tests.support.answering import blend_weights, picture, random_pixels
from tests.support.checkpoints import drive
from tests.support.pipelines import EDIT, IMAGE, INPAINT, UPSCALE

LATENT = Traits(
    "latent", ("latent",), "a latent", side_px=64, channels=4, reduction=8, text_encoders=1
)
TOLD = replace(LATENT, uses=("latent-inpaint",), told_mask=True)
PIXEL = Traits("pixel", ("pixel",), "a pixel checkpoint", side_px=16)

SIDE = st.integers(1, 6000)
SMALL = st.integers(1, 90)

STEPS: Sequence[tuple[Step, Traits]] = (
    *(
        (step, traits)
        for traits in (PRIOR_TRAITS, PIXEL, LATENT)
        for step in (
            Colorize(steps=1, realism=0.5),
            Denoise(steps=1, realism=0.5),
            Inpaint(steps=1),
            Interpolate(frames=3, steps=1),
            Restyle(steps=1),
            SuperResolve(steps=1, scale=3, realism=0.5),
        )
    ),
    (Denoise(steps=1, self_ensemble=8, mode="gaussian"), PRIOR_TRAITS),
    (Inpaint(steps=1, find=True), PRIOR_TRAITS),
    (Inpaint(steps=1, find="cracks"), PRIOR_TRAITS),
    (Restyle(steps=1, sweep=(0.2, 0.5)), PRIOR_TRAITS),
    (SuperResolve(steps=1, scale=4, self_ensemble=8), PRIOR_TRAITS),
    (Unfade(), PRIOR_TRAITS),
    (Colorize(), EDIT),
    (Denoise(), EDIT),
    (Restyle(prompt="oil"), EDIT),
    (Restyle(strength=0.5), IMAGE),
    (Restyle(strength=0.5, work_px=0), IMAGE),
    (Inpaint(steps=1), TOLD),
    (Restyle(steps=1), TOLD),
    (Inpaint(), INPAINT),
    (Restyle(), INPAINT),
    (SuperResolve(scale=3), UPSCALE),
)


def fake_network(calls: Sequence[ModelCall]) -> list[Answer]:
    """Answers of the right shape: what it is shown, a little darker."""
    return [_answer(call) for call in calls]


def _answer(call: ModelCall) -> Answer:
    match call:
        case DenoiseCall():
            shown = call.x_t if call.condition is None else call.condition[-len(call.x_t) :]
            return 0.9 * shown.clamp(-1, 1)
        case RestoreCall():
            scale = call.degradation.scale
            return 0.9 * call.picture.repeat_interleave(scale, 1).repeat_interleave(scale, 2)
        case ColourCall():
            light = functional.avg_pool2d(call.grey, 4)
            return torch.cat((light / 3, -light / 4, light.square()))
        case DamageCall():
            return call.picture.mean(0, keepdim=True).add(1).div(2).clamp(0, 1)
        case EncodeCall():
            return functional.avg_pool2d(call.pixels.mean(0, keepdim=True), 8).repeat(4, 1, 1)
        case DecodeCall():
            return call.latent[:3].repeat_interleave(8, 1).repeat_interleave(8, 2)
        case EmbedCall():
            return Embedding(torch.zeros(2, 3))
        case ClipCall():
            return torch.zeros(len(call.phrases))
        case PipelineCall():
            assert call.image is not None
            size = (call.settings.height, call.settings.width)
            answer: Tensor = functional.interpolate(call.image[None], size)[0]
            return answer


def with_side_files(given: Picture, height: int, width: int) -> Picture:
    """The picture with a mask and hints of a size of their own."""
    mask = np.zeros((height, width), np.uint8)
    mask[: height // 2 + 1, : width // 2 + 1] = 255
    hints = np.zeros((height, width, 4), np.uint8)
    hints[height // 2, width // 2] = (200, 20, 20, 255)
    return replace(given, mask=mask, hints=hints)


def test_every_kind_of_step_with_every_use_is_among_those_tried() -> None:
    tried = {(step.kind, traits.uses[0]) for step, traits in STEPS}
    known = {(kind, use) for kind, row in STEP_KINDS.items() for use in row.restorers}
    assert known - tried == {("generate", "text")}, "a new kind of step is to be tried here too"


@pytest.mark.parametrize("number", range(len(STEPS)))
@settings(deadline=None, max_examples=5)
@given(size=st.tuples(SMALL, SMALL), other=st.tuples(SMALL, SMALL), deep=st.booleans())
def test_a_restorer_takes_pictures_and_side_files_of_any_size(
    number: int, size: tuple[int, int], other: tuple[int, int], *, deep: bool
) -> None:
    step, traits = STEPS[number]
    first, second = (
        with_side_files(picture(random_pixels(*one, "uint16" if deep else "uint8")), *another)
        for one, another in ((size, other), (other, size))
    )
    if isinstance(step, Inpaint) and step.find:
        first = replace(first, mask=None)
    elif isinstance(step, Inpaint):
        mask = fitted_mask(first)
        assume(mask is not None and (mask == 0).any())
    sources = (first, second)[: step.photos]
    result = drive(restorer_for(step.kind, traits)(sources, step, Noise(0)), fake_network)
    if not (isinstance(step, Restyle) and step.sweep):
        scale = scale_of(step)
        wanted = (size[0] * scale, size[1] * scale, 3)
        assert {one.pixels.shape for one in result.pictures} == {wanted}


@settings(deadline=None, max_examples=20)
@given(size=st.tuples(SMALL, SMALL))
def test_content_is_measured_at_any_size(size: tuple[int, int]) -> None:
    features = (Feature("colour"), Feature("noise"), Feature("likeness", "a cat"))
    given = picture(random_pixels(*size))
    numbers = drive(measure_features(given, features, "clip"), fake_network)
    assert np.isfinite(numbers).all()


@settings(deadline=None, max_examples=2000)
@given(old=st.tuples(SIDE, SIDE), new=st.tuples(SIDE, SIDE))
def test_the_part_that_fills_another_size_lies_within_the_picture(
    old: tuple[int, int], new: tuple[int, int]
) -> None:
    left, top, right, bottom = filling_box(old, new)
    # Pillow keeps boxes in single precision.
    assert 0 <= np.float32(left) <= np.float32(right) <= old[0]
    assert 0 <= np.float32(top) <= np.float32(bottom) <= old[1]
    assert (right - left) * new[1] == pytest.approx((bottom - top) * new[0])
    assert (left, right) == (0, old[0]) or (top, bottom) == (0, old[1])


@pytest.mark.parametrize(
    ("old", "new"), [((45, 54), (69, 49)), ((69, 49), (45, 54)), ((4000, 3000), (3264, 2448))]
)
def test_a_pair_of_unlike_size_is_fitted_though_its_shares_do_not_divide(
    old: tuple[int, int], new: tuple[int, int]
) -> None:
    assert fitted(np.zeros(old, np.uint8), new[1], new[0]).shape == new
    assert fitted(np.zeros(old[::-1], np.uint8), *new).shape == new[::-1]


@settings(deadline=None, max_examples=300)
@given(
    length=SIDE,
    side=st.sampled_from([16, 64, 128, 512, 1024]),
    multiple=st.sampled_from([16, 8, 4]),
)
def test_a_pipelines_tiles_cover_a_side_of_any_length(
    length: int, side: int, multiple: int
) -> None:
    cut = cut_pipeline_side(length, side, multiple)
    assert cut.size % multiple == 0
    assert cut.stop(len(cut.starts) - 1) == length
    assert float((blend_weights(cut) - 1).abs().max()) < 1e-5
