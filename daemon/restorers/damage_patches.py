"""Patches of a picture that may be damage, and how they stand out from what is around them.

What damage is lighter or darker than is told by the median around a patch. A mean would be wrong:
beside a scratch it is drawn towards the scratch, so that the scratch's own rim, which a search for
the other tone sees, would stand out from it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, find_objects, label, maximum, median

Mask = NDArray[np.bool_]
Numbers = NDArray[np.float64]

LEAST_EXCESS = 5.0
"""Levels of 0 to 255 by which damage is lighter than the median around it, or darker.

The rim of a scratch on even ground has 0 to 3, the scratch 80; `benchmarks.defects` finds as much
damage from 0 to 8.
"""

_GAP_PX = 1.5
_RING_PX = 9.0
"""What lies between these distances from a patch, and nearer to it than to another, is around it.

The median of that is the ground's while a scratch is thinner than half of it.
"""


@dataclass(frozen=True, eq=False)
class Patches:
    """Connected pixels, numbered from 1.

    Attributes:
        labels: Number of each pixel's patch, or 0, (H, W).
        areas: Pixels of each patch, (N,).
        thickness: Area of each over the diagonal of its bounding box, in pixels, (N,).
    """

    labels: NDArray[np.int32]
    areas: Numbers
    thickness: Numbers

    def mean(self, values: NDArray[np.floating]) -> Numbers:
        """Mean of what each pixel has, (H, W), over each patch, (N,)."""
        sums = np.bincount(self.labels.ravel(), values.ravel(), len(self.areas) + 1)[1:]
        return np.asarray(sums / self.areas, np.float64)

    def most(self, values: NDArray[np.floating]) -> Numbers:
        """The largest of what each pixel has, (H, W), in each patch, (N,)."""
        return np.asarray(maximum(values, self.labels, self._numbers), np.float64)

    def among(self, chosen: Mask) -> Mask:
        """Which pixels belong to the chosen patches, (N,) -> (H, W)."""
        return np.concatenate(([False], chosen))[self.labels]

    def surroundings(self, light: NDArray[np.floating]) -> tuple[Numbers, Numbers]:
        """How light it is around each patch, and how unevenly.

        Args:
            light: Lightness of each pixel, (H, W).

        Returns:
            The median around each, and the median distance from it, both (N,).
        """
        if not len(self.areas):
            return np.zeros(0), np.zeros(0)
        ring = self._around()
        usual = np.nan_to_num(median(light, ring, self._numbers))
        strayed = np.abs(light - np.concatenate(([0.0], usual))[ring])
        uneven = np.nan_to_num(median(strayed, ring, self._numbers))
        return np.asarray(usual, np.float64), np.asarray(uneven, np.float64)

    @property
    def _numbers(self) -> NDArray[np.int64]:
        return np.arange(1, len(self.areas) + 1)

    def _around(self) -> NDArray[np.int32]:
        """The number of the patch that each pixel is around, or 0, (H, W)."""
        distance, (rows, columns) = distance_transform_edt(self.labels == 0, return_indices=True)
        ring = (distance > _GAP_PX) & (distance < _RING_PX)
        around: NDArray[np.int32] = np.where(ring, self.labels[rows, columns], 0)
        return around


def connected_patches(chosen: Mask) -> Patches:
    """The connected patches of pixels, also across corners."""
    labels, count = label(chosen, np.ones((3, 3)))
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:].astype(np.float64)
    boxes = find_objects(labels)
    lengths = np.array([np.hypot(*(side.stop - side.start for side in box)) for box in boxes])
    return Patches(labels, areas, areas / lengths.reshape(areas.shape))


def log_odds(probability: Numbers, least: float) -> Numbers:
    """Logarithm of the odds; probabilities nearer to 0 or 1 than `least` count as that."""
    bounded = np.clip(probability, least, 1 - least)
    return np.asarray(np.log(bounded / (1 - bounded)), np.float64)
