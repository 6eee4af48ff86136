"""The restoration networks of the package, asked through their calls."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from skimage import data
from torch import Tensor

from daemon.checkpoints.library import Library
from daemon.diffusion.pixels import to_tensor
from daemon.diffusion.tiling import ENLARGEMENT_TILES, REPAIR_TILES, restore_tiles
from daemon.messages.tasks import ModelOptions
from daemon.models.calls import Degradation, RestoreCall
from daemon.models.registry import Placement, load_model
from daemon.models.restoration import RestorationModel, read_network, task_of, write_network
from daemon.models.restoration_network import RestorationBatch, RestorationNetwork
from daemon.system.errors import ConfigError
from tests.support.answering import Turns, answer, shipped

DEGRADATIONS = [
    *(Degradation(scale=scale, sigma=0.05) for scale in (2, 3, 4)),
    Degradation(sigma=0.2),
    Degradation(blind=True),
    Degradation(blur_px=1.2),
]


def photograph(height: int = 64, width: int = 96) -> Tensor:
    return to_tensor(data.astronaut()[40 : 40 + height, 170 : 170 + width])


@pytest.fixture(scope="module")
def exact() -> RestorationModel:
    """The networks in single precision."""
    checkpoint = Library().checkpoint("restoration")
    model = load_model(Placement(checkpoint, "cpu", ModelOptions(dtype="fp32")))
    assert isinstance(model, RestorationModel)
    return model


@pytest.mark.parametrize("degradation", DEGRADATIONS, ids=task_of)
def test_a_batch_of_several_noise_levels_is_answered_as_each_call_alone(
    exact: RestorationModel, degradation: Degradation
) -> None:
    shown = photograph()
    calls = [
        RestoreCall("restoration", shown.flip(2), replace(degradation, sigma=0.1)),
        RestoreCall("restoration", shown, degradation),
    ]
    assert calls[0].key == calls[1].key
    for call, together in zip(calls, exact.predict(calls), strict=True):
        (alone,) = exact.predict([call])
        assert together.shape == (3, 64 * degradation.scale, 96 * degradation.scale)
        assert together.dtype == torch.float32
        assert float((alone - together).abs().max()) < 1e-4


def test_blurs_of_a_batch_are_each_its_own(exact: RestorationModel) -> None:
    calls = [
        RestoreCall("restoration", photograph(), Degradation(blur_px=blur)) for blur in (0.5, 2.0)
    ]
    assert calls[0].key == calls[1].key
    together = exact.predict(calls)
    assert float((together[0] - together[1]).abs().max()) > 0.1
    for call, one in zip(calls, together, strict=True):
        torch.testing.assert_close(exact.predict([call])[0], one, atol=1e-4, rtol=0)


@pytest.mark.parametrize("degradation", DEGRADATIONS, ids=task_of)
def test_half_precision_stays_within_half_a_level_of_the_exact_answer(
    exact: RestorationModel, degradation: Degradation
) -> None:
    call = RestoreCall("restoration", photograph(), degradation)
    (single,), (half,) = exact.predict([call]), shipped("restoration").predict([call])
    assert isinstance(half, Tensor)
    assert float((single - half).square().mean().sqrt()) < 1 / 255


@pytest.mark.parametrize("degradation", DEGRADATIONS, ids=task_of)
def test_tiles_give_the_answer_of_one_piece(
    exact: RestorationModel, degradation: Degradation, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = photograph(71, 128) if degradation.scale > 1 else photograph(171, 228)
    whole = answer(restore_tiles(picture, degradation), exact.predict)
    for name, tiles, largest in (
        ("ENLARGEMENT_TILES", ENLARGEMENT_TILES, 64),
        ("REPAIR_TILES", REPAIR_TILES, 120),
    ):
        small = replace(tiles, largest=largest)
        monkeypatch.setattr(f"daemon.diffusion.tiling.{name}", small)
    turns: Turns = []
    tiled = answer(restore_tiles(picture, degradation), exact.predict, turns)
    assert len(turns[0]) == 6
    assert float((whole - tiled).abs().max()) < 1e-5


def test_tiles_overlap_by_what_the_networks_see_around_and_their_blend() -> None:
    reach = RestorationNetwork(("x2", "blind")).reach
    assert ENLARGEMENT_TILES.overlap >= 2 * reach + ENLARGEMENT_TILES.feather
    assert REPAIR_TILES.overlap >= 2 * 2 * reach + REPAIR_TILES.feather


def test_nothing_beyond_the_reach_changes_an_answer() -> None:
    torch.manual_seed(0)
    network = RestorationNetwork(("x2",), channels=8, blocks=2).eval()
    sigma = torch.zeros(1)
    with torch.no_grad():
        one = torch.rand(1, 3, 32, 32)
        other = one.clone()
        other[..., 16 + network.reach + 2 :] = 0  # bicubic looks two pixels around
        (a,), (b,) = (network([RestorationBatch("x2", x, sigma)]) for x in (one, other))
    assert torch.equal(a[..., :32], b[..., :32])
    assert not torch.equal(a, b)


def test_tasks_of_one_grid_go_through_the_trunk_together() -> None:
    torch.manual_seed(0)
    network = RestorationNetwork(("x3", "noise", "blind"), channels=8, blocks=1).eval()
    sigma = torch.tensor([0.1, 0.3])
    batches = [
        RestorationBatch("x3", torch.rand(2, 3, 16, 16), sigma),
        RestorationBatch("noise", torch.rand(2, 3, 32, 32), sigma),
        RestorationBatch("blind", torch.rand(2, 3, 32, 32), 0 * sigma),
    ]
    with torch.no_grad():
        together = network(batches)
        for batch, mean in zip(batches, together, strict=True):
            torch.testing.assert_close(network([batch])[0], mean, atol=1e-5, rtol=0)
    assert [tuple(mean.shape[2:]) for mean in together] == [(48, 48), (32, 32), (32, 32)]


def test_without_noise_the_noise_task_gives_the_picture_back() -> None:
    network = RestorationNetwork(("noise",), channels=8, blocks=1).eval()
    given = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        (mean,) = network([RestorationBatch("noise", given, torch.zeros(1))])
    torch.testing.assert_close(mean, given)


def test_a_network_is_read_as_it_was_written(tmp_path: Path) -> None:
    network = RestorationNetwork(("x2", "noise"), channels=8, blocks=1, embedding=4)
    write_network(network, tmp_path / "small.safetensors")
    shape = {"tasks": ["x2", "noise"], "channels": 8, "blocks": 1, "embedding": 4}
    (tmp_path / "config.json").write_text(json.dumps({"networks": {"small": shape}}))
    again = read_network(tmp_path, "small")
    assert again.tasks == ("x2", "noise")
    for name, weight in network.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], weight, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("harm", ["missing", "cut off", "of another shape"])
def test_a_damaged_package_is_named_when_its_networks_are_loaded(
    harm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(Library().checkpoint("restoration").folder, tmp_path / "restoration")
    weights = tmp_path / "restoration/enlargement.safetensors"
    if harm == "missing":
        weights.unlink()
    elif harm == "cut off":
        weights.write_bytes(weights.read_bytes()[:5000])
    else:
        write_network(RestorationNetwork(("x2",), channels=8), weights)
    monkeypatch.setattr("daemon.checkpoints.library.WEIGHTS", tmp_path)
    with pytest.raises(ConfigError, match="model restoration: cannot be loaded"):
        load_model(Placement(Library().checkpoint("restoration"), "cpu"))
