"""Scratches, dust and a tear, the same ones for every photograph of a size.

Comes in: a size. Goes out: where the photograph is lost, or a photograph damaged there.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from benchmarks.restoring import Pixels

_SCRATCHES = 4
_SPECKS = 30


def lost_pixels(height: int, width: int) -> NDArray[np.bool_]:
    """Where the photograph is lost, (height, width): about 2 % of 480 x 320 pixels."""
    rng = np.random.default_rng(0)
    layer = Image.new("L", (width, height))
    pen = ImageDraw.Draw(layer)
    for _ in range(_SCRATCHES):
        points = rng.uniform((0, 0), (width, height), (2, 2))
        pen.line([(float(x), float(y)) for x, y in points], fill=255, width=2)
    for x, y in rng.uniform((0, 0), (width, height), (_SPECKS, 2)):
        radius = float(rng.uniform(0.5, 3))
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    tear = rng.uniform((0.2 * width, 0.2 * height), (0.8 * width, 0.8 * height))
    pen.polygon(
        [(tear[0], tear[1]), (tear[0] + 16, tear[1] + 40), (tear[0] - 4, tear[1] + 44)], 255
    )
    return np.asarray(layer) > 0


def scratched(truth: Pixels, rng: np.random.Generator) -> Pixels:
    """A photograph whose lost pixels are those of bare paper."""
    lost = lost_pixels(*truth.shape[:2])
    return np.where(lost[..., None], np.array((235, 230, 215), np.uint8), truth)
