"""Damage as torch: JPEG and reduction are Pillow's, and every draw is harmful and repeatable."""

import io

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage import data
from torch import Tensor
from torch.nn import functional

from training.crop_store import CropStore
from training.photos import Pyramid
from training.restoration_examples import BINS, CROPS, SmallPictures, draw_examples
from training.torch_damage import BLIND_KINDS, Damager
from training.torch_jpeg import jpeg

CPU = torch.device("cpu")


def photograph(height: int = 128, width: int = 192) -> NDArray[np.uint8]:
    return np.ascontiguousarray(data.astronaut()[40 : 40 + height, :width])


def batch(count: int = 8, side: int = 64) -> Tensor:
    pixels = photograph(side, side * count).reshape(side, count, side, 3)
    return torch.from_numpy(pixels.copy()).permute(1, 3, 0, 2).float()


def through_pillow(pixels: NDArray[np.uint8], quality: int, subsampling: int) -> NDArray[np.uint8]:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=subsampling)
    return np.asarray(Image.open(file).convert("RGB"))


@pytest.mark.parametrize("quality", [10, 50, 80, 95])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_jpeg_is_pillows_but_for_rounding(quality: int, subsampling: int) -> None:
    pixels = photograph()
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
    full = torch.tensor([subsampling == 0])
    ours = jpeg(x, torch.tensor([quality]), full)[0].permute(1, 2, 0).numpy()
    theirs = through_pillow(pixels, quality, subsampling)
    lost = np.square(theirs.astype(float) - pixels).mean()
    apart = np.square(theirs.astype(float) - ours).mean()
    assert apart < 2
    assert apart < lost / 4


def test_qualities_of_a_batch_are_those_of_each_alone() -> None:
    x = batch(2)
    quality, full = torch.tensor([10, 90]), torch.tensor([True, False])
    together = jpeg(x, quality, full)
    alone = [jpeg(x[i : i + 1], quality[i : i + 1], full[i : i + 1]) for i in range(2)]
    assert torch.equal(together, torch.cat(alone))


def test_bicubic_reduction_is_pillows() -> None:
    pixels = photograph()
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
    ours = functional.interpolate(x, size=(64, 96), mode="bicubic", antialias=True)
    theirs = np.asarray(Image.fromarray(pixels).resize((96, 64), Image.Resampling.BICUBIC))
    apart = np.abs(ours[0].permute(1, 2, 0).numpy().round().clip(0, 255) - theirs)
    assert apart.max() <= 2  # Pillow rounds between rows and columns
    assert apart.mean() < 0.2


@pytest.mark.parametrize("kind", ["compressed", "noisy", "camera", "old_print", "some_grey"])
def test_every_harm_changes_pictures_and_repeats_for_a_seed(kind: str) -> None:
    x = batch()
    first, again, other = (getattr(Damager(seed, CPU), kind)(x) for seed in (1, 1, 2))
    assert first.shape == x.shape
    assert torch.equal(first, first.round().clamp(0, 255))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_blind_batch_holds_every_kind_of_damage_by_its_odds() -> None:
    x = batch()
    drawn = [Damager(seed, CPU).damaged(x) for seed in range(60)]
    kinds, quality = (torch.cat([one[part] for one in drawn]) for part in (1, 2))
    shares = torch.bincount(kinds, minlength=len(BLIND_KINDS)) / len(kinds)
    assert shares.tolist() == pytest.approx([0.6, 0.04, 0.14, 0.22], abs=0.06)
    assert bool((quality[kinds == 0] <= 95).all()), "every JPEG says its quality"
    others = quality[kinds != 0]
    assert float((others < 100).float().mean()) == pytest.approx(0.25, abs=0.08)


def test_blind_examples_are_mostly_told_of_jpeg_and_of_nothing_else(store: CropStore) -> None:
    told = [
        draw_examples(store, {"blind": 9}, Damager(seed, CPU)).batches[0].sigma
        for seed in range(20)
    ]
    level = 127.5 * torch.cat(told)
    assert float((level > 0).float().mean()) == pytest.approx(0.6, abs=0.1)
    assert float(level.max()) < 0.7 * 500**0.5 * 1.3


def test_a_blur_keeps_the_mean_and_takes_edges() -> None:
    x = batch()
    soft = Damager(0, CPU).blurred(x, 0.8, 1.4)
    assert float((soft.mean() - x.mean()).abs()) < 1
    assert float(soft.diff(dim=3).square().mean()) < 0.7 * float(x.diff(dim=3).square().mean())
    barely = Damager(0, CPU).blurred(x, 0.05, 0.1)
    assert float((barely - x).abs().max()) < 0.5


@pytest.fixture(scope="module")
def store() -> CropStore:
    levels = (photograph(240, 300), photograph(150, 187))
    small = np.full((140, 140, 3), 200, np.uint8)
    return CropStore([Pyramid("one", levels), Pyramid("two", (small,))], CPU)


def test_crops_are_parts_of_the_photographs_mirrored_and_turned(store: CropStore) -> None:
    crops = store.crops(40, 32, torch.Generator().manual_seed(0))
    assert crops.shape == (40, 3, 32, 32)
    plain = [one for one in crops if float(one.std()) == 0]
    assert 8 <= len(plain) <= 32, "both photographs come alike"
    assert all(float(one.mean()) == 200 for one in plain)
    whole = torch.from_numpy(photograph(240, 300)).permute(2, 0, 1).float()
    level = torch.from_numpy(photograph(150, 187)).permute(2, 0, 1).float()
    windows = [one.unfold(1, 32, 1).unfold(2, 32, 1) for one in (whole, level)]
    crop = next(one for one in crops if float(one.std()) > 0)
    turns = [t.flip(dims) for t in (crop, crop.transpose(1, 2)) for dims in ([], [1], [2], [1, 2])]
    corners = [w[:, :, :, :2, :2].permute(1, 2, 0, 3, 4) for w in windows]
    assert any((c == t[:, :2, :2]).all((2, 3, 4)).any() for c in corners for t in turns)


@pytest.mark.parametrize("small", [SmallPictures(), SmallPictures(0.5, 0.5, 0.5)])
def test_a_step_has_pairs_of_every_task_on_one_grid(store: CropStore, small: SmallPictures) -> None:
    examples = draw_examples(store, CROPS, Damager(3, CPU), small)
    assert [batch.task for batch in examples.batches] == list(CROPS)
    for batch, clean in zip(examples.batches, examples.clean, strict=True):
        count = CROPS[batch.task]
        cells = 32 if batch.task.startswith("x") else 64
        assert batch.given.shape == (count, 3, cells, cells)
        assert batch.sigma.shape == (count,)
        assert clean.shape[2] == 32 * int(batch.task[1]) if batch.task.startswith("x") else 64
        assert float(batch.given.abs().max()) < 3
        assert -1 <= float(clean.min()) <= float(clean.max()) <= 1
    assert examples.bins.shape == (sum(CROPS.values()),)
    assert 0 <= int(examples.bins.min()) < int(examples.bins.max()) < BINS
