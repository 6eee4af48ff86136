"""Tiles: how sides are cut, pictures split and blended, and tiles asked for."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from daemon.diffusion.tiling import (
    BUCKETS,
    ENLARGEMENT_TILES,
    GRID,
    REPAIR_TILES,
    Cut,
    Denoiser,
    FittedTiles,
    Tiling,
    cut_side,
    denoise_tiles,
    mirror_pad,
    native_tiles,
)
from daemon.diffusion.windows import cut_windows
from daemon.models.calls import DenoiseCall
from tests.support.answering import Turns, answer, blend_weights, gaussian, seeded


@settings(deadline=None, max_examples=60)
@given(length=st.integers(1, 12000))
def test_tiles_and_windows_cover_a_side_and_their_weights_sum_to_one(length: int) -> None:
    for pieces, overlap in ((cut_side(length), 80 + 32 + 80), (cut_windows(length), 80 + 128 + 80)):
        assert float((blend_weights(pieces) - 1).abs().max()) < 1e-5
        assert all(start % GRID == 0 for start in pieces.starts)
        gaps = {b - a for a, b in zip(pieces.starts[:-1], pieces.starts[1:], strict=True)}
        assert all(pieces.size - gap >= overlap for gap in gaps)


@given(length=st.integers(1, 12000), tiles=st.sampled_from([REPAIR_TILES, ENLARGEMENT_TILES]))
def test_fitted_tiles_cover_a_side_and_end_where_it_ends(length: int, tiles: FittedTiles) -> None:
    pieces = tiles.cut(length)
    assert float((blend_weights(pieces) - 1).abs().max()) < 1e-5
    assert 0 <= pieces.starts[-1] + pieces.size - length < tiles.multiple
    assert pieces.size <= tiles.largest
    assert all(place % tiles.multiple == 0 for place in (*pieces.starts, pieces.size))
    assert all(pieces.size - (b - a) >= tiles.overlap for a, b in pairwise(pieces.starts))


@given(length=st.integers(1, 1024))
def test_a_side_up_to_1024_px_is_one_tile_of_the_next_size(length: int) -> None:
    pieces = cut_side(length)
    assert pieces.starts == (0,)
    assert pieces.size == min(size for size in BUCKETS if size >= length)


@settings(deadline=None, max_examples=60)
@given(length=st.integers(1, 5000), side=st.sampled_from([8, 16, 32, 64, 100, 128, 256]))
def test_native_tiles_cover_a_side_with_tiles_of_that_size_only(length: int, side: int) -> None:
    pieces = cut_side(length, native_tiles(side))
    assert pieces.size == side
    assert float((blend_weights(pieces) - 1).abs().max()) < 1e-5
    gaps = {b - a for a, b in zip(pieces.starts[:-1], pieces.starts[1:], strict=True)}
    assert all(side - gap >= side // 4 for gap in gaps)


@pytest.mark.parametrize("size", [(5, 8), (30, 41)])
def test_tiles_of_a_picture_blend_to_that_picture_at_either_scale(
    size: tuple[int, int],
) -> None:
    tiling = Tiling.for_size(size, native_tiles(8))
    small, large = seeded(4, *size), seeded(3, 8 * size[0], 8 * size[1])
    assert torch.allclose(tiling.blend(tiling.split(small)), small, atol=1e-6)
    again = tiling.scaled(8).blend(tiling.scaled(8).split(large))
    assert torch.allclose(again, large, atol=1e-6)


def test_a_small_picture_is_padded_by_mirroring() -> None:
    row = mirror_pad(torch.tensor([[[1.0, 2.0, 3.0]]]), 1, 7)
    assert row.flatten().tolist() == [1, 2, 3, 2, 1, 2, 3]


def test_a_side_of_512_px_is_one_tile() -> None:
    assert cut_side(512) == Cut(512, 512, (0,), 32)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (33, 7), (130, 100)])
def test_a_picture_of_any_size_is_denoised_pixel_for_pixel(size: tuple[int, int]) -> None:
    x_t = seeded(3, *size)
    expected = gaussian(0.1, 0.3)([DenoiseCall("toy", x_t, 0.4)])[0]
    turns: Turns = []
    result = answer(denoise_tiles(Denoiser("toy"), x_t, 0.4), gaussian(0.1, 0.3), turns)
    assert torch.allclose(result, expected, atol=1e-6)
    assert turns[0][0].x_t.shape[1] in BUCKETS
    assert turns[0][0].x_t.shape[2] in BUCKETS


def test_tiles_of_photographs_of_different_sizes_can_share_a_batch() -> None:
    turns: Turns = []
    for height, width in ((97, 120), (128, 101), (110, 128)):
        answer(denoise_tiles(Denoiser("toy"), seeded(3, height, width), 0.4), gaussian(0, 1), turns)
    assert len({call.key for turn in turns for call in turn}) == 1


def test_a_large_picture_in_tiles_is_denoised_as_in_one_piece() -> None:
    def blur(calls: Sequence[DenoiseCall]) -> list[Tensor]:
        return [
            functional.avg_pool2d(
                functional.avg_pool2d(call.x_t, (1, 121), 1, (0, 60)), (121, 1), 1, (60, 0)
            )
            for call in calls
        ]

    x_t = seeded(3, 1100, 1300)
    turns: Turns = []
    tiled = answer(denoise_tiles(Denoiser("toy"), x_t, 0.4), blur, turns)
    (whole,) = blur([DenoiseCall("toy", x_t, 0.4)])
    inner = (slice(None), slice(61, -61), slice(61, -61))
    assert len(turns) == 1
    assert len(turns[0]) == 4
    assert float((tiled - whole)[inner].abs().max()) < 1e-5
