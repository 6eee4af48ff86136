"""Pictures of any size through a network that wants sides of few sizes and has a finite reach.

Small pictures are padded to the next bucket, so that different photographs share forward passes;
wide ones are cut into tiles that overlap; very large ones are worked on window by window, so that
memory stays bounded. Tiles and windows start at multiples of `GRID`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from daemon.call import Asking, Call, Task, ask

GRID = 48
"""Tiles and windows start at multiples of this: of the network's 16 and of every scale."""

BUCKETS = (*range(32, 129, 32), *range(192, 513, 64), *range(640, 1025, 128))
"""Sides of tiles. Measured with 192 px of overlap: 1024 px wastes half of what 512 px does."""

OVERLAP = 192
"""Least overlap of neighbouring tiles: 80 px from a tile's edge the network's answer differs by
less than 5e-3 (in [0, 1], fp32, all tasks and times measured) from that of the whole picture."""

FEATHER = 32
"""Width of the blend in the middle of an overlap."""

_UNCONDITIONAL = Task()


@dataclass(frozen=True)
class Cut:
    """How one side of a picture is cut.

    Attributes:
        length: Pixels of the side.
        size: Pixels of each piece; the last may reach beyond the side.
        starts: First pixel of each piece, multiples of GRID, ascending.
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

    def _risen(self, place: Tensor, index: int) -> Tensor:
        """0 before, 1 behind the blend between piece index - 1 and piece index."""
        middle = (self.starts[index] + self.starts[index - 1] + self.size) / 2
        return ((place - middle) / self.feather + 0.5).clamp(0, 1)


def cut(length: int) -> Cut:
    """Tiles along a side: one up to 1024 px, else those that cost least."""
    for size in BUCKETS:
        if size >= length:
            return Cut(length, size, (0,), FEATHER)
    cuts = (spread(length, size, OVERLAP, FEATHER) for size in BUCKETS if size >= 512)
    return min(cuts, key=lambda c: (len(c.starts) * c.size, -c.size))


def spread(length: int, size: int, overlap: int, feather: int) -> Cut:
    """As few pieces of a size as cover a side with at least the overlap, evenly spaced.

    Args:
        length: Pixels of the side, more than `size`.
        size: Pixels of each piece.
        overlap: Least overlap of neighbours.
        feather: Width of the blend, at most the overlap.
    """
    widest = (size - overlap) // GRID * GRID
    gaps = -(-(length - size) // widest)
    step = -(-(length - size) // (gaps * GRID)) * GRID
    return Cut(length, size, tuple(range(0, gaps * step + 1, step)), feather)


def denoise_tiles(
    model: str,
    x_t: Tensor,
    t: float,
    *,
    condition: Tensor | None = None,
    task: Task = _UNCONDITIONAL,
    exact: bool = False,
) -> Asking[Tensor]:
    """The posterior mean of a picture of any size, all tiles asked for at once.

    Args:
        model: Reference of the model.
        x_t: Noisy picture, (3, H, W), float32, any H and W from 1.
        t: Diffusion angle in radians, [0, pi/2].
        condition: What is known, (3, H, W) in [-1, 1], or None.
        task: What the condition means.
        exact: Ask for float32 throughout.

    Returns:
        (3, H, W), float32. Tiled differs from whole by less than 1e-2 in [0, 1].
    """
    _, height, width = x_t.shape
    down, across = cut(height), cut(width)
    places = [(i, j) for i in range(len(down.starts)) for j in range(len(across.starts))]
    calls = []
    for i, j in places:
        rows, columns = _padded(down, i), _padded(across, j)
        tile = _take(x_t, rows, columns)
        known = None if condition is None else _take(condition, rows, columns)
        calls.append(Call(model, tile, t, known, task, exact))
    answers = yield from ask(calls)
    if len(places) == 1:
        return answers[0][:, :height, :width].contiguous()
    whole = torch.zeros_like(x_t)
    for (i, j), answer in zip(places, answers, strict=True):
        _add(whole, answer, (down, i), (across, j))
    return whole


def _padded(side: Cut, index: int) -> Tensor:
    """Pixels that fill a piece: beyond the picture's end it is mirrored, to and fro."""
    place = torch.arange(side.starts[index], side.starts[index] + side.size)
    if side.length == 1:
        return torch.zeros_like(place)
    period = 2 * (side.length - 1)
    folded = place % period
    return torch.minimum(folded, period - folded)


def _take(picture: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    return picture.index_select(1, rows).index_select(2, columns)


def _add(whole: Tensor, answer: Tensor, down: tuple[Cut, int], across: tuple[Cut, int]) -> None:
    """Add a tile's answer to the whole with its shares."""
    (rows, i), (columns, j) = down, across
    top, bottom, left, right = rows.starts[i], rows.stop(i), columns.starts[j], columns.stop(j)
    shares = rows.weights(i)[:, None] * columns.weights(j)
    whole[:, top:bottom, left:right] += shares * answer[:, : bottom - top, : right - left]
