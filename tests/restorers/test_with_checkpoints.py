"""Contract of checkpoints that are driven step by step: every family, every kind of step."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from skimage import data

from daemon.checkpoints.library import Library
from daemon.config.steps import (
    Colorize,
    Denoise,
    Inpaint,
    Interpolate,
    Restyle,
    Step,
    SuperResolve,
)
from daemon.diffusion.concurrent import gather
from daemon.diffusion.noise import Noise
from daemon.models.calls import DenoiseCall, EmbedCall, ModelCall, ModelCalls
from daemon.photo import Picture
from daemon.restorers.interface import Restoration
from daemon.restorers.registry import restorer_for
from daemon.restorers.restyle import fitted_mask
from tests.support.answering import picture, random_pixels
from tests.support.checkpoints import TEXTUAL, TINY, drive, loaded, tiny, tiny_folder, tiny_traits
from tests.support.tiny_pipelines import save_pixel, save_stable, save_stable_inpaint

KINDS: dict[str, Step] = {
    "denoise": Denoise(steps=2, realism=0.5),
    "denoise-gaussian": Denoise(mode="gaussian", sigma=20, steps=2),
    "super-resolve": SuperResolve(steps=2),
    "colorize": Colorize(steps=2),
    "restyle": Restyle(steps=2),
    "inpaint": Inpaint(steps=2, realism=0.5),
    "interpolate": Interpolate(frames=3, steps=2),
}
EVERY = [pytest.param(n, k, id=f"{n}-{k}") for n, k in product(TINY, KINDS)]
SEEDED = [pytest.param(n, k, id=f"{n}-{k}") for n, k in product(TINY, KINDS) if k != "interpolate"]


def step_for(name: str, kind: str, **changes: object) -> Step:
    step = KINDS[kind].model_copy(update={"model": str(tiny_folder(name)), **changes})
    if name in TEXTUAL:
        step = step.model_copy(update={"prompt": "a photo of the old cat", "guidance": 3.0})
    return step


def photographs(step: Step, dtype: str = "uint8", *, grey: bool = False) -> tuple[Picture, ...]:
    parts = [data.astronaut()[:45, 160:230], data.coffee()[100:145, 200:270]]
    scale = 257 if dtype == "uint16" else 1
    pictures = [picture(part.astype(dtype) * np.array(scale, dtype)) for part in parts]
    if grey:
        pictures = [picture(given.pixels[..., 1]) for given in pictures]
    if isinstance(step, Inpaint):
        lost = np.zeros((45, 70), np.uint8)
        lost[:, 35:] = 255
        pictures = [replace(given, mask=lost) for given in pictures]
    return tuple(pictures[: step.photos])


@pytest.mark.parametrize(
    "step",
    [
        Inpaint(steps=2),
        Inpaint(steps=2, strength=0.6, prompt="a photo of the old cat"),
        Restyle(steps=2, strength=0.7),
    ],
)
def test_an_inpainting_checkpoint_makes_what_the_mask_marks(tmp_path: Path, step: Step) -> None:
    folder = save_stable_inpaint(tmp_path / "sd")
    given = replace(picture(data.astronaut()[:64, 160:230]), mask=photographs(Inpaint())[0].mask)
    restorer = restorer_for(step.kind, Library().checkpoint(str(folder)).traits)
    turns: list[list[ModelCall]] = []
    result = drive(restorer((given,), step, Noise(1)), loaded(folder), turns)
    (made,) = result.pictures
    mask = fitted_mask(given)
    assert mask is not None
    assert np.array_equal(made.pixels[mask == 0], given.pixels[mask == 0])
    assert not np.array_equal(made.pixels[mask > 0], given.pixels[mask > 0])
    asked = [call for turn in turns for call in turn if isinstance(call, DenoiseCall)]
    assert {None if c.condition is None else c.condition.shape[0] for c in asked} == {5}
    first = 2 / math.pi * max(call.t for call in asked)
    assert first == pytest.approx(step.strength or 1)  # type: ignore[union-attr]


DISTILLED: dict[str, tuple[dict[str, object], set[int]]] = {
    "turbo": (
        {"_class_name": "EulerAncestralDiscreteScheduler", "timestep_spacing": "trailing"},
        {749, 499, 249},
    ),
    "lcm": ({"_class_name": "LCMScheduler", "original_inference_steps": 50}, {759, 579, 379, 199}),
}


@pytest.mark.parametrize("name", DISTILLED)
def test_a_distilled_checkpoint_is_told_only_times_that_it_knows_and_gets_no_guidance(
    tmp_path: Path, name: str
) -> None:
    changes, times = DISTILLED[name]
    folder = save_stable(tmp_path / "sd")
    file = folder / "scheduler/scheduler_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    model = loaded(folder)
    told: list[float] = []
    unet = model._pipe.unet  # type: ignore[attr-defined]
    unet.register_forward_pre_hook(lambda _, args: told.extend(args[1].tolist()))
    checkpoint = Library().checkpoint(str(folder))
    step = Restyle(strength=0.85, prompt="a photo of the old cat")
    restorer = restorer_for("restyle", checkpoint.traits)
    drive(restorer((picture(random_pixels(64, 64)),), step, Noise(1)), model)
    assert {round(time) for time in told} == times
    assert len(told) == len(times), "one row for each call: no guidance"
    told.clear()
    asked = Restyle(strength=1, timesteps=(900, 300), guidance=2, prompt="a photo")
    drive(restorer((picture(random_pixels(64, 64)),), asked, Noise(1)), model)
    assert [round(time) for time in told] == [900, 900, 300, 300]


def started(
    name: str, step: Step, pictures: Sequence[Picture], seed: int = 1
) -> ModelCalls[Restoration]:
    return restorer_for(step.kind, tiny_traits(name))(tuple(pictures), step, Noise(seed))


def run(
    name: str,
    step: Step,
    pictures: Sequence[Picture],
    seed: int = 1,
    turns: list[list[ModelCall]] | None = None,
) -> Restoration:
    return drive(started(name, step, pictures, seed), tiny(name), turns)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize(("name", "kind"), EVERY)
def test_size_and_depth_are_kept(name: str, kind: str, dtype: str) -> None:
    step = step_for(name, kind)
    pictures = run(name, step, photographs(step, dtype)).pictures
    scale = 2 if kind == "super-resolve" else 1
    for result in pictures:
        assert result.pixels.shape == (45 * scale, 70 * scale, 3)
        assert result.pixels.dtype == dtype
    assert len(pictures) == (3 if kind == "interpolate" else 1)


@pytest.mark.parametrize(("name", "kind"), EVERY)
def test_a_seed_repeats_the_result(name: str, kind: str) -> None:
    step = step_for(name, kind)
    one, two = (run(name, step, photographs(step), seed=3).pictures for _ in range(2))
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize(("name", "kind"), SEEDED)
def test_another_seed_gives_another_result(name: str, kind: str) -> None:
    # The default sampler of gaussian denoise adds no noise of its own.
    drawn = {"realism": 1.0, "sampler": "ancestral"} if kind.startswith("denoise") else {}
    step = step_for(name, kind, **drawn)
    one, two = (run(name, step, photographs(step), seed=seed).pictures[0] for seed in (3, 4))
    assert not np.array_equal(one.pixels, two.pixels)


@pytest.mark.parametrize(("name", "kind"), EVERY)
def test_photographs_that_share_forward_passes_come_out_as_they_do_alone(
    name: str, kind: str
) -> None:
    step = step_for(name, kind)
    given = photographs(step)
    mask = given[0].mask
    other = tuple(replace(two, mask=mask) for two in reversed(photographs(Interpolate())))
    sets = [given, other[: step.photos]]
    turns: list[list[ModelCall]] = []
    both = gather([started(name, step, pictures, seed=5) for pictures in sets])
    shared = drive(both, tiny(name), turns)
    alone = [run(name, step, pictures, seed=5) for pictures in sets]
    for one, two in zip(shared, alone, strict=True):
        for a, b in zip(one.pictures, two.pictures, strict=True):
            assert np.abs(a.pixels.astype(int) - b.pixels).max() <= 1
    calls = [call for turn in turns for call in turn if isinstance(call, DenoiseCall)]
    assert len({call.key for call in calls}) == 1


@pytest.mark.parametrize(("name", "kind"), EVERY)
def test_grey_stays_grey_unless_it_is_coloured(name: str, kind: str) -> None:
    step = step_for(name, kind)
    for result in run(name, step, photographs(step, grey=True)).pictures:
        assert result.grey == (kind != "colorize")
        assert (np.ptp(result.pixels.astype(int), axis=2).max() == 0) == (kind != "colorize")


@pytest.mark.parametrize(("name", "kind"), EVERY)
def test_a_restorer_can_be_closed_while_it_waits_for_answers(name: str, kind: str) -> None:
    step = step_for(name, kind)
    restorer = started(name, step, photographs(step), seed=0)
    assert len(list(next(restorer))) > 0
    restorer.close()
    with pytest.raises(StopIteration):
        next(restorer)
    again = run(name, step, photographs(step))
    assert again.pictures[0].pixels.size > 0


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (130, 40)])
@pytest.mark.parametrize(
    ("name", "kind"),
    [(n, k) for n, k in product(("pixel-v", "stable-xl"), KINDS) if k != "inpaint"],
)
def test_any_size_passes(name: str, kind: str, size: tuple[int, int]) -> None:
    step = step_for(name, kind)
    given = [picture(random_pixels(*size))] * step.photos
    scale = 2 if kind == "super-resolve" else 1
    result = run(name, step, given).pictures[0].pixels
    assert result.shape == (size[0] * scale, size[1] * scale, 3)


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("kind", ["restyle", "inpaint"])
def test_what_a_mask_keeps_is_the_photograph(name: str, kind: str) -> None:
    step = step_for(name, kind, **({"strength": 0.8} if kind == "restyle" else {}))
    (given,) = photographs(step)
    mask = np.zeros((45, 70), np.uint8)
    mask[:, 35:] = 255
    result = run(name, step, [replace(given, mask=mask)]).pictures[0].pixels
    assert np.array_equal(result[:, :35], given.pixels[:, :35])
    assert np.abs(result[:, 35:].astype(int) - given.pixels[:, 35:]).mean() > 3


@pytest.mark.parametrize("name", TINY)
def test_an_interpolation_ends_with_the_photographs(name: str) -> None:
    step = step_for(name, "interpolate")
    first, second = photographs(step)
    frames = run(name, step, [first, second]).pictures
    assert np.array_equal(frames[0].pixels, first.pixels)
    assert np.array_equal(frames[2].pixels, second.pixels)


@pytest.mark.parametrize("name", TINY)
def test_colours_keep_the_luminance(name: str) -> None:
    step = step_for(name, "colorize")
    (given,) = photographs(step, grey=True)
    result = run(name, step, [given]).pictures[0].pixels
    weighed = result.astype(int) @ np.array((19595, 38470, 7471)) + 32768 >> 16
    assert np.array_equal(weighed, given.pixels[..., 0])


@pytest.mark.parametrize("name", TINY)
def test_an_enlargement_gives_the_photograph_back(name: str) -> None:
    step = step_for(name, "super-resolve", scale=3)
    pixels = data.coffee()[100:130, 200:240] // 2 + 60
    result = run(name, step, [picture(pixels)])
    blocks = result.pictures[0].pixels.reshape(30, 3, 40, 3, 3).mean((1, 3))
    if dict(result.measures)["residual"] < 0.5:
        assert np.abs(blocks - pixels).max() < 2
    assert dict(result.measures)["residual"] < 2


@pytest.mark.parametrize("name", TEXTUAL)
def test_prompt_and_guidance_change_the_result_and_prompts_are_embedded_once(name: str) -> None:
    results = []
    for changes in ({}, {"prompt": "blue"}, {"guidance": 9.0}, {"negative_prompt": "red"}):
        step = step_for(name, "restyle", strength=0.6).model_copy(update=changes)
        turns: list[list[ModelCall]] = []
        result = run(name, step, photographs(step), turns=turns)
        results.append(result.pictures[0].pixels)
        texts = [call.text for turn in turns for call in turn if isinstance(call, EmbedCall)]
        assert len(texts) == len(set(texts)) == (2 if "negative_prompt" in changes else 1)
    assert all(not np.array_equal(results[0], other) for other in results[1:])


def test_both_prompts_of_an_interpolation_are_followed() -> None:
    frames = []
    for second in ("", "blue graph"):
        step = step_for("stable-xl", "interpolate", second_prompt=second)
        frames.append(run("stable-xl", step, photographs(step)).pictures[1].pixels)
    assert not np.array_equal(frames[0], frames[1])


def test_blind_repair_by_a_checkpoint_notes_that_noise_was_estimated() -> None:
    step = Denoise(steps=2, model=str(tiny_folder("pixel-v")))
    result = run("pixel-v", step, photographs(step))
    assert "no blind repair" in result.notes[0]
    assert dict(result.measures)["sigma"] > 0


def test_tiles_of_a_network_with_attention_are_all_of_its_own_size(tmp_path: Path) -> None:
    folder = save_pixel(tmp_path / "small", size=16)
    step = Restyle(steps=1, model=str(folder))
    traits = Library().checkpoint(str(folder)).traits
    turns: list[list[ModelCall]] = []
    given = picture(random_pixels(40, 20))
    restorer = restorer_for("restyle", traits)
    drive(restorer((given,), step, Noise(0)), lambda calls: [c.x_t for c in calls], turns)
    assert {
        tuple(call.x_t.shape) for turn in turns for call in turn if isinstance(call, DenoiseCall)
    } == {(3, 16, 16)}
    assert len(turns[0]) == 6
