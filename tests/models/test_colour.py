"""The shipped colour network, asked through its calls."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from torch import Tensor

from daemon.checkpoints.library import Checkpoint
from daemon.checkpoints.traits import SHIPPED_TRAITS
from daemon.models.calls import ColourCall
from daemon.models.colour import chroma_moments, random_change
from daemon.models.colour_network import COLOURS, GRID, ColourNetwork
from daemon.models.registry import Placement, load_model
from daemon.system.errors import ConfigError
from tests.support.answering import seeded, shipped


def grey_photograph(name: str = "astronaut") -> Tensor:
    """A photograph of scikit-image made grey, (1, 256, 256) in [-1, 1]."""
    image = Image.fromarray(getattr(data, name)()).convert("L").resize((256, 256))
    return torch.from_numpy(np.asarray(image, np.float32) / 127.5 - 1)[None]


def answered(vivid: float = 0.0, variation: float = 0.0, seed: int = 0) -> Tensor:
    call = ColourCall("colour", grey_photograph(), vivid, variation, seed)
    (answer,) = shipped("colour").predict([call])
    assert isinstance(answer, Tensor)
    return answer


def test_a_face_is_found_to_be_redder_than_it_is_blue_and_surer_than_the_backdrop() -> None:
    answer = answered()
    assert answer.shape == (3, 256 // GRID, 256 // GRID)
    face, backdrop = answer[:, 14:22, 25:33], answer[:, 5:20, 45:55]
    red, blue, deviation = face.mean((1, 2)).tolist()
    assert red > 0.08
    assert blue < -0.05
    trust = [
        float((one[:2].square().sum(0) / (one[:2].square().sum(0) + one[2].square())).mean())
        for one in (face, backdrop)
    ]
    assert trust[0] > 2 * trust[1]
    assert 0 < deviation < 0.4


def test_a_variation_of_one_seed_is_always_the_same_and_of_another_seed_another() -> None:
    plain = answered()
    once, again, other = (answered(variation=0.8, seed=seed) for seed in (1, 1, 2**62))
    assert torch.equal(once, again)
    assert float((once[:2] - other[:2]).abs().mean()) > 0.005
    assert float((once[:2] - plain[:2]).abs().mean()) > 0.005


def test_damaged_weights_are_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "colour.safetensors").write_bytes(b"torn")
    checkpoint = Checkpoint("colour", tmp_path, SHIPPED_TRAITS["colour"])
    with pytest.raises(ConfigError, match=r"model colour: cannot be loaded: .*package again"):
        load_model(Placement(checkpoint, "cpu"))


def test_vivid_answers_have_more_colour() -> None:
    plain, vivid = (answered(vivid=v)[:2].norm(dim=0).mean() for v in (0.0, 1.0))
    assert float(vivid / plain) > 1.1


def test_moments_are_those_of_the_palette() -> None:
    palette = torch.tensor(((0.2, -0.1), (-0.4, 0.3), (0.0, 0.0)))
    odds = torch.tensor((0.5, 0.25, 0.25))
    moments = chroma_moments(odds.log().view(3, 1, 1), palette)[:, 0, 0]
    mean = (odds[:, None] * palette).sum(0)
    deviation = (odds * (palette - mean).square().sum(1)).sum().sqrt()
    assert torch.allclose(moments, torch.cat((mean, deviation[None])), atol=1e-6)


def test_a_random_change_is_the_same_where_the_features_are_and_moves_like_colours_alike() -> None:
    features = seeded(48, 6, 7)
    features[:, 3, 3] = features[:, 0, 0]
    palette = seeded(COLOURS, 2) * 0.3
    palette[1] = palette[0] + 0.001
    change = random_change(features, palette, 7)
    assert change.shape == (COLOURS, 6, 7)
    assert torch.allclose(change[:, 3, 3], change[:, 0, 0], atol=1e-5)
    assert float((change[0] - change[1]).abs().max()) < 0.05
    assert 0.3 < float(change.std()) < 3


def test_features_of_flat_pictures_change_nothing_into_nan() -> None:
    change = random_change(torch.ones(48, 1, 1), seeded(COLOURS, 2), 0)
    assert bool(change.isfinite().all())


def test_the_network_takes_any_multiple_of_32() -> None:
    network = ColourNetwork().eval()
    with torch.inference_mode():
        for height, width in ((32, 32), (32, 96), (160, 64)):
            log_odds = network(torch.zeros(2, 1, height, width))
            assert log_odds.shape == (2, COLOURS, height // GRID, width // GRID)
