import json
import math
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from daemon.models.prior_network import PhotoPrior, read_prior
from training.checkpoint import FILE
from training.export import export
from training.growth import grow
from training.objective import LogVariance, colour_rarity, weigh_colours
from training.optimiser import orthogonalise, rate_share
from training.photos import Pixels, Pyramid, is_validation, load_pyramids, photo_paths
from training.train import Plan, Run, train


def photograph(name: str) -> Pixels:
    pixels: Pixels = getattr(data, name)()
    return pixels


@pytest.fixture(scope="module")
def pyramids() -> list[Pyramid]:
    return [Pyramid(name, (photograph(name)[::3, ::3],)) for name in ("astronaut", "coffee")]


@pytest.fixture(autouse=True)
def two_threads() -> None:
    torch.set_num_threads(2)


def tiny_network() -> PhotoPrior:
    torch.manual_seed(0)
    network: PhotoPrior = PhotoPrior(channels=(4, 8), blocks=(1, 1), patch=2, embedding=8)
    return network


def run_for(seconds: float, out: Path, pyramids: list[Pyramid], plan: Plan) -> Run:
    out.mkdir(exist_ok=True)
    run = Run(tiny_network(), plan, out, seed=7)
    if (out / FILE).exists():
        run.load()
    held_out: list[Pixels] = [pyramids[0].levels[0][:64, :64]]
    train(
        run, pyramids, held_out, count(1.0).__next__, stop=lambda: run.progress.trained_s >= seconds
    )
    return run


def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(
    tmp_path: Path, pyramids: list[Pyramid]
) -> None:
    plan = Plan(total_s=4, hold=0.0)
    whole = run_for(4, tmp_path / "whole", pyramids, plan)
    run_for(2, tmp_path / "parts", pyramids, plan)
    assert not (tmp_path / "parts" / "log.jsonl").exists()
    resumed = run_for(4, tmp_path / "parts", pyramids, plan)
    assert resumed.progress == whole.progress
    assert whole.progress.step == 4
    for name, weight in whole.network.state_dict().items():
        torch.testing.assert_close(resumed.network.state_dict()[name], weight, rtol=0, atol=0)
    for name, weight in whole.average.state_dict().items():
        torch.testing.assert_close(resumed.average.state_dict()[name], weight, rtol=0, atol=0)


def test_three_steps_move_every_weight_and_log_losses_of_every_task(
    tmp_path: Path, pyramids: list[Pyramid]
) -> None:
    run = run_for(99, tmp_path, pyramids, Plan(total_s=3, log_steps=1))
    before = tiny_network().state_dict()
    still = [
        name for name, weight in run.network.named_parameters() if torch.equal(weight, before[name])
    ]
    assert still == []
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert set(lines[0]["losses"]) == {"unconditional", "enlarge", "colour", "repair"}
    assert all(math.isfinite(loss) for loss in lines[2]["losses"].values())
    assert lines[-1]["validation"]["noise25"] > 0


def test_the_average_is_what_is_exported(tmp_path: Path) -> None:
    run = Run(PhotoPrior(), Plan(total_s=1), tmp_path, seed=0)
    with torch.no_grad():
        run.average.get_parameter("head.bias").fill_(0.25)
    run.save()
    export(tmp_path, tmp_path / "export")
    loaded = read_prior(tmp_path / "export")
    assert loaded.get_parameter("head.bias").tolist() == [0.25] * 12
    assert (tmp_path / "export" / "diffusion_pytorch_model.safetensors").stat().st_size < 20e6


def test_no_photograph_is_on_both_sides_of_the_split(tmp_path: Path) -> None:
    names = [f"{number}.png" for number in range(200)]
    for name in names:
        (tmp_path / name).touch()
    learned = {path.name for path in photo_paths(tmp_path, validation=False)}
    held_out = {path.name for path in photo_paths(tmp_path, validation=True)}
    assert learned | held_out == set(names)
    assert learned & held_out == set()
    assert 4 <= len(held_out) <= 24
    assert held_out == {name for name in names if is_validation(name)}


