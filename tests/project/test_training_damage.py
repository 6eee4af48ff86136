"""The trainer of the damage network: wear, labels, a few steps, resuming."""

import json
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage import data

from daemon.checkpoints.library import WEIGHTS, Checkpoint
from daemon.checkpoints.traits import SHIPPED_TRAITS
from daemon.models.calls import DamageCall
from daemon.models.registry import Placement, load_model
from training.checkpoint import Progress
from training.damage_examples import (
    CROP_PX,
    DAMAGED,
    EITHER,
    PRINT_PX,
    WHOLE,
    damaged_print,
    draw_batch,
    print_square,
)
from training.damage_network import (
    BEST,
    Plan,
    Run,
    damage_loss,
    held_out_batches,
    measure_damage,
    read_weights,
    train,
)
from training.print_marks import Pen, clouds, uneven, walk, with_gaps
from training.print_wear import DAMAGES, Sheet, draw_belongings
from training.sources import Sources

SHIPPED = WEIGHTS / "damage" / "damage.safetensors"
SIDE = 128


@pytest.fixture(scope="module")
def sources() -> Sources:
    one, other = (np.asarray(getattr(data, name)()) for name in ("coffee", "astronaut"))
    return Sources(("coffee", "people"), ((one,), (other,)))


def sheet(seed: int) -> Sheet:
    even = np.full((SIDE, SIDE, 3), 110, np.float32)
    cover = np.zeros((SIDE, SIDE), np.float32)
    return Sheet(even, even.copy(), cover, np.random.default_rng(seed))


def run_for(seconds: float, out: Path, sources: Sources, *, resume: bool = False) -> Run:
    out.mkdir(exist_ok=True)
    run = Run(read_weights(SHIPPED), Plan(2, 0.0, batch=2, log_steps=1), out, Progress(seed=7))
    if resume:
        run.load()
    held_out = held_out_batches(sources, 1, 2)
    train(
        run, sources, held_out, count(1.0).__next__, stop=lambda: run.progress.trained_s >= seconds
    )
    return run


