"""Photographs as one flat tensor on the device that trains: crops are a single gather."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from training.photos import Pyramid


class CropStore:
    """All levels of all pyramids, uint8, and random crops of them.

    Every photograph is drawn alike; of its levels each by the square root of its area, so that
    coarse ones, which show complete scenes in few pixels, come more often than by area.

    Args:
        pyramids: Photographs at several scales.
        device: Where the crops are made.
    """

    def __init__(self, pyramids: Sequence[Pyramid], device: torch.device) -> None:
        levels = [(index, one) for index, p in enumerate(pyramids) for one in p.levels]
        sizes = torch.tensor([level.size for _, level in levels])
        self._flat = torch.from_numpy(np.concatenate([one.reshape(-1) for _, one in levels]))
        self._flat = self._flat.to(device)
        self._offset = (sizes.cumsum(0) - sizes).to(device)
        self._height = torch.tensor([level.shape[0] for _, level in levels], device=device)
        self._width = torch.tensor([level.shape[1] for _, level in levels], device=device)
        self._photo = torch.tensor([index for index, _ in levels], device=device)
        self._odds: dict[int, Tensor] = {}
        self.device = device

    def crops(self, count: int, side: int, generator: torch.Generator) -> Tensor:
        """Random square crops, mirrored and transposed at random.

        Args:
            count: How many.
            side: Their side in pixels; levels without room are left out.
            generator: On the store's device.

        Returns:
            (count, 3, side, side), float32, 0 to 255.
        """
        level = torch.multinomial(self._level_odds(side), count, True, generator=generator)
        place = torch.rand(4, count, generator=generator, device=self.device)
        top = (place[0] * (self._height[level] - side + 1)).long()
        left = (place[1] * (self._width[level] - side + 1)).long()
        run = torch.arange(side, device=self.device)
        rows = self._mirrored(run, place[2] < 0.5, side) + top[:, None]
        columns = self._mirrored(run, place[3] < 0.5, side) + left[:, None]
        pixel = rows[:, :, None] * self._width[level][:, None, None] + columns[:, None, :]
        first = self._offset[level][:, None, None] + 3 * pixel
        gathered = self._flat[first[..., None] + torch.arange(3, device=self.device)]
        crops = gathered.permute(0, 3, 1, 2).float()
        turned = torch.rand(count, 1, 1, 1, generator=generator, device=self.device) < 0.5
        return torch.where(turned, crops.transpose(2, 3), crops)

    @staticmethod
    def _mirrored(run: Tensor, flipped: Tensor, side: int) -> Tensor:
        return torch.where(flipped[:, None], side - 1 - run, run)

    def _level_odds(self, side: int) -> Tensor:
        if side not in self._odds:
            fits = torch.minimum(self._height, self._width) >= side
            root = (self._height * self._width).float().sqrt() * fits
            total = torch.zeros(int(self._photo.max()) + 1, device=self.device)
            total.index_add_(0, self._photo, root)
            self._odds[side] = root / total[self._photo].clamp(min=1e-9)
        return self._odds[side]
