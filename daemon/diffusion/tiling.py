"""Tiles: pictures of any size, or their latents, through a network that takes a few sizes.

Small pictures are padded to the next size, so that different photographs share forward passes;
larger ones are split into overlapping tiles, whose answers are blended. Very large photographs are
first cut into windows (`windows`), so that memory stays bounded.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from daemon.config.model_reference import RESTORATION
from daemon.models.calls import Degradation, DenoiseCall, Guidance, ModelCalls, RestoreCall, ask

GRID = 48
"""Pixels: the prior's tiles and all windows start at multiples of this.

It is a multiple of the 16 that the network needs and of every scale of enlargement.
"""

BUCKETS = (*range(32, 129, 32), *range(192, 513, 64), *range(640, 1025, 128))
"""Sides of the prior's tiles. At 192 px of overlap 1024 px wastes half of what 512 px does."""

OVERLAP = 192
"""Least overlap of the prior's tiles, in pixels.

80 px from a tile's edge the network's answer differs by less than 5e-3 (in [0, 1], fp32, all
degradations and times measured) from its answer for the whole picture.
"""

FEATHER = 32
"""Width of the blend in the middle of an overlap of the prior's tiles, in pixels."""


@dataclass(frozen=True)
class TileSpec:
    """Which tiles a network takes, in elements of what it denoises: pixels or latents.

    Attributes:
        sizes: Allowed sides of tiles, ascending.
        grid: Tiles start at multiples of this.
        overlap: Least overlap of neighbouring tiles.
        feather: Width of the blend in the middle of an overlap.
    """

    sizes: tuple[int, ...] = BUCKETS
    grid: int = GRID
    overlap: int = OVERLAP
    feather: int = FEATHER


PRIOR_TILES = TileSpec()


