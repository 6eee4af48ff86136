"""The trainer of the colour network: examples, a split by source, a few steps, resuming."""

import json
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from daemon.checkpoints.library import WEIGHTS, Checkpoint
from daemon.checkpoints.traits import SHIPPED_TRAITS
from daemon.models.calls import ColourCall
from daemon.models.registry import Placement, load_model
from training.checkpoint import Progress
from training.colour import BEST, Plan, Run, Target, read_weights, train
from training.colour_examples import as_printed, chroma_cells, draw_batch, random_view
from training.photos import Pixels, to_grey_pixels
from training.sources import Sources, is_held_out, load_sources, source_of, source_paths

SHIPPED = WEIGHTS / "colour" / "colour.safetensors"


def photograph(name: str) -> Pixels:
    pixels: Pixels = getattr(data, name)()[::2, ::2]
    return np.ascontiguousarray(pixels)


@pytest.fixture(scope="module")
def sources() -> Sources:
    return Sources(("coffee", "people"), ((photograph("coffee"),), (photograph("astronaut"),)))


def run_for(seconds: float, out: Path, sources: Sources, *, resume: bool = False) -> Run:
    out.mkdir(exist_ok=True)
    plan = Plan(total_s=3, hold=0.0, batch=2, log_steps=1)
    run = Run(read_weights(SHIPPED), plan, out, Progress(seed=7))
    if resume:
        run.load()
    held_out = [photograph("chelsea")]
    train(
        run, sources, held_out, count(1.0).__next__, stop=lambda: run.progress.trained_s >= seconds
    )
    return run


def test_a_few_steps_move_what_is_trained_and_a_resumed_run_ends_as_an_uninterrupted_one(
    tmp_path: Path, sources: Sources
) -> None:
    whole = run_for(4, tmp_path / "whole", sources)
    run_for(1, tmp_path / "parts", sources)
    assert not (tmp_path / "parts" / BEST).exists()
    resumed = run_for(4, tmp_path / "parts", sources, resume=True)
    assert resumed.progress == whole.progress == Progress(3, 3.0, 7)
    before = read_weights(SHIPPED).state_dict()
    for name, weight in whole.network.state_dict().items():
        assert torch.equal(resumed.network.state_dict()[name], weight), name
        early = any(f"blocks.{n}." in name for n in range(8)) or "stem" in name
        kept = early or "depthwise.weight" in name or "depthwise.bias" in name
        kept = kept or name in ("palette", "class_weights")
        assert torch.equal(before[name], weight) == kept, name
    lines = [json.loads(line) for line in (tmp_path / "whole/log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 3]
    assert all(0 < line["loss"] < 20 for line in lines[:3])
    assert set(lines[3]["validation"]) == {"psnr", "ciede2000", "colourfulness"}


def test_the_best_weights_load_as_those_that_ship(tmp_path: Path, sources: Sources) -> None:
    run = run_for(4, tmp_path, sources)
    assert run.least < 10
    (tmp_path / "net").mkdir()
    (tmp_path / BEST).rename(tmp_path / "net" / "colour.safetensors")
    checkpoint = Checkpoint("colour", tmp_path / "net", SHIPPED_TRAITS["colour"])
    (answer,) = load_model(Placement(checkpoint, "cpu")).predict(
        [ColourCall("colour", torch.zeros(1, 64, 64))]
    )
    assert isinstance(answer, torch.Tensor)
    assert answer.shape == (3, 16, 16)
    size = (tmp_path / "net/colour.safetensors").stat().st_size
    assert size == pytest.approx(SHIPPED.stat().st_size, rel=0.001)


def test_weights_are_kept_only_while_colours_come_nearer(tmp_path: Path, sources: Sources) -> None:
    run = Run(read_weights(SHIPPED), Plan(10), tmp_path, Progress())
    run.least = 0.0
    run.validate([photograph("chelsea")])
    assert not (tmp_path / BEST).exists()
    run.save()
    again = Run(read_weights(SHIPPED), Plan(10), tmp_path, Progress())
    again.load()
    assert 3 < again.least < 15


def test_sources_are_held_out_whole_and_the_validation_split_is_in_neither_part(
    tmp_path: Path,
) -> None:
    for source in range(60):
        for number in range(3):
            Image.new("RGB", (120, 100)).save(tmp_path / f"s{source}__{number}.png")
    (tmp_path / "notes.txt").write_text("no photograph")
    trained, held_out = (source_paths([tmp_path], held_out=part) for part in (False, True))
    assert set(trained) & set(held_out) == set()
    assert 1 <= len(held_out) <= 12
    assert all(is_held_out(name) for name in held_out)
    count = sum(map(len, [*trained.values(), *held_out.values()]))
    assert 150 <= count < 180
    loaded = load_sources(held_out, 60, 40)
    assert {max(one.shape) for group in loaded.photographs for one in group} == {60}
    assert load_sources(held_out, 60, 55).names == ()
    assert (source_of("wm-a__b__c.webp"), source_of("alone.png")) == ("wm-a", "alone.png")


def test_large_sources_do_not_drown_small_ones() -> None:
    one = np.zeros((4, 4, 3), np.uint8)
    many = Sources(("large", "small"), (tuple([one] * 256), (one + 1,)))
    rng = np.random.default_rng(0)
    small = np.mean([many.draw(rng).max() for _ in range(2000)])
    assert small == pytest.approx(1 / 65, abs=0.01)
    assert [int(picture.max()) for picture in many.first_of_each(3)] == [0, 1, 0]


def test_a_batch_holds_grey_pictures_and_the_chroma_of_their_cells(sources: Sources) -> None:
    batch = draw_batch(sources, 3, np.random.default_rng(5))
    count, _, height, width = batch.grey.shape
    assert count == 3
    assert batch.chroma.shape == (3, 2, height // 4, width // 4)
    assert batch.grey.dtype == batch.chroma.dtype == torch.float32
    assert -1 <= float(batch.grey.min()) < float(batch.grey.max()) <= 1
    again = draw_batch(sources, 3, np.random.default_rng(5))
    assert torch.equal(batch.grey, again.grey)


def test_chroma_of_cells_is_that_of_their_mean_colour() -> None:
    pixels = np.zeros((8, 4, 3), np.uint8)
    pixels[:4] = (255, 0, 0)
    pixels[4:] = (90, 90, 90)
    cells = chroma_cells(pixels)
    assert cells.shape == (2, 2, 1)
    assert cells[:, 0, 0] == pytest.approx([1 - 0.299, -0.299], abs=1e-3)
    assert cells[:, 1, 0] == pytest.approx([0, 0], abs=1e-6)


def test_prints_of_every_kind_stay_in_range_and_some_are_the_luminance() -> None:
    pixels = random_view(photograph("chelsea"), 96, 64, np.random.default_rng(1))
    luminance = to_grey_pixels(pixels)[..., 0]
    prints = [as_printed(pixels, np.random.default_rng(seed)) for seed in range(60)]
    assert all(one.shape == (96, 64) and one.dtype == np.float32 for one in prints)
    assert all(one.min() >= 0 and one.max() <= 255 for one in prints)
    plain = sum(np.array_equal(one, luminance) for one in prints)
    assert 10 < plain < 35


def test_the_target_of_a_colour_of_the_palette_is_mostly_that_colour() -> None:
    network = read_weights(SHIPPED)
    index, share = Target(network.palette)(network.palette[[3, 90]])
    assert index[:, 0].tolist() == [3, 90]
    assert torch.allclose(share.sum(1), torch.ones(2))
    assert bool((share[:, 0] >= share[:, 1:].max(1).values).all())
