"""Pictures of any size, or their latents, through a network that wants sides of few sizes.

Small pictures are padded to the next bucket, so that different photographs share forward passes;
wide ones are cut into tiles that overlap; very large ones are worked on window by window, so that
memory stays bounded. The prior's tiles and all windows start at multiples of `GRID`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from daemon.models.calls import Degradation, DenoiseCall, Guidance, ModelCalls, ask

GRID = 48
"""Tiles and windows start at multiples of this: of the network's 16 and of every scale."""

BUCKETS = (*range(32, 129, 32), *range(192, 513, 64), *range(640, 1025, 128))
"""Sides of tiles. Measured with 192 px of overlap: 1024 px wastes half of what 512 px does."""

OVERLAP = 192
"""Least overlap of neighbouring tiles: 80 px from a tile's edge the network's answer differs by
less than 5e-3 (in [0, 1], fp32, all tasks and times measured) from that of the whole picture."""

FEATHER = 32
"""Width of the blend in the middle of an overlap."""


@dataclass(frozen=True)
class Tiles:
    """Which tiles a network wants, in elements of what it denoises: pixels or latents.

    Attributes:
        sizes: Sides of tiles, ascending.
        grid: Tiles start at multiples of this.
        overlap: Least overlap of neighbouring tiles.
        feather: Width of the blend in the middle of an overlap.
    """

    sizes: tuple[int, ...] = BUCKETS
    grid: int = GRID
    overlap: int = OVERLAP
    feather: int = FEATHER


PRIOR_TILES = Tiles()


