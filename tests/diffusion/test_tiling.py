"""Tiles, windows and computations side by side."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from daemon.diffusion.concurrent import abreast, together
from daemon.diffusion.pixels import to_grey, to_pixels, to_tensor
from daemon.diffusion.tiling import (
    BUCKETS,
    GRID,
    Cut,
    Denoiser,
    Tiling,
    cut,
    denoise_tiles,
    mirrored,
    native_tiles,
)
from daemon.diffusion.windows import WINDOW, Window, by_windows, cut_windows
from daemon.models.calls import DenoiseCall, ModelCalls, ask
from tests.support.answering import answer, gaussian, random_pixels, seeded


def shares(pieces: Cut) -> Tensor:
    total = torch.zeros(pieces.length)
    for index, start in enumerate(pieces.starts):
        total[start : pieces.stop(index)] += pieces.weights(index)
    return total


@settings(deadline=None, max_examples=60)
@given(length=st.integers(1, 12000))
def test_tiles_cover_a_side_and_their_shares_sum_to_one(length: int) -> None:
    for pieces, overlap in ((cut(length), 80 + 32 + 80), (cut_windows(length), 80 + 128 + 80)):
        assert float((shares(pieces) - 1).abs().max()) < 1e-5
        assert all(start % GRID == 0 for start in pieces.starts)
        gaps = {b - a for a, b in zip(pieces.starts[:-1], pieces.starts[1:], strict=True)}
        assert all(pieces.size - gap >= overlap for gap in gaps)


@given(length=st.integers(1, 1024))
def test_up_to_1024_px_a_side_is_one_tile_of_few_sizes(length: int) -> None:
    pieces = cut(length)
    assert pieces.starts == (0,)
    assert pieces.size == min(size for size in BUCKETS if size >= length)


@settings(deadline=None, max_examples=60)
@given(length=st.integers(1, 5000), side=st.sampled_from([8, 16, 32, 64, 100, 128, 256]))
def test_native_tiles_cover_a_side_and_all_have_that_size(length: int, side: int) -> None:
    pieces = cut(length, native_tiles(side))
    assert pieces.size == side
    assert float((shares(pieces) - 1).abs().max()) < 1e-5
    gaps = {b - a for a, b in zip(pieces.starts[:-1], pieces.starts[1:], strict=True)}
    assert all(side - gap >= side // 4 for gap in gaps)


@pytest.mark.parametrize("size", [(5, 8), (30, 41)])
def test_a_picture_that_is_cut_up_is_put_together_again_at_either_scale(
    size: tuple[int, int],
) -> None:
    tiling = Tiling.of(size, native_tiles(8))
    small, large = seeded(4, *size), seeded(3, 8 * size[0], 8 * size[1])
    assert torch.allclose(tiling.put_together(tiling.cut_up(small)), small, atol=1e-6)
    again = tiling.times(8).put_together(tiling.times(8).cut_up(large))
    assert torch.allclose(again, large, atol=1e-6)


def test_a_small_picture_is_filled_up_by_mirroring() -> None:
    row = mirrored(torch.tensor([[[1.0, 2.0, 3.0]]]), 1, 7)
    assert row.flatten().tolist() == [1, 2, 3, 2, 1, 2, 3]


def test_512_px_is_one_tile_of_512() -> None:
    assert cut(512) == Cut(512, 512, (0,), 32)


@given(length=st.integers(1, 40000))
def test_windows_are_never_longer_than_the_bound(length: int) -> None:
    assert cut_windows(length).size <= WINDOW


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (33, 7), (130, 100)])
def test_any_size_from_one_pixel_up_is_answered_pixel_for_pixel(size: tuple[int, int]) -> None:
    x_t = seeded(3, *size)
    expected = gaussian(0.1, 0.3)([DenoiseCall("toy", x_t, 0.4)])[0]
    turns: list[list[DenoiseCall]] = []
    result = answer(denoise_tiles(Denoiser("toy"), x_t, 0.4), gaussian(0.1, 0.3), turns)
    assert torch.allclose(result, expected, atol=1e-6)
    assert turns[0][0].x_t.shape[1] in BUCKETS
    assert turns[0][0].x_t.shape[2] in BUCKETS


def test_photographs_of_different_sizes_share_a_group() -> None:
    turns: list[list[DenoiseCall]] = []
    for height, width in ((97, 120), (128, 101), (110, 128)):
        answer(denoise_tiles(Denoiser("toy"), seeded(3, height, width), 0.4), gaussian(0, 1), turns)
    assert len({call.key for turn in turns for call in turn}) == 1


def test_a_large_picture_is_the_same_tiled_as_whole() -> None:
    def blur(calls: Sequence[DenoiseCall]) -> list[Tensor]:
        return [
            functional.avg_pool2d(
                functional.avg_pool2d(call.x_t, (1, 121), 1, (0, 60)), (121, 1), 1, (60, 0)
            )
            for call in calls
        ]

    x_t = seeded(3, 1100, 1300)
    turns: list[list[DenoiseCall]] = []
    tiled = answer(denoise_tiles(Denoiser("toy"), x_t, 0.4), blur, turns)
    (whole,) = blur([DenoiseCall("toy", x_t, 0.4)])
    inner = (slice(None), slice(61, -61), slice(61, -61))
    assert len(turns) == 1
    assert len(turns[0]) == 4
    assert float((tiled - whole)[inner].abs().max()) < 1e-5


def test_windows_put_a_large_picture_together_again_to_the_pixel() -> None:
    pixels = random_pixels(2700, 60)

    def solve(window: Window) -> ModelCalls[Tensor]:
        yield []
        return to_tensor(window.of(pixels))

    assert np.array_equal(answer(by_windows(pixels, solve), gaussian(0, 1)), pixels)


def test_windows_blend_without_a_seam() -> None:
    pixels = np.zeros((4, 3000, 3), np.uint8)

    def solve(window: Window) -> ModelCalls[Tensor]:
        yield []
        return torch.full((3, window.height, window.width), -1.0 if window.left == 0 else 1.0)

    row = answer(by_windows(pixels, solve), gaussian(0, 1))[0, :, 0].astype(int)
    assert row[0] == 0
    assert row[-1] == 255
    assert np.diff(row).min() >= 0
    assert np.diff(row).max() <= 3


def test_computations_side_by_side_ask_in_one_turn_and_keep_their_answers() -> None:
    def count(turns: int, start: float) -> ModelCalls[float]:
        x = torch.tensor([start])
        for _ in range(turns):
            (x,) = yield from ask([DenoiseCall("toy", x, 0.0)])
        return float(x)

    sizes: list[list[DenoiseCall]] = []
    asking = together([count(3, 0.0), count(0, 5.0), count(1, 10.0)])
    assert answer(asking, lambda calls: [c.x_t + 1 for c in calls], sizes) == [3.0, 5.0, 11.0]
    assert [len(turn) for turn in sizes] == [2, 1, 1]


def test_large_pictures_are_not_all_worked_on_side_by_side() -> None:
    def one() -> ModelCalls[int]:
        (x,) = yield from ask([DenoiseCall("toy", torch.zeros(1, 1), 0.0)])
        return len(x)

    turns: list[list[DenoiseCall]] = []
    asking = abreast([one] * 5, 2**23)
    assert answer(asking, lambda calls: [c.x_t for c in calls], turns) == [1] * 5
    assert [len(turn) for turn in turns] == [2, 2, 1]


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_pixels_come_back_from_a_tensor_unchanged(dtype: str) -> None:
    pixels = random_pixels(40, 50, dtype)
    assert np.array_equal(to_pixels(to_tensor(pixels), dtype), pixels)
    assert to_pixels(torch.tensor([[[-1.3]], [[0.0]], [[1.3]]]), "uint8").tolist() == [
        [[0, 128, 255]]
    ]


def test_grey_is_the_mean_of_the_channels() -> None:
    grey = to_grey(torch.tensor([0.0, 0.3, 0.9]).view(3, 1, 1))
    assert grey.flatten().tolist() == pytest.approx([0.4, 0.4, 0.4])
