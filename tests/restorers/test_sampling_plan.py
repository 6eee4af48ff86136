"""How steps sample: as they say, else as their kind does."""

import math

import numpy as np
import pytest

from daemon.checkpoints.traits import PRIOR_TRAITS
from daemon.config.steps import Colorize, Denoise, Restyle, Step, SuperResolve
from daemon.diffusion.angles import spaced_angles
from daemon.diffusion.samplers import SAMPLERS
from daemon.restorers.registry import check_step
from daemon.restorers.sampling_plan import SamplingPlan
from daemon.system.errors import ConfigError
from tests.support.answering import Turns, echo, picture, random_pixels, run
from tests.support.known_model import KnownModel, flat

PLAN = SamplingPlan(SAMPLERS["ancestral"], "even", 12)


def test_what_a_step_says_takes_the_place_of_its_kinds_plan() -> None:
    assert PLAN.of(Restyle()) == PLAN
    asked = PLAN.of(Restyle(sampler="ddim", spacing="karras", steps=5))
    assert asked == SamplingPlan(SAMPLERS["ddim"], "karras", 5)
    assert asked.trajectory(0.7, 1.02).angles == spaced_angles(0.7, 5, "karras")


def test_timesteps_are_for_models_that_have_some_and_stand_alone() -> None:
    with pytest.raises(ConfigError, match="knows no timesteps"):
        check_step(Restyle(timesteps=(999, 499)), PRIOR_TRAITS)
    with pytest.raises(ValueError, match="timesteps and steps say the same"):
        Restyle(timesteps=(999, 499), steps=2)
    with pytest.raises(ValueError, match="each must be smaller than the last"):
        Restyle(timesteps=(499, 999))


@pytest.mark.parametrize(
    ("step", "start"),
    [
        (Denoise(mode="gaussian", sigma=25, realism=1), math.atan(25 / 127.5)),
        (Restyle(strength=0.5), math.pi / 4),
        (SuperResolve(realism=1), 0.6),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_the_network_is_asked_at_the_angles_that_a_step_names(step: Step, start: float) -> None:
    turns: Turns = []
    asked = step.model_copy(update={"spacing": (1.0, 0.5, 0.2)})
    run(asked, picture(random_pixels(24, 24)), model=echo, turns=turns)
    angles = [turn[0].t for turn in turns][-3:]
    assert angles == pytest.approx([start, 0.5 * start, 0.2 * start])


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_works_in_every_step_that_samples(sampler: str, pixel: KnownModel) -> None:
    for step in (Denoise(realism=1), SuperResolve(realism=1), Restyle(), Colorize()):
        asked = step.model_copy(update={"sampler": sampler, "steps": 3, "spacing": "late"})
        result = pixel.restore(asked, flat(120, 32)).pictures[0].pixels
        assert float(np.mean((result == 0) | (result == 255))) < 1e-3
