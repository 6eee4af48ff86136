"""Counter-based noise: a function of job, step, draw and pixel position.

Every band of 64 rows of a draw is a Philox stream of its own, so that tiles, windows, batches and
restarts all see the same noise, and no picture of noise is ever kept. torch is imported at the
first draw: every step is given its noise, those that ask no network too.
"""

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

_ROWS_PER_STREAM = 64
_SEEDS = 2**63


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
    ) -> "Tensor":
        """Standard normal noise for a picture, for its latent, or for some of its rows.

        Args:
            draw: Number of the draw, [0, 2**31), such as the step of a sampling run.
            height: Rows of the whole picture.
            width: Columns of the whole picture.
            top: First row wanted.
            rows: Rows wanted; None means all from `top` on.
            channels: Channels of the picture or latent.

        Returns:
            (channels, rows, width), float32; a row is the same in whatever part it is asked for.
        """
        import torch

        end = height if rows is None else top + rows
        bands = [
            self._band(draw, band, (end, width, channels))[max(0, top - band * _ROWS_PER_STREAM) :]
            for band in range(top // _ROWS_PER_STREAM, -(-end // _ROWS_PER_STREAM))
        ]
        whole = np.concatenate(bands) if bands else np.empty((0, width, channels), np.float32)
        return torch.from_numpy(whole).permute(2, 0, 1).contiguous()

    def _band(self, draw: int, band: int, extent: tuple[int, int, int]) -> np.ndarray:
        """Rows of one band, cut off at row `end` of (end, width, channels): (rows, width, C)."""
        end, width, channels = extent
        stream = np.random.Philox(key=np.array([self.seed, draw << 32 | band], np.uint64))
        shape = (min(_ROWS_PER_STREAM, end - band * _ROWS_PER_STREAM), width, channels)
        return np.random.Generator(stream).standard_normal(shape, np.float32)
