"""What is copied between the machine's memory and the device while a photograph is restored.

"meta" stands for a device whose numbers nobody can read: whatever looks at one, or mixes a tensor
of the machine's memory in, raises.
"""

from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from daemon.checkpoints.library import Library
from daemon.config.recipe import Recipe
from daemon.config.steps import Colorize, Denoise, Inpaint, Restyle, Step, SuperResolve
from daemon.messages.tasks import ModelOptions
from daemon.models import transfers
from daemon.models.calls import answer_of
from daemon.models.registry import Model, Placement, load_model
from daemon.models.transfers import Copies
from daemon.photo import Metadata, Picture
from daemon.restorers.chain import restore
from tests.support.checkpoints import tiny_folder

SD = str(tiny_folder("stable-2"))
XL = str(tiny_folder("stable-xl"))
PIXEL = str(tiny_folder("pixel-v"))

CASES: dict[str, Step] = {
    "restyle": Restyle(strength=0.4, sampler="ancestral", mask=True),
    "denoise": Denoise(mode="gaussian", sigma=25, realism=1),
    "denoise, blind": Denoise(realism=0.5),
    "super-resolve": SuperResolve(scale=2, realism=1, sigma=40),
    "inpaint": Inpaint(realism=0),
    "colorize, pixel": Colorize(model=PIXEL),
    "restyle, latent": Restyle(strength=0.4, model=SD, prompt="a cat", guidance=4.0, mask=True),
    "restyle, XL": Restyle(strength=0.4, model=XL, prompt="a cat", guidance=4.0),
}


@pytest.fixture
def unreadable_device(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A device from which results come as ones."""
    monkeypatch.setattr(Tensor, "cpu", lambda one: torch.ones(one.shape, dtype=one.dtype))
    transfers.use_device("meta")
    yield
    transfers.use_device("cpu")


@cache
def model_on(device: str, reference: str) -> Model:
    return load_model(
        Placement(Library().checkpoint(reference), device, ModelOptions(dtype="fp32"))
    )


def copies_of(step: Step, device: str) -> Copies:
    """Restore a photograph, and count."""
    mask = np.zeros((40, 30), np.uint8)
    mask[20:30] = 255
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    grey = isinstance(step, Colorize)
    pixels = np.repeat(pixels[..., :1], 3, axis=2) if grey else pixels
    picture = Picture(pixels, grey, Metadata("PNG", "RGB"), mask=mask)
    before = transfers.copies()
    generator = restore(Recipe(name="one", steps=(step,)), (picture,), 1)
    try:
        calls = next(generator)
        while True:
            (key,) = {call.key for call in calls}
            answers = model_on(device, key.model).predict(calls)
            calls = generator.send([answer_of(answer) for answer in answers])
    except StopIteration:
        pass
    after = transfers.copies()
    return Copies(after.uploads - before.uploads, after.downloads - before.downloads)


@pytest.mark.usefixtures("unreadable_device")
@pytest.mark.parametrize("name", CASES)
def test_a_run_of_many_steps_copies_as_often_as_one_of_few(name: str) -> None:
    few, many = (
        copies_of(CASES[name].model_copy(update={"steps": steps}), "meta") for steps in (2, 5)
    )
    assert few == many
    assert few.uploads <= 5, few
    assert few.downloads <= 4, few


@pytest.mark.parametrize("name", ["restyle", "restyle, latent"])
def test_where_the_processor_is_the_device_the_seam_is_passed_as_often(name: str) -> None:
    few, many = (
        copies_of(CASES[name].model_copy(update={"steps": steps}), "cpu") for steps in (2, 5)
    )
    assert few == many
