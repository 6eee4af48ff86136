"""Counter-based noise: a function of job, step, draw, channel and pixel position.

It is computed where the process computes, so that no noise is ever copied, from integers alone up
to the last functions; on two devices it differs by less than 1e-5. Tiles, windows, batches and
restarts all see the same noise, and no picture of noise is ever kept.

Each place of two rows and a column is hashed with three keys of the draw into two numbers of 24
bits, of which the Box-Muller transform makes the noise of the two pixels. torch is imported at the
first draw: every step is given its noise, those that ask no network too.

Source: the hash is lowbias32, C. Wellons, Prospecting for Hash Functions (2018); G. E. P. Box and
M. E. Muller, A Note on the Generation of Random Normal Deviates, Ann. Math. Stat. 29 (1958).
"""

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_SEEDS = 2**63
_ALL = slice(None)

_COLUMNS = 2**16
"""Columns, and rows, of the largest picture whose places all have other noise."""

_CACHED_PLACES = 2**17
"""Places that a processor computes at a time: its cache holds all that is made of them."""

_MULTIPLIERS = (0x7FEB352D, 0x846CA68B - 2**32)
"""The odd multipliers of lowbias32, as signed integers of 32 bits."""


@dataclass(frozen=True)
class Noise:
    """All the noise of one job, or of one of its steps.

    Attributes:
        seed: [0, 2**63); 0 is a seed like any other.
    """

    seed: int

    def child(self, index: int) -> "Noise":
        """Independent noise for part `index` of this job."""
        text = f"{self.seed}/{index}".encode()
        return Noise(int.from_bytes(hashlib.sha256(text).digest()[:8]) % _SEEDS)

    def draw(
        self,
        draw: int,
        height: int,
        width: int,
        top: int = 0,
        rows: int | None = None,
        *,
        channels: int = 3,
        columns: slice = _ALL,
    ) -> "Tensor":
        """Standard normal noise for a picture, for its latent, or for a part of it.

        Args:
            draw: Number of the draw, [0, 2**31), such as the step of a sampling run.
            height: Rows of the whole picture.
            width: Columns of the whole picture.
            top: First row wanted.
            rows: Rows wanted; None means all from `top` on.
            channels: Channels of the picture or latent.
            columns: Columns wanted.

        Returns:
            (channels, rows, columns), float32, on the device of the process; a value is the same
            whatever part is asked for.
        """
        import torch

        from daemon.models.transfers import compute_device

        end = height if rows is None else top + rows
        first, device = top // 2, compute_device()
        pairs = -(-end // 2) - first
        left, right, _ = columns.indices(width)
        wide = right - left
        noise = torch.empty(channels, 2 * pairs, wide, device=device)
        band = pairs if device.type != "cpu" else max(1, _CACHED_PLACES // max(1, wide))
        across = torch.arange(left, right, dtype=torch.int32, device=device)
        for begin in range(0, pairs, max(1, band)):
            stop = min(pairs, begin + band)
            row = torch.arange(first + begin, first + stop, dtype=torch.int32, device=device)
            places = row[:, None] * _COLUMNS + across
            for channel in range(channels):
                both = noise[channel, 2 * begin : 2 * stop].view(stop - begin, 2, wide).unbind(1)
                _fill_normal(both, places, self._keys(draw, channel))
        return noise[:, top - 2 * first : end - 2 * first].contiguous()

    def _keys(self, draw: int, channel: int) -> tuple[int, int, int]:
        """Three keys of 32 bits, signed."""
        digest = hashlib.sha256(f"{self.seed}/{draw}/{channel}".encode()).digest()
        first, second, third = (
            int.from_bytes(digest[start : start + 4], signed=True) for start in (0, 4, 8)
        )
        return first, second, third


def _fill_normal(both: "tuple[Tensor, ...]", places: "Tensor", keys: tuple[int, int, int]) -> None:
    """Fill two tensors with standard normal noise, a function of places and keys."""
    mixed = _mix(places ^ keys[0])
    radius = _mix(mixed + keys[1]).bitwise_right_shift_(8).bitwise_and_(2**24 - 1).float()
    radius.add_(0.5).mul_(2.0**-24).log_().mul_(-2).sqrt_()
    angle = _mix(mixed.bitwise_xor_(keys[2])).bitwise_right_shift_(8).bitwise_and_(2**24 - 1)
    turned = angle.float().mul_(2 * math.pi * 2.0**-24)
    both[0].copy_(turned.cos().mul_(radius))
    both[1].copy_(turned.sin_().mul_(radius))


def _mix(x: "Tensor") -> "Tensor":
    """lowbias32 of integers of 32 bits, in place: shifts are those of unsigned numbers."""
    first, second = _MULTIPLIERS
    x.bitwise_xor_((x >> 16).bitwise_and_(2**16 - 1)).mul_(first)
    x.bitwise_xor_((x >> 15).bitwise_and_(2**17 - 1)).mul_(second)
    return x.bitwise_xor_((x >> 16).bitwise_and_(2**16 - 1))