def test_a_few_steps_move_every_weight_and_a_resumed_run_ends_as_an_uninterrupted_one(
    tmp_path: Path, sources: Sources
) -> None:
    whole = run_for(3, tmp_path / "whole", sources)
    run_for(1, tmp_path / "parts", sources)
    resumed = run_for(3, tmp_path / "parts", sources, resume=True)
    assert resumed.progress == whole.progress == Progress(2, 2.0, 7)
    before = read_weights(SHIPPED).state_dict()
    for name, weight in whole.network.state_dict().items():
        assert torch.equal(resumed.network.state_dict()[name], weight), name
        assert not torch.equal(before[name], weight), name
    lines = [json.loads(line) for line in (tmp_path / "whole/log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 2]
    assert set(lines[2]["validation"]) == {"loss", "recall", "precision", "marked"}
    assert whole.least == lines[2]["validation"]["loss"]

    (tmp_path / "net").mkdir()
    (tmp_path / "whole" / BEST).rename(tmp_path / "net" / "damage.safetensors")
    checkpoint = Checkpoint("damage", tmp_path / "net", SHIPPED_TRAITS["damage"])
    (answer,) = load_model(Placement(checkpoint, "cpu")).predict(
        [DamageCall("damage", torch.zeros(3, 32, 48))]
    )
    assert isinstance(answer, torch.Tensor)
    assert answer.shape == (1, 32, 48)


def test_the_shipped_weights_find_some_of_the_damage_and_mark_more_of_it_than_of_what_is_whole(
    sources: Sources,
) -> None:
    batches = held_out_batches(sources, 1, 12)
    measures = measure_damage(read_weights(SHIPPED), batches, torch.device("cpu"))
    share = np.mean([(batch.labels == DAMAGED).float().mean() for batch in batches])
    assert measures["recall"] > 0.1
    assert measures["precision"] > 3 * share


@pytest.mark.parametrize("kind", [kind for kind, _ in DAMAGES], ids=lambda kind: kind.__name__)
def test_every_kind_of_damage_changes_what_it_covers_and_nothing_else(kind) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    covered = 0.0
    for seed in range(4):
        one = sheet(seed)
        kind(one)
        change = np.abs(one.now - one.truth).max(axis=2)
        assert np.isfinite(one.now).all()
        assert 0 <= one.cover.min() <= one.cover.max() <= 1
        assert (one.truth == 110).all()
        assert change[one.cover == 0].max(initial=0) < 1e-3
        covered += one.cover.mean()
    assert 0 < covered / 4 < 0.6


def test_belongings_are_in_the_truth_as_well_and_cover_nothing() -> None:
    changed = 0
    for seed in range(30):
        one = sheet(seed)
        draw_belongings(one)
        assert np.array_equal(one.now, one.truth)
        assert one.cover.max() == 0
        changed += bool((one.truth != 110).any())
    assert 3 < changed < 25


def small_print() -> NDArray[np.uint8]:
    return print_square(np.asarray(data.astronaut()), np.random.default_rng(0))[::3, ::3].copy()


def test_whole_prints_have_no_damage_in_their_labels_and_about_half_are_whole() -> None:
    pixels, whole = small_print(), 0
    assert pixels.shape == (PRINT_PX // 3, PRINT_PX // 3, 3)
    for seed in range(16):
        scan, labels = damaged_print(pixels, np.random.default_rng(seed))
        assert scan.shape == pixels.shape
        assert scan.dtype == labels.dtype == np.uint8
        assert set(np.unique(labels)) <= {WHOLE, DAMAGED, EITHER}
        whole += not (labels == DAMAGED).any()
    assert 3 <= whole <= 13


def test_a_pixel_around_damage_counts_for_neither_answer() -> None:
    for seed in range(12):
        _, labels = damaged_print(small_print(), np.random.default_rng(seed))
        across = labels[:, 1:][labels[:, :-1] == DAMAGED]
        assert (across != WHOLE).all()


def test_a_batch_is_the_same_for_the_same_seed(sources: Sources) -> None:
    one, again = (draw_batch(sources, 3, np.random.default_rng(5)) for _ in range(2))
    assert one.pictures.shape == (3, 3, CROP_PX, CROP_PX)
    assert one.labels.shape == (3, CROP_PX, CROP_PX)
    assert torch.equal(one.pictures, again.pictures)
    assert torch.equal(one.labels, again.labels)


def test_the_loss_is_least_for_the_right_answer_and_ignores_what_may_be_either() -> None:
    labels = torch.tensor([[[WHOLE, DAMAGED, EITHER, WHOLE]]], dtype=torch.uint8)
    right = torch.tensor([[[-8.0, 8.0, 0.0, -8.0]]])
    assert float(damage_loss(right, labels)) < float(damage_loss(-right, labels)) - 1
    other = right.clone()
    other[..., 2] = 9
    assert torch.equal(damage_loss(right, labels), damage_loss(other, labels))


def test_marks_lie_where_they_are_drawn() -> None:
    rng = np.random.default_rng(0)
    pen = Pen(64)
    points = np.array([(4.0, 10.0), (60.0, 10.0)])
    pen.line(points, np.full(2, 4.0), np.full(2, 0.5))
    pen.patch(np.array((32.0, 44.0)), 6.0, 0.0, rng)
    cover = pen.cover()
    assert cover[10, 30] == pytest.approx(0.5, abs=0.02)
    assert cover[20, 30] == 0
    assert cover[44, 32] == 1
    line = walk(np.zeros(2), 0.0, 400.0, 0.0, rng)
    assert line[-1, 0] == pytest.approx(400, rel=0.1)
    assert abs(line[-1, 1]) < 1e-9
    assert with_gaps(400, 0.5, rng).mean() == pytest.approx(0.45, abs=0.15)
    assert uneven(400, 0.3, rng).min() > 0
    assert clouds(64, 8, rng).std() == pytest.approx(1, abs=0.01)
