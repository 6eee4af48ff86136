"""Checkpoints that know the truth: pictures of independent Gaussian elements.

They stand behind the real model classes, with their schedules and kinds of prediction.
"""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from daemon.checkpoints.traits import Traits
from daemon.config.steps import Step
from daemon.diffusion.noise import Noise
from daemon.diffusion.sampling import Draw
from daemon.models.registry import Model
from daemon.photo import Picture
from daemon.restorers.interface import Restoration
from daemon.restorers.registry import restorer_for
from tests.support.answering import picture
from tests.support.checkpoints import (
    BlockVae,
    GaussianUnet,
    drive,
    loaded,
    tiny_folder,
    tiny_traits,
)
from tests.support.tiny_networks import make_scheduler

MU, DEVIATION = 0.1, 0.3
PREDICTIONS = {"epsilon": "pixel-epsilon", "v_prediction": "pixel-v", "sample": "pixel-sample"}


@dataclass(frozen=True)
class KnownModel:
    """A checkpoint whose every element is N(MU, DEVIATION**2), as a model and its traits."""

    model: Model
    traits: Traits

    def restore(self, step: Step, *pictures: Picture, seed: int = 0) -> Restoration:
        """Put pictures through a step."""
        restorer = restorer_for(step.kind, self.traits)
        return drive(restorer(pictures, step, Noise(seed)), self.model)


def known_pixel_model(prediction: str, patch: pytest.MonkeyPatch) -> KnownModel:
    """An unconditional checkpoint."""
    scheduler = make_scheduler("DDPMScheduler", prediction_type=prediction)
    unet = GaussianUnet(MU, DEVIATION, scheduler)
    patch.setattr("daemon.models.pixel.load_network", lambda *_: unet)
    name = PREDICTIONS[prediction]
    return KnownModel(loaded(tiny_folder(name)), tiny_traits(name))


def known_latent_model(patch: pytest.MonkeyPatch) -> KnownModel:
    """A Stable Diffusion whose latents are half the means of blocks, N(MU / 2, ...) each."""
    scheduler = make_scheduler(
        "DDIMScheduler", beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012
    )
    unet = GaussianUnet(MU / 2, DEVIATION / 2, scheduler, channels=4)
    pipe = SimpleNamespace(
        unet=unet,
        vae=BlockVae(),
        config={},
        components={},
        encode_prompt=lambda **_: (torch.zeros(1, 77, 32), None),
    )
    patch.setattr("daemon.models.latent.load_pipeline", lambda *_, **__: pipe)
    return KnownModel(loaded(tiny_folder("stable-1")), tiny_traits("stable-1"))


def flat(level: float, side: int = 64) -> Picture:
    """A picture of one level."""
    return picture(np.full((side, side, 3), round(level), np.uint8))


def square_draw(side: int, channels: int = 3) -> Draw:
    """Noise for a square picture or latent."""
    return lambda number: Noise(5).draw(number, side, side, channels=channels)
