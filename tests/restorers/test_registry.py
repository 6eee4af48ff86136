"""The table of kinds of steps, and recipes that do not fit their models."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from pydantic import ValidationError

from daemon.checkpoints.library import Library
from daemon.checkpoints.traits import PRIOR_TRAITS, Traits
from daemon.config.steps import (
    Colorize,
    Denoise,
    Interpolate,
    Restyle,
    Step,
    SuperResolve,
    Unfade,
)
from daemon.restorers.registry import STEP_KINDS, check_models, check_step, restorer_for
from daemon.system.errors import ConfigError
from tests.support.answering import recipe_of
from tests.support.checkpoints import tiny_folder
from tests.support.pipelines import EDIT, IMAGE, UPSCALE


def test_every_kind_of_step_has_its_restorers() -> None:
    known = {step.model_fields["kind"].default for step in get_args(get_args(Step)[0])}
    assert set(STEP_KINDS) == known
    for kind, row in STEP_KINDS.items():
        assert row.kind == kind
        for use in row.restorers:
            assert callable(restorer_for(kind, replace(EDIT, uses=(use,))))


def test_recipes_are_checked_without_torch() -> None:
    code = (
        "import sys; from daemon.restorers.registry import check_models; check_models([], None);"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_prior_serves_every_kind_but_generate() -> None:
    with pytest.raises(ConfigError, match="generate needs a text-to-image checkpoint; this is the"):
        restorer_for("generate", PRIOR_TRAITS)
    assert all(callable(restorer_for(kind)) for kind in set(STEP_KINDS) - {"generate"})


@pytest.mark.parametrize(
    ("step", "traits", "said"),
    [
        (Denoise(model="./it"), IMAGE, r"denoise needs the prior .*; this is a text-to-image"),
        (SuperResolve(model="./it"), IMAGE, r"super-resolve needs .*an upscaling checkpoint; this"),
        (Restyle(model="./it"), EDIT, "needs an instruction; write it as prompt"),
        (Restyle(model="./it", prompt="x", strength=0.4), EDIT, "knows no strength; leave"),
        (Denoise(model="./it", sigma=5), EDIT, "knows no sigma"),
        (SuperResolve(model="./it", realism=0.5), UPSCALE, "knows no realism"),
        (SuperResolve(model="./it", sampler="ddim"), UPSCALE, "knows no sampler; leave"),
        (Restyle(model="./it", spacing="late"), IMAGE, "knows no spacing; leave"),
        (Interpolate(sampler="ddim"), PRIOR_TRAITS, "interpolate knows no sampler; leave"),
        (Colorize(sampler="ddim"), PRIOR_TRAITS, "colorize knows no sampler; leave"),
        (Unfade(spacing="even"), PRIOR_TRAITS, "unfade knows no spacing; leave"),
        (
            Restyle(model="./it", negative_prompt="ink"),
            replace(IMAGE, pipeline="FluxPipeline"),
            "knows no negative_prompt; leave negative_prompt out",
        ),
    ],
)
def test_what_a_pipeline_would_ignore_is_refused(step: Step, traits: Traits, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        check_step(step, traits)


@pytest.mark.parametrize(
    ("kind", "folder"),
    [("denoise", "stable-1"), ("super-resolve", "stable-1"), ("super-resolve", "pixel-v")],
)
def test_a_model_without_a_posterior_mean_in_one_evaluation_refuses_self_ensemble(
    kind: str, folder: str
) -> None:
    step = {"kind": kind, "model": str(tiny_folder(folder)), "self_ensemble": 8}
    with pytest.raises(ConfigError, match="knows no self_ensemble"):
        check_models([recipe_of(step)], Library())


def test_a_checkpoint_cannot_search_for_scratches_and_a_mask_ends_a_recipe() -> None:
    step = {"kind": "inpaint", "find": True, "model": str(tiny_folder("pixel-v"))}
    with pytest.raises(ConfigError, match="knows no find"):
        check_models([recipe_of(step)], Library())
    with pytest.raises(ValidationError, match="mask_only must be the last step"):
        recipe_of({"kind": "inpaint", "find": True, "mask_only": True}, {"kind": "denoise"})


@pytest.mark.parametrize("key", ["prompt", "negative_prompt", "guidance"])
def test_prompts_for_a_model_without_a_text_encoder_are_refused(key: str) -> None:
    model = str(tiny_folder("pixel-v"))
    said = {"guidance": 2.0}.get(key, "a cat")
    step = {"kind": "restyle", "model": model, key: said}
    recipe = recipe_of({"kind": "denoise"}, step, name="odd")
    with pytest.raises(ConfigError) as error:
        check_models([recipe], Library())
    for part in ("odd", "steps[1]", model, key, "reads no text"):
        assert part in str(error.value)
    fine = {"kind": "restyle", "model": str(tiny_folder("stable-1")), key: said}
    check_models([recipe_of(fine)], Library())


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"steps": 4}, "unfade knows no steps; leave steps out"),
        ({"seed": 0}, "unfade knows no seed; leave seed out"),
        ({"prompt": "a red cup"}, "reads no text; leave out prompt"),
    ],
)
def test_keys_that_unfade_would_ignore_are_refused(keys: dict[str, object], said: str) -> None:
    recipe = recipe_of({"kind": "unfade", **keys})
    with pytest.raises(ConfigError, match=said):
        check_models([recipe], Library(Path("nowhere")))
    check_models([recipe_of({"kind": "unfade"})], Library())