def test_sources_are_shrunk_and_pictures_without_room_for_a_crop_are_left_out(
    tmp_path: Path,
) -> None:
    Image.fromarray(photograph("coffee")).save(tmp_path / "coffee.png")
    Image.new("RGB", (400, 100)).save(tmp_path / "strip.png")
    pyramids = load_pyramids(sorted(tmp_path.iterdir()))
    assert [pyramid.name for pyramid in pyramids] == ["coffee.png"]
    assert [level.shape[:2] for level in pyramids[0].levels] == [
        (240, 360),
        (150, 225),
        (94, 141),
    ]


def test_orthogonalising_leaves_directions_and_evens_out_strengths() -> None:
    generator = torch.Generator().manual_seed(0)
    left, _ = torch.linalg.qr(torch.randn(24, 8, generator=generator))
    right, _ = torch.linalg.qr(torch.randn(8, 8, generator=generator))
    matrix = left @ torch.diag(torch.linspace(0.2, 3, 8)) @ right
    result = orthogonalise(matrix).float()
    values = torch.linalg.svdvals(result)
    assert values.min() > 0.6
    assert values.max() < 1.3
    assert torch.nn.functional.cosine_similarity(
        result.flatten(), (left @ right).flatten(), dim=0
    ) == pytest.approx(1, abs=0.03)


def test_rates_warm_up_hold_and_fall_to_zero_at_the_end() -> None:
    rates = [rate_share(seconds, 1000, 0.5) for seconds in (0, 9, 100, 500, 750, 1000, 1001)]
    assert rates == pytest.approx([0.05, 0.5, 1, 1, 0.5, 0, 0])


def test_the_learned_variance_has_a_node_of_its_own_at_half_pi() -> None:
    weighting = LogVariance()
    with torch.no_grad():
        weighting.table[2] = torch.arange(18.0)
    t = torch.tensor([0.0, math.pi / 4, math.pi / 2 - 1e-4, math.pi / 2])
    values = weighting(t, torch.tensor([2, 2, 2, 2]))
    assert values.tolist() == pytest.approx([0, 8, 16, 17], abs=2e-3)


def test_rare_colours_weigh_more_and_the_mean_weight_is_one() -> None:
    pixels = np.full((80, 80, 3), 128, np.uint8)
    pixels[:8] = (200, 40, 40)
    rarity = colour_rarity([Pyramid("flag", (pixels,))], strength=0.5)
    x0 = torch.from_numpy(pixels.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
    weights = weigh_colours(x0, rarity)
    assert weights.mean().item() == pytest.approx(1, abs=1e-4)
    # Frequencies 0.9 and 0.1, mixed half with 0.5: 0.7 and 0.3.
    assert (weights[0, 0, 0] / weights[0, 79, 0]).item() == pytest.approx((0.7 / 0.3) ** 0.5)


def test_a_grown_network_answers_as_the_small_one_until_it_learns() -> None:
    small = tiny_network()
    large = grow(small, (6, 12), (2, 3))
    assert large.shape.channels == (6, 12)
    generator = torch.Generator().manual_seed(1)
    x_t, condition = torch.randn(2, 3, 3, 32, 48, generator=generator)[:, :2].unbind(0)
    t, task = torch.tensor([0.3, 1.5]), torch.rand(2, 4, generator=generator)
    with torch.no_grad():
        torch.testing.assert_close(large(x_t, t, condition, task), small(x_t, t, condition, task))
    large(x_t, t, condition, task).square().sum().backward()
    last = large.get_parameter("encoder.0.1.conv2.weight").grad
    head = large.get_parameter("head.weight").grad
    assert last is not None
    assert last.abs().max() > 0
    assert head is not None
    assert head[:, 4:].abs().max() > 0
    with pytest.raises(ValueError, match="do not hold"):
        grow(large, (4, 8), (1, 1))


def test_a_run_is_exported_in_its_own_shape(tmp_path: Path) -> None:
    Run(tiny_network(), Plan(total_s=1), tmp_path, seed=0).save()
    export(tmp_path, tmp_path / "export")
    loaded = read_prior(tmp_path / "export")
    assert loaded.shape.channels == (4, 8)
    expected = {name: kept.half().float() for name, kept in tiny_network().state_dict().items()}
    assert all(torch.equal(loaded.state_dict()[name], expected[name]) for name in expected)
