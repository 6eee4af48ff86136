"""Noise as a function of job, step, draw and pixel position.

The numbers are counter-based: band k of 64 rows of draw d is a Philox stream of its own, so that
tiles, windows, batches and restarts all see the same noise, and no picture of noise is ever kept.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

BAND = 64
"""Rows per stream."""

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
    ) -> Tensor:
        """Standard normal noise of a picture, or of its latent, or of some of its rows.

        Args:
            draw: Which draw, [0, 2**31): a step of sampling, for instance.
            height: Rows of the whole picture.
            width: Columns of the whole picture.
            top: First row wanted.
            rows: Rows wanted; None means all from `top` on.
            channels: Of the picture or latent.

        Returns:
            (channels, rows, width), float32; row y is the same whatever window it is asked in.
        """
        end = height if rows is None else top + rows
        bands = [
            self._band(draw, band, (end, width, channels))[max(0, top - band * BAND) :]
            for band in range(top // BAND, -(-end // BAND))
        ]
        whole = np.concatenate(bands) if bands else np.empty((0, width, channels), np.float32)
        return torch.from_numpy(whole).permute(2, 0, 1).contiguous()

    def _band(self, draw: int, band: int, extent: tuple[int, int, int]) -> np.ndarray:
        """Rows of a band down to row `end` of the picture, (rows, width, channels)."""
        end, width, channels = extent
        stream = np.random.Philox(key=np.array([self.seed, draw << 32 | band], np.uint64))
        shape = (min(BAND, end - band * BAND), width, channels)
        return np.random.Generator(stream).standard_normal(shape, np.float32)
