"""The restorer in CONTRIBUTING.md runs, and the layers there are those that are enforced."""

import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
from skimage import data

from daemon.config.steps import Denoise
from daemon.diffusion.noise import Noise
from tests.support.answering import answer, picture, pixels_of, psnr, real

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "CONTRIBUTING.md").read_text()


def test_the_restorer_of_the_guide_takes_noise_off() -> None:
    (source,) = re.findall(r"^```python\n(.+?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(source, "CONTRIBUTING.md", "exec"), names)
    truth = data.astronaut()[:96, 160:256]
    drawn = np.random.default_rng(0).normal(0, 10, truth.shape)
    given = np.clip(np.rint(truth + drawn), 0, 255).astype(np.uint8)
    result = pixels_of(answer(names["clean"]((picture(given),), Denoise(), Noise(0)), real))
    assert psnr(result, truth) > psnr(given, truth) + 5


def test_the_layers_of_the_guide_are_those_that_are_enforced() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (layers,) = (c["layers"] for c in contracts["contracts"] if c["type"] == "layers")
    told = re.findall(
        r"^    ([a-z ]+)$", GUIDE.split("## Layers")[1].split("\n- ")[0], re.MULTILINE
    )
    assert told == [layer for layer in layers if layer != "__main__"]