def native_tiles(side: int) -> Tiles:
    """Tiles of a network that attends to all of its picture: only of the size it was trained on."""
    return Tiles((side,), max(1, side // 8), side // 4, max(1, side // 8))


@dataclass(frozen=True)
class Denoiser:
    """A model as restorers ask it, tile by tile.

    Attributes:
        model: Its reference.
        tiles: What it wants to see.
        guidance: The prompt, for models that take one.
        reduction: Pixels along one element of what it denoises.
    """

    model: str
    tiles: Tiles = PRIOR_TILES
    guidance: Guidance | None = None
    reduction: int = 1


@dataclass(frozen=True)
class Cut:
    """How one side of a picture is cut.

    Attributes:
        length: Pixels of the side.
        size: Pixels of each piece; the last may reach beyond the side.
        starts: First pixel of each piece, multiples of a grid, ascending.
        feather: Width of the blend in the middle of each overlap.
    """

    length: int
    size: int
    starts: tuple[int, ...]
    feather: int

    def stop(self, index: int) -> int:
        """End of a piece, within the picture."""
        return min(self.starts[index] + self.size, self.length)

    def weights(self, index: int) -> Tensor:
        """Share of a piece in the blend, (stop - start,); all pieces' shares sum to 1."""
        start, stop = self.starts[index], self.stop(index)
        place = torch.arange(start, stop, dtype=torch.float32) + 0.5
        share = torch.ones(stop - start)
        if index > 0:
            share = share * self._risen(place, index)
        if index + 1 < len(self.starts):
            share = share * (1 - self._risen(place, index + 1))
        return share

    def times(self, factor: int) -> "Cut":
        """The same cut of a picture that is so many times larger."""
        starts = tuple(start * factor for start in self.starts)
        return Cut(self.length * factor, self.size * factor, starts, self.feather * factor)

    def _risen(self, place: Tensor, index: int) -> Tensor:
        """0 before, 1 behind the blend between piece index - 1 and piece index."""
        middle = (self.starts[index] + self.starts[index - 1] + self.size) / 2
        return ((place - middle) / self.feather + 0.5).clamp(0, 1)


def cut(length: int, tiles: Tiles = PRIOR_TILES) -> Cut:
    """Tiles along a side: one up to the largest size, else those that cost least."""
    for size in tiles.sizes:
        if size >= length:
            return Cut(length, size, (0,), tiles.feather)
    cuts = (
        spread(length, size, tiles.overlap, tiles.feather, tiles.grid)
        for size in tiles.sizes
        if 2 * size >= tiles.sizes[-1]
    )
    return min(cuts, key=lambda c: (len(c.starts) * c.size, -c.size))


def spread(length: int, size: int, overlap: int, feather: int, grid: int = GRID) -> Cut:
    """As few pieces of a size as cover a side with at least the overlap, evenly spaced.

    Args:
        length: Pixels of the side, more than `size`.
        size: Pixels of each piece.
        overlap: Least overlap of neighbours, at most size - grid.
        feather: Width of the blend, at most the overlap.
        grid: Pieces start at multiples of this.
    """
    widest = (size - overlap) // grid * grid
    gaps = -(-(length - size) // widest)
    step = -(-(length - size) // (gaps * grid)) * grid
    return Cut(length, size, tuple(range(0, gaps * step + 1, step)), feather)


@dataclass(frozen=True)
class Tiling:
    """How a picture is cut into tiles and put together again.

    Attributes:
        down: The cut of its height.
        across: The cut of its width.
    """

    down: Cut
    across: Cut

    @classmethod
    def of(cls, size: Sequence[int], tiles: Tiles) -> "Tiling":
        """The tiling of a picture, or of a latent, of a (height, width)."""
        height, width = size
        return cls(cut(height, tiles), cut(width, tiles))

    def times(self, factor: int) -> "Tiling":
        """The same tiling of a picture that is so many times larger."""
        return Tiling(self.down.times(factor), self.across.times(factor))

    def cut_up(self, picture: Tensor) -> list[Tensor]:
        """The tiles of a picture (C, H, W), row by row; beyond its ends it is mirrored."""
        return [
            picture.index_select(1, _padded(self.down, i)).index_select(2, _padded(self.across, j))
            for i, j in self._places()
        ]

    def put_together(self, tiles: Sequence[Tensor]) -> Tensor:
        """The picture (C, H, W) of which these are the tiles, blended where they overlap."""
        if len(tiles) == 1:
            return tiles[0][:, : self.down.length, : self.across.length].contiguous()
        whole = tiles[0].new_zeros(len(tiles[0]), self.down.length, self.across.length)
        for (i, j), tile in zip(self._places(), tiles, strict=True):
            top, bottom = self.down.starts[i], self.down.stop(i)
            left, right = self.across.starts[j], self.across.stop(j)
            shares = self.down.weights(i)[:, None] * self.across.weights(j)
            part = tile[:, : bottom - top, : right - left]
            whole[:, top:bottom, left:right] += shares * part
        return whole

    def _places(self) -> list[tuple[int, int]]:
        return list(product(range(len(self.down.starts)), range(len(self.across.starts))))


_UNCONDITIONAL = Degradation()


def denoise_tiles(
    denoiser: Denoiser,
    x_t: Tensor,
    t: float,
    *,
    condition: Tensor | None = None,
    degradation: Degradation = _UNCONDITIONAL,
    exact: bool = False,
) -> ModelCalls[Tensor]:
    """The posterior mean of a picture or latent of any size, all tiles asked for at once.

    Args:
        denoiser: Whom to ask.
        x_t: Noisy picture, (C, H, W), float32, any H and W from 1.
        t: Diffusion angle in radians, [0, pi/2].
        condition: What is known, (3, H, W) in [-1, 1], or None.
        task: What the condition means.
        exact: Ask for float32 throughout.

    Returns:
        (C, H, W), float32. Of the prior, tiled differs from whole by less than 1e-2 in [0, 1].
    """
    tiling = Tiling.of(x_t.shape[1:], denoiser.tiles)
    tiles = tiling.cut_up(x_t)
    known: Sequence[Tensor | None] = [None] * len(tiles)
    if condition is not None:
        known = tiling.cut_up(condition)
    calls = [
        DenoiseCall(
            denoiser.model, tile, t, part, degradation, exact, denoiser.guidance, denoiser.reduction
        )
        for tile, part in zip(tiles, known, strict=True)
    ]
    return tiling.put_together((yield from ask(calls)))


def regress(denoiser: Denoiser, condition: Tensor, degradation: Degradation) -> ModelCalls[Tensor]:
    """The posterior mean given a condition alone: of the noisy picture nothing is left at pi/2.

    Args:
        denoiser: Whom to ask.
        condition: What is known, (3, H, W) in [-1, 1].
        task: What the condition means.

    Returns:
        Same shape.
    """
    nothing = torch.zeros_like(condition, memory_format=torch.contiguous_format)
    return denoise_tiles(
        denoiser, nothing, math.pi / 2, condition=condition, degradation=degradation
    )


def mirrored(picture: Tensor, height: int, width: int) -> Tensor:
    """A picture (C, H, W) filled up to at least its own size by mirroring it at its ends."""
    down, across = Cut(picture.shape[1], height, (0,), 1), Cut(picture.shape[2], width, (0,), 1)
    return Tiling(down, across).cut_up(picture)[0]


def _padded(side: Cut, index: int) -> Tensor:
    """Pixels that fill a piece: beyond the picture's end it is mirrored, to and fro."""
    place = torch.arange(side.starts[index], side.starts[index] + side.size)
    if side.length == 1:
        return torch.zeros_like(place)
    period = 2 * (side.length - 1)
    folded = place % period
    return torch.minimum(folded, period - folded)