def native_tiles(side: int) -> TileSpec:
    """Tiles for a network with attention, which works only at the size it was trained on."""
    return TileSpec((side,), max(1, side // 8), side // 4, max(1, side // 8))


@dataclass(frozen=True)
class FittedTiles:
    """Tiles that end where the picture ends, for networks of convolutions alone.

    Such a network was trained on crops, whose edges it knows; beyond a mirrored edge it is 3 dB
    worse in the two outermost pixels (x2, scikit-image's seven).

    Attributes:
        largest: Longest side of a tile.
        multiple: Tiles start at, and are as long as, multiples of this. A picture is mirrored up to
            the next.
        overlap: Least overlap of neighbouring tiles: twice what the network sees around an element,
            and the blend.
        feather: Width of the blend in the middle of an overlap.
    """

    largest: int
    multiple: int
    overlap: int
    feather: int

    def cut(self, length: int) -> "Cut":
        """Cut a side into as few tiles as cover it, of equal length."""
        whole = -(-length // self.multiple) * self.multiple
        if whole <= self.largest:
            return Cut(length, whole, (0,), self.feather)
        count = -(-(whole - self.overlap) // (self.largest - self.overlap))
        size = -(-(whole + (count - 1) * self.overlap) // (count * self.multiple)) * self.multiple
        last = (whole - size) // self.multiple
        starts = tuple(last * index // (count - 1) * self.multiple for index in range(count))
        return Cut(length, size, starts, self.feather)


REPAIR_TILES = FittedTiles(largest=1024, multiple=2, overlap=64, feather=16)
"""Tiles of the restoration networks for noise and blind repair, in pixels: they see 24 px."""

ENLARGEMENT_TILES = FittedTiles(largest=512, multiple=1, overlap=32, feather=8)
"""Their tiles for enlargement, in small pixels: they see 12."""


@dataclass(frozen=True)
class Denoiser:
    """A model that denoises tile by tile, with all that its calls have in common.

    Attributes:
        model: Reference of the model.
        tiles: Which tiles it takes.
        guidance: The prompt, for models that take one.
        reduction: Pixels along one element of what it denoises: 1 for pixels, 8 for most latents.
    """

    model: str
    tiles: TileSpec = PRIOR_TILES
    guidance: Guidance | None = None
    reduction: int = 1


@dataclass(frozen=True)
class Cut:
    """How one side of a picture is cut into pieces that overlap.

    Attributes:
        length: Length of the side, in pixels.
        size: Length of each piece, in pixels; the last may reach beyond the side.
        starts: First pixel of each piece, ascending, the first 0.
        feather: Width of the blend in the middle of each overlap.
    """

    length: int
    size: int
    starts: tuple[int, ...]
    feather: int

    def stop(self, index: int) -> int:
        """The pixel after the last one of a piece that lies within the picture."""
        return min(self.starts[index] + self.size, self.length)

    def weights(self, index: int, device: torch.device | None = None) -> Tensor:
        """Weight of a piece in the blend, (stop - start,); the weights of all pieces sum to 1."""
        start, stop = self.starts[index], self.stop(index)
        place = torch.arange(start, stop, dtype=torch.float32, device=device) + 0.5
        weight = torch.ones_like(place)
        if index > 0:
            weight = weight * self._ramp(place, index)
        if index + 1 < len(self.starts):
            weight = weight * (1 - self._ramp(place, index + 1))
        return weight

    def scaled(self, factor: int) -> "Cut":
        """The same cut of a side that is `factor` times as long."""
        starts = tuple(start * factor for start in self.starts)
        return Cut(self.length * factor, self.size * factor, starts, self.feather * factor)

    def _ramp(self, place: Tensor, index: int) -> Tensor:
        """0 before and 1 after the blend between piece index - 1 and piece index."""
        middle = (self.starts[index] + self.starts[index - 1] + self.size) / 2
        return ((place - middle) / self.feather + 0.5).clamp(0, 1)


def cut_side(length: int, tiles: TileSpec = PRIOR_TILES) -> Cut:
    """Cut a side into tiles: one up to the largest size, else the fewest elements in all."""
    for size in tiles.sizes:
        if size >= length:
            return Cut(length, size, (0,), tiles.feather)
    cuts = (
        cut_evenly(length, size, tiles.overlap, tiles.feather, tiles.grid)
        for size in tiles.sizes
        if 2 * size >= tiles.sizes[-1]
    )
    return min(cuts, key=lambda c: (len(c.starts) * c.size, -c.size))


def cut_evenly(length: int, size: int, overlap: int, feather: int, grid: int = GRID) -> Cut:
    """Cut a side into as few pieces as cover it with at least the overlap, evenly spaced.

    Args:
        length: Length of the side, more than `size`.
        size: Length of each piece.
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
    """How a picture is split into tiles and blended again.

    Attributes:
        down: The cut of its height.
        across: The cut of its width.
    """

    down: Cut
    across: Cut

    @classmethod
    def for_size(cls, size: Sequence[int], tiles: TileSpec) -> "Tiling":
        """The tiling of a picture, or of a latent, of this (height, width)."""
        height, width = size
        return cls(cut_side(height, tiles), cut_side(width, tiles))

    def scaled(self, factor: int) -> "Tiling":
        """The same tiling of a picture that is `factor` times as high and wide."""
        return Tiling(self.down.scaled(factor), self.across.scaled(factor))

    def split(self, picture: Tensor) -> list[Tensor]:
        """Split a picture (C, H, W) into tiles, row by row; beyond its edges it is mirrored.

        A tile that lies within the picture is a view of it: copying one of 3 x 1024 x 1024 took
        35 ms.
        """
        return [
            _piece(_piece(picture, 1, self.down, i), 2, self.across, j) for i, j in self._places()
        ]

    def blend(self, tiles: Sequence[Tensor]) -> Tensor:
        """Put tiles, row by row, together to a picture (C, H, W), blended where they overlap."""
        if len(tiles) == 1:
            return tiles[0][:, : self.down.length, : self.across.length].contiguous()
        picture = tiles[0].new_zeros(len(tiles[0]), self.down.length, self.across.length)
        for (i, j), tile in zip(self._places(), tiles, strict=True):
            top, bottom = self.down.starts[i], self.down.stop(i)
            left, right = self.across.starts[j], self.across.stop(j)
            rows = self.down.weights(i, tile.device)
            weights = rows[:, None] * self.across.weights(j, tile.device)
            inside = tile[:, : bottom - top, : right - left]
            picture[:, top:bottom, left:right].addcmul_(weights, inside)
        return picture

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
    """Posterior mean of the clean picture or latent; all tiles are asked for in one turn.

    Args:
        denoiser: The model.
        x_t: Noisy picture, (C, H, W), float32, any H and W from 1.
        t: Diffusion angle in radians, [0, pi/2].
        condition: Damaged picture to restore, (3, H, W) in [-1, 1], or what an inpainting
            checkpoint is told, (1 + C, H, W), or None.
        degradation: How the condition is damaged.
        exact: Ask for float32 throughout.

    Returns:
        (C, H, W), float32. The prior's answer in tiles differs from that in one piece by less than
        1e-2 in [0, 1].
    """
    tiling = Tiling.for_size(x_t.shape[1:], denoiser.tiles)
    tiles = tiling.split(x_t)
    conditions: Sequence[Tensor | None] = [None] * len(tiles)
    if condition is not None:
        conditions = tiling.split(condition)
    calls = [
        DenoiseCall(
            denoiser.model,
            tile,
            t,
            tile_condition,
            degradation,
            exact,
            denoiser.guidance,
            denoiser.reduction,
        )
        for tile, tile_condition in zip(tiles, conditions, strict=True)
    ]
    return tiling.blend((yield from ask(calls)))


def regress(denoiser: Denoiser, condition: Tensor, degradation: Degradation) -> ModelCalls[Tensor]:
    """Posterior mean given the condition alone, from one evaluation at pi/2.

    At pi/2 x_t is pure noise and says nothing of the picture, so zeros stand in for it: the same
    for all tiles, which have one size.

    Args:
        denoiser: The model.
        condition: Damaged picture to restore, (3, H, W) in [-1, 1].
        degradation: How the condition is damaged.

    Returns:
        Same shape.
    """
    tiling = Tiling.for_size(condition.shape[1:], denoiser.tiles)
    tiles = tiling.split(condition)
    zeros = torch.zeros_like(tiles[0])
    calls = [
        DenoiseCall(denoiser.model, zeros, math.pi / 2, tile, degradation, False, denoiser.guidance)
        for tile in tiles
    ]
    return tiling.blend((yield from ask(calls)))


def restore_tiles(picture: Tensor, degradation: Degradation) -> ModelCalls[Tensor]:
    """Posterior mean of a clean picture by the restoration networks of the package.

    Args:
        picture: The small or damaged picture, (3, H, W) in [-1, 1].
        degradation: How it came of the clean one.

    Returns:
        (3, H scale, W scale), float32; in tiles it is the same as in one piece.
    """
    scale = degradation.scale
    tiles = REPAIR_TILES if scale == 1 else ENLARGEMENT_TILES
    tiling = Tiling(tiles.cut(picture.shape[1]), tiles.cut(picture.shape[2]))
    calls = [RestoreCall(RESTORATION, tile, degradation) for tile in tiling.split(picture)]
    return tiling.scaled(scale).blend((yield from ask(calls)))


def mirror_pad(picture: Tensor, height: int, width: int) -> Tensor:
    """Pad a picture (C, H, W) below and to the right to a size, by mirroring it at its edges."""
    down, across = Cut(picture.shape[1], height, (0,), 1), Cut(picture.shape[2], width, (0,), 1)
    return Tiling(down, across).split(picture)[0]


def _piece(picture: Tensor, dim: int, side: Cut, index: int) -> Tensor:
    """One piece of a picture along a dimension: a view, unless it reaches beyond the end."""
    start = side.starts[index]
    if start + side.size <= side.length:
        return picture.narrow(dim, start, side.size)
    return picture.index_select(dim, _mirrored(side, index, picture.device))


def _mirrored(side: Cut, index: int, device: torch.device) -> Tensor:
    """Indices of the pixels of a piece; beyond the side's end they run to and fro."""
    place = torch.arange(side.starts[index], side.starts[index] + side.size, device=device)
    if side.length == 1:
        return torch.zeros_like(place)
    period = 2 * (side.length - 1)
    folded = place % period
    return torch.minimum(folded, period - folded)
