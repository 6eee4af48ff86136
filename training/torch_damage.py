"""Damage of batches of photographs as torch on the device that trains.

The same damage as `training.damage` draws with Pillow, for many crops at once: reduction, JPEG,
Gaussian and camera noise, scratches and dust. Pictures are (B, 3, H, W), float32, 0 to 255.
"""

import math
import random

import torch
from torch import Tensor
from torch.nn import functional

from training.torch_jpeg import jpeg, round_to_levels

BLIND_KINDS = ("jpeg", "noise", "camera", "print")
_BLIND_ODDS = (0.6, 0.04, 0.14, 0.22)
_JPEG_ON_TOP = 0.25
_LOWEST = 10
"""Least JPEG quality of what is to be repaired."""

_NOISY_PRINTS = 0.35
"""Share of prints under camera noise; from the others the network learns to leave texture alone."""

_GREY = 0.15
_LUMINANCE = (0.299, 0.587, 0.114)
_LINES, _SPECKS = 3, 7


class Damager:
    """Draws of damage from one generator.

    Args:
        seed: Seed of all draws.
        device: Where the pictures are.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self.generator = torch.Generator(device).manual_seed(seed)
        self.device = device
        self.dice = random.Random(seed)
        """For what the processor must know: it never waits for the device."""

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Evenly distributed numbers."""
        drawn = torch.rand(shape, generator=self.generator, device=self.device)
        return low + (high - low) * drawn

    def log_uniform(self, low: float, high: float, count: int) -> Tensor:
        """Numbers whose logarithm is evenly distributed, (count, 1, 1, 1)."""
        return self.uniform(math.log(low), math.log(high), count, 1, 1, 1).exp()

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers."""
        return torch.randn(shape, generator=self.generator, device=self.device)

    def chosen(self, share: float, count: int) -> Tensor:
        """Which of a batch are chosen at random, bool (count, 1, 1, 1)."""
        return self.uniform(0, 1, count, 1, 1, 1) < share

    def some_grey(self, pictures: Tensor) -> Tensor:
        """The pictures, some of them without colour."""
        weights = pictures.new_tensor(_LUMINANCE)
        grey = round_to_levels(torch.einsum("c,bchw->bhw", weights, pictures))[:, None]
        return torch.where(self.chosen(_GREY, len(pictures)), grey, pictures)

    def reduced(self, pictures: Tensor, scale: int) -> Tensor:
        """The pictures at 1/scale: mostly bicubic as Pillow's, else bilinear or box means."""
        draw = self.dice.random()
        if draw < 0.1:
            return round_to_levels(functional.avg_pool2d(pictures, scale))
        mode = "bilinear" if draw < 0.2 else "bicubic"
        size = (pictures.shape[2] // scale, pictures.shape[3] // scale)
        small = functional.interpolate(pictures, size=size, mode=mode, antialias=True)
        return round_to_levels(small)

    def blurred(self, pictures: Tensor, low: float, high: float) -> Tensor:
        """The pictures as a lens or a scanner slightly out of focus gives them.

        Each is blurred by a Gaussian whose deviation is between `low` and `high` pixels.
        """
        return self.blurred_by(pictures, self.uniform(low, high, len(pictures), 1), high)

    def blurred_by(self, pictures: Tensor, deviation: Tensor, most: float) -> Tensor:
        """Each picture blurred by a Gaussian of its own deviation, (B, 1), of `most` at most."""
        radius = math.ceil(3 * most)
        place = torch.arange(-radius, radius + 1, device=self.device)
        kernel = torch.exp(-(place**2) / (2 * deviation**2))
        kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(3, 0)
        planes = pictures.reshape(1, -1, *pictures.shape[2:])
        padded = functional.pad(planes, (radius, radius, radius, radius), mode="reflect")
        groups = planes.shape[1]
        rows = functional.conv2d(padded, kernel[:, None, None, :], groups=groups)
        columns = functional.conv2d(rows, kernel[:, None, :, None], groups=groups)
        return columns.reshape(pictures.shape)

    def compressed(self, pictures: Tensor, lowest: float = _LOWEST) -> Tensor:
        """JPEG of quality `lowest` to 95, log-uniform, mostly 4:2:0; sides multiples of 16."""
        return self.as_jpeg(pictures, self.qualities(lowest, len(pictures)))

    def qualities(self, lowest: float, count: int) -> Tensor:
        """Whole JPEG qualities of `lowest` to 95, log-uniform, (count,)."""
        return self.log_uniform(lowest, 96, count).flatten().floor().clamp(max=95)

    def as_jpeg(self, pictures: Tensor, quality: Tensor) -> Tensor:
        """The pictures as JPEG of these qualities, (B,), mostly 4:2:0; sides multiples of 16."""
        return jpeg(pictures, quality, self.uniform(0, 1, len(pictures)) < 0.25)

    def noisy(self, pictures: Tensor) -> Tensor:
        """Gaussian noise of 2 to 60 levels, log-uniform, as files hold it."""
        sigma = self.log_uniform(2, 60, len(pictures))
        return round_to_levels(pictures + sigma * self.normal(*pictures.shape))

    def camera(self, pictures: Tensor) -> Tensor:
        """Shot and read noise in linear light, often with chroma blotches or grain on top."""
        count = len(pictures)
        light = (pictures / 255) ** 2.2
        shot, read = self.log_uniform(1e-4, 1e-2, count), self.log_uniform(1e-3, 2e-2, count)
        noisy = light + (shot * light + read**2).sqrt() * self.normal(*pictures.shape)
        result = 255 * noisy.clamp(0, 1) ** (1 / 2.2)
        for share, channels, low, high in ((0.5, 3, 1.5, 4.0), (0.4, 1, 1.0, 2.0)):
            strength = self.chosen(share, count) * self.uniform(2, 14, count, 1, 1, 1)
            result = result + strength * self._blotches(pictures, channels, (low, high))
        return round_to_levels(result)

    def old_print(self, pictures: Tensor) -> Tensor:
        """Bent scratches and specks, bright or dark, often under camera noise."""
        count, _, height, width = pictures.shape
        marks = torch.cat((self._scratches(count, height, width), self._specks(*pictures.shape)), 1)
        bright = self.chosen(0.65, count)
        light, dark = self.uniform(170, 255, count, 1, 1, 1), self.uniform(0, 60, count, 1, 1, 1)
        tint = torch.where(bright, light, dark) + 6 * self.normal(count, 3, 1, 1)
        cover = marks.amax(1, keepdim=True) * self.uniform(0.5, 1, count, 1, 1, 1)
        marked = round_to_levels((1 - cover) * pictures + cover * tint)
        return torch.where(self.chosen(_NOISY_PRINTS, count), self.camera(marked), marked)

    def damaged(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One draw of what the blind task covers for each picture.

        Returns:
            The damaged pictures, the index in `BLIND_KINDS` of each, (B,), and the quality of the
            JPEG that it went through last, (B,), 100 for none.
        """
        wanted = [len(pictures) * share for share in _BLIND_ODDS]
        counts = [int(share) for share in wanted]
        left = [share - count for share, count in zip(wanted, counts, strict=True)]
        for kind in self.dice.choices(range(len(counts)), left, k=len(pictures) - sum(counts)):
            counts[kind] += 1
        kinds = [kind for kind, count in enumerate(counts) for _ in range(count)]
        drawn = torch.tensor(kinds, device=self.device)
        quality = self.qualities(_LOWEST, len(pictures))
        jpeg_part, *other_parts = torch.split(pictures, counts)
        harms = (self.noisy, self.camera, self.old_print)
        pairs = zip(harms, other_parts, strict=True)
        harmed = [harm(part) for harm, part in pairs if len(part)]
        if len(jpeg_part):
            harmed.insert(0, self.as_jpeg(jpeg_part, quality[: len(jpeg_part)]))
        result = torch.cat(harmed)
        again = self.chosen(_JPEG_ON_TOP, len(pictures))
        last = self.qualities(_LOWEST, len(pictures))
        result = torch.where(again, self.as_jpeg(result, last), result)
        quality = torch.where(drawn == BLIND_KINDS.index("jpeg"), quality, 100.0)
        return result, drawn, torch.where(again.flatten(), last, quality)

    def _blotches(self, like: Tensor, channels: int, widths: tuple[float, float]) -> Tensor:
        """Noise of unit deviation, some pixels wide; one width for the batch."""
        coarse = self.dice.uniform(*widths)
        size = (round(like.shape[2] / coarse), round(like.shape[3] / coarse))
        noise = self.normal(len(like), channels, *size)
        noise = functional.interpolate(noise, size=like.shape[2:], mode="bicubic")
        return noise / noise.std(dim=(1, 2, 3), keepdim=True).clamp(min=1e-3)

    def _scratches(self, count: int, height: int, width: int) -> Tensor:
        """Opacity of bent lines, (count, 3, height, width), some of them absent."""
        shape = (count, _LINES, 1, 1)
        dy, dx = self._from_random_places(_LINES, (count, height, width))
        steep = math.pi / 2 + 0.25 * self.normal(*shape)
        angle = torch.where(
            self.uniform(0, 1, *shape) < 0.6, steep, self.uniform(0, math.pi, *shape)
        )
        along, across = dx * angle.cos() + dy * angle.sin(), dy * angle.cos() - dx * angle.sin()
        bent = across - 0.06 * self.normal(*shape) * (along / height) ** 2 * height
        inside = (self.uniform(0.25, 1.25, *shape) - bent.abs() + 0.5).clamp(0, 1)
        reach = self.uniform(0.15, 1, *shape) * height
        return inside * (along.abs() < reach) * self._opacities(count, _LINES)

    def _specks(self, count: int, channels: int, height: int, width: int) -> Tensor:
        """Opacity of soft ellipses, (count, 7, height, width), some of them absent."""
        shape = (count, _SPECKS, 1, 1)
        dy, dx = self._from_random_places(_SPECKS, (count, height, width))
        far = torch.hypot(dx / self.uniform(0.25, 2, *shape), dy / self.uniform(0.25, 2, *shape))
        return (1.5 - far).clamp(0, 1) * self._opacities(count, _SPECKS)

    def _from_random_places(
        self, marks: int, extent: tuple[int, int, int]
    ) -> tuple[Tensor, Tensor]:
        """Distances down and across from random places, each (count, marks, height or 1, ...)."""
        count, height, width = extent
        rows = torch.arange(height, device=self.device).view(1, 1, -1, 1)
        columns = torch.arange(width, device=self.device).view(1, 1, 1, -1)
        top = self.uniform(0, height, count, marks, 1, 1)
        left = self.uniform(0, width, count, marks, 1, 1)
        return rows - top, columns - left

    def _opacities(self, count: int, marks: int) -> Tensor:
        """Opacity of each mark, (count, marks, 1, 1); 0 for those that are not there."""
        present = self.uniform(0, marks + 1, count, 1, 1, 1).floor()
        number = torch.arange(marks, device=self.device).view(1, -1, 1, 1)
        return self.uniform(0.55, 1, count, marks, 1, 1) * (number < present)
