"""Fixtures of restorers: checkpoints that know the truth."""

import pytest

from tests.support.known_model import (
    PREDICTIONS,
    KnownModel,
    known_latent_model,
    known_pixel_model,
)


@pytest.fixture(params=PREDICTIONS)
def pixel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> KnownModel:
    """An unconditional checkpoint that knows the posterior, for each kind of prediction."""
    return known_pixel_model(request.param, monkeypatch)


@pytest.fixture
def latent(monkeypatch: pytest.MonkeyPatch) -> KnownModel:
    """A Stable Diffusion that knows the posterior."""
    return known_latent_model(monkeypatch)
