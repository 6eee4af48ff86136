"""Examples for the damage network: a scan of a print, whole or damaged, and where damage is seen.

The truth and the damaged print go through the same lens, chemistry and scanner, so that what
differs is damage. What cannot be seen in noise or among leaves is not asked for, and faint damage
and a pixel around damage teach nothing either way.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_dilation, gaussian_filter, uniform_filter
from torch import Tensor

from training.damage import jpeg
from training.photos import Pixels, to_tensor
from training.print_marks import Floats, clouds
from training.print_wear import DAMAGES, Sheet, cracks, draw_belongings
from training.sources import Sources

CROP_PX = 192
"""Side of the crops that the network is trained on."""

PRINT_PX = 384
"""Side of the prints that crops are cut from."""

WHOLE, DAMAGED, EITHER = 0, 1, 2
"""Labels of pixels; nothing is learned from the last."""

_CROPS = 4
"""Crops of one print in a batch: to damage a print takes as long as to learn from four crops."""

_UNDAMAGED = 0.45
"""Share of prints without damage: a network that meets few takes every edge for a crack."""

_SEEN_LEVELS = 9.0
"""Change, in levels of 0 to 255, from which damage on even ground is seen."""

_COVERED = 0.06
_GREY = np.array((0.299, 0.587, 0.114), np.float32)


@dataclass(frozen=True)
class DamageBatch:
    """Examples of one size.

    Attributes:
        pictures: Scans, (B, 3, H, W) in [-1, 1].
        labels: `WHOLE`, `DAMAGED` or `EITHER`, uint8, (B, H, W).
    """

    pictures: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> "DamageBatch":
        """The same batch on a device."""
        return DamageBatch(self.pictures.to(device), self.labels.to(device))


def draw_batch(sources: Sources, count: int, rng: Generator) -> DamageBatch:
    """Draw examples, all that is random from `rng`; one print gives up to four of them."""
    scans: list[Tensor] = []
    labels: list[Tensor] = []
    while len(scans) < count:
        scan, label = damaged_print(print_square(sources.draw(rng), rng), rng)
        for _ in range(_CROPS):
            top, left = rng.integers(len(scan) - CROP_PX + 1, size=2)
            box = (slice(top, top + CROP_PX), slice(left, left + CROP_PX))
            scans.append(to_tensor(scan[box]))
            labels.append(torch.from_numpy(label[box].copy()))
    return DamageBatch(torch.stack(scans[:count]), torch.stack(labels[:count]))


def print_square(pixels: Pixels, rng: Generator) -> Pixels:
    """A square part of a photograph as a print of 384 px, turned or mirrored at random."""
    height, width = pixels.shape[:2]
    side = int(min(height, width) * (1 if rng.random() < 0.4 else rng.uniform(0.6, 1)))
    top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
    cut = Image.fromarray(pixels[top : top + side, left : left + side])
    square = np.asarray(cut.resize((PRINT_PX, PRINT_PX), Image.Resampling.LANCZOS))
    turned = np.rot90(square, int(rng.choice((0, 0, 0, 1, 2, 3))))
    return np.ascontiguousarray(turned[:, ::-1] if rng.random() < 0.5 else turned)


def damaged_print(photograph: Pixels, rng: Generator) -> tuple[Pixels, NDArray[np.uint8]]:
    """A scan of a print of a square photograph, and its labels.

    Args:
        photograph: (H, H, 3).
        rng: What is random about it.

    Returns:
        The scan, (H, H, 3), and its labels, (H, H).
    """
    undamaged = rng.random() < _UNDAMAGED
    truth = photograph.astype(np.float32)
    if undamaged and rng.random() < 0.5:  # a sharp photograph of today
        return photograph, np.zeros(photograph.shape[:2], np.uint8)
    if rng.random() < 0.6:
        truth = _toned(truth, rng)
    if rng.random() < 0.5:
        sigma = rng.uniform(0, 2.2)
        truth = gaussian_filter(truth, (sigma, sigma, 0))
    if rng.random() < 0.4:
        grain = clouds(len(truth), rng.uniform(1, 2.5), rng)[..., None]
        truth = truth + np.float32(rng.triangular(1, 2, 10)) * grain
    sheet = Sheet(truth, truth.copy(), np.zeros(truth.shape[:2], np.float32), rng)
    draw_belongings(sheet)
    if not undamaged:
        chosen = [kind for kind, odds in DAMAGES if rng.random() < odds] or [cracks]
        for index in rng.permutation(len(chosen)):
            chosen[index](sheet)
    return _scanned(sheet, rng)


def _toned(pixels: Floats, rng: Generator) -> Floats:
    """Black and white, brown, or yellowed."""
    grey = pixels @ _GREY
    gamma = np.exp(rng.normal(0, 0.25))
    light = 255 * np.clip(grey / 255, 0, 1) ** gamma
    black, white = rng.uniform(0, 50), rng.uniform(190, 255)
    tint = np.array((1.0, rng.uniform(0.85, 1), rng.uniform(0.6, 1)))
    toned = (black + (white - black) * light / 255)[..., None] * tint
    return np.asarray(toned, np.float32)


def _scanned(sheet: Sheet, rng: Generator) -> tuple[Pixels, NDArray[np.uint8]]:
    """Blur, grain and JPEG of a scan; what is seen is told from the scan without noise."""
    before, after, cover = sheet.truth, np.clip(sheet.now, 0, 255), sheet.cover
    if rng.random() < 0.5:
        sigma = rng.uniform(0.2, 1.3)
        before, after = (gaussian_filter(one, (sigma, sigma, 0)) for one in (before, after))
        cover = gaussian_filter(cover, sigma)
    noise = rng.uniform(0, 9 if rng.random() < 0.25 else 3)
    labels = _labels(np.clip(before, 0, 255), after, cover, noise)
    channels = 1 if rng.random() < 0.5 else 3
    grain = noise * rng.standard_normal((*labels.shape, channels))
    scan = np.clip(np.rint(after + grain), 0, 255).astype(np.uint8)
    if rng.random() < 0.6:
        scan = jpeg(scan, int(rng.uniform(40, 96)), subsampling=0 if rng.random() < 0.4 else 2)
    return scan, labels


def _labels(before: Floats, after: Floats, cover: Floats, noise: float) -> NDArray[np.uint8]:
    """Where damage is seen, where it may be, and where there is none, (H, W).

    Args:
        before: The scan of the whole print, without noise.
        after: That of the damaged one.
        cover: How much of each pixel is damaged.
        noise: Deviation of the scan's noise, in levels of 0 to 255.
    """
    grey = before.mean(axis=2)
    variance = uniform_filter(grey**2, 9) - uniform_filter(grey, 9) ** 2
    texture = np.sqrt(np.maximum(variance, 0))
    seen_from = _SEEN_LEVELS + 0.7 * noise + np.minimum(0.5 * texture, 20)
    change = np.abs(after - before).max(axis=2)
    damaged = (change >= seen_from) & (cover > _COVERED)
    labels = np.full(change.shape, WHOLE, np.uint8)
    labels[(change >= 0.35 * seen_from) | (cover > 0.1)] = EITHER
    labels[binary_dilation(damaged)] = EITHER
    labels[damaged] = DAMAGED
    return labels
