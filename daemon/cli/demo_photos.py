"""Photographs of the demo: real ones, and scikit-image's, damaged the same way in each run."""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image, ImageDraw

from daemon.restorers.dye_fading import Fading, faded

_BLOCK_PX = 8

_REAL = Path(__file__).with_name("real_photos")
"""Real prints and phone pictures, with their sources and licences in `SOURCES.tsv`."""


@dataclass(frozen=True)
class DemoPhoto:
    """A photograph (or pair) to be dropped into the inbox of a recipe.

    Attributes:
        recipe: Name of the recipe.
        name: Stem of the result's file name.
        files: File names with their content.
        before: The damaged photograph, at the size of the result.
        truth: The undamaged photograph, or None.
    """

    recipe: str
    name: str
    files: tuple[tuple[str, bytes], ...]
    before: Image.Image
    truth: Image.Image | None


def demo_photos() -> tuple[DemoPhoto, ...]:
    """Two photographs for each shipped recipe, best recipes first; one of them real if it can be.

    The real ones were never damaged by a program: old prints, a worn plate, a phone picture. Only
    the phone picture, halved here, has a truth.
    """
    people, coffee, cat, rocket = (
        _bundled(name) for name in ("astronaut", "coffee", "cat", "rocket")
    )
    face = people.crop((96, 0, 352, 256))
    whiskers = cat.crop((80, 0, 328, 248)).resize((256, 256), Image.Resampling.BICUBIC)
    seated, portrait = (_opened(name) for name in ("tesla-seated.jpg", "tesla-portrait.jpg"))
    return (
        *(_scratched("inpaint", *one) for one in (("cat", cat), ("rocket", rocket))),
        *(_small(*one) for one in (("astronaut", people), ("pug", _opened("pug.jpg")))),
        _faded("astronaut", people),
        _real("unfade", "rio-1897.jpg"),
        _noisy("rocket", rocket),
        _real("denoise", "andersson.jpg"),
        _grey("cat", cat),
        _real("colorize", "tesla-seated.jpg"),
        _old_print("astronaut", people),
        _real("old-photo", "tesla-portrait.jpg"),
        _scratched("scratches", "cat", cat),
        _real("scratches", "claudet.webp"),
        *(_strokes(*one) for one in (("rocket", rocket), ("coffee", coffee))),
        _pair("face-to-cat", face, whiskers),
        _pair("tesla", _square(seated, (70, 0)), _square(portrait, (0, 25))),
    )


def psnr(result: Image.Image, truth: Image.Image) -> float:
    """Peak signal-to-noise ratio in dB over all RGB channels."""
    one, other = (np.asarray(image.convert("RGB"), np.float64) for image in (result, truth))
    error = float(np.mean((one - other) ** 2))
    return 10 * float(np.log10(255**2 / error)) if error else float("inf")


def _bundled(name: str) -> Image.Image:
    """A bundled photograph, 384 px wide, with sides that 8 divides."""
    image = Image.fromarray(getattr(skimage.data, name)())
    height = round(image.height * 384 / image.width)
    image = image.resize((384, height), Image.Resampling.LANCZOS)
    return image.crop((0, 0, 384, height // _BLOCK_PX * _BLOCK_PX))


def _opened(file: str) -> Image.Image:
    return Image.open(_REAL / file).convert("RGB")


def _square(photo: Image.Image, corner: tuple[int, int]) -> Image.Image:
    """The 252 px of a portrait that show the face, as 256 px."""
    left, top = corner
    face = photo.crop((left, top, left + 252, top + 252))
    return face.resize((256, 256), Image.Resampling.BICUBIC)


def _real(recipe: str, file: str) -> DemoPhoto:
    path = _REAL / file
    return DemoPhoto(recipe, path.stem, ((file, path.read_bytes()),), _opened(file), None)


def _grey(name: str, photo: Image.Image) -> DemoPhoto:
    grey = photo.convert("L")
    return DemoPhoto("colorize", name, ((f"{name}.png", _png(grey)),), grey, photo)


def _noisy(name: str, photo: Image.Image) -> DemoPhoto:
    content = _jpeg(_with_noise(photo, 15), quality=60)
    before = Image.open(BytesIO(content)).convert("RGB")
    return DemoPhoto("denoise", name, ((f"{name}.jpg", content),), before, photo)


def _small(name: str, photo: Image.Image) -> DemoPhoto:
    small = photo.reduce(2)
    before = small.resize(photo.size, Image.Resampling.BICUBIC)
    return DemoPhoto("super-resolve", name, ((f"{name}.png", _png(small)),), before, photo)


def _strokes(name: str, photo: Image.Image) -> DemoPhoto:
    blocks = photo.reduce(_BLOCK_PX).resize(photo.size, Image.Resampling.NEAREST)
    return DemoPhoto("restyle", name, ((f"{name}.png", _png(blocks)),), blocks, None)


def _scratched(recipe: str, name: str, photo: Image.Image) -> DemoPhoto:
    """Scratches and dust of the colour of paper; for `inpaint` with the mask of a person."""
    width, height = photo.size
    mask = Image.new("L", photo.size)
    pen = ImageDraw.Draw(mask)
    rng = np.random.default_rng(0)
    for x, y in rng.uniform((0, 0), (width, height), (20, 2)):
        pen.ellipse((x - 1.5, y - 1.5, x + 1.5, y + 1.5), fill=255)
    for left in (0.15, 0.45, 0.7):
        pen.line((left * width, 0, (left + 0.15) * width, height), fill=255, width=3)
    before = photo.copy()
    before.paste((235, 230, 215), mask=mask)
    files = ((f"{name}.png", _png(before)), (f"{name}.mask.png", _png(mask)))
    return DemoPhoto(recipe, name, files if recipe == "inpaint" else files[:1], before, photo)


def _faded(name: str, photo: Image.Image) -> DemoPhoto:
    """A print on yellowed paper whose cyan has faded most, as it does in the dark."""
    fading = Fading(np.array((0.45, 0.65, 0.75)), np.array((0.03, 0.06, 0.15)))
    content = _jpeg(Image.fromarray(faded(np.asarray(photo), fading)), quality=90)
    before = Image.open(BytesIO(content)).convert("RGB")
    return DemoPhoto("unfade", name, ((f"{name}.jpg", content),), before, photo)


def _pair(name: str, first: Image.Image, second: Image.Image) -> DemoPhoto:
    both = Image.new("RGB", (first.width + second.width, first.height))
    both.paste(first, (0, 0))
    both.paste(second, (first.width, 0))
    files = ((f"{name}-a.png", _png(first)), (f"{name}-b.png", _png(second)))
    return DemoPhoto("interpolate", name, files, both, None)


def _old_print(name: str, photo: Image.Image) -> DemoPhoto:
    small = _with_noise(photo.reduce(2).convert("L"), 10)
    content = _jpeg(small, quality=70)
    before = Image.open(BytesIO(content)).resize(photo.size, Image.Resampling.BICUBIC)
    return DemoPhoto("old-photo", name, ((f"{name}.jpg", content),), before, photo)


def _with_noise(photo: Image.Image, sigma: float) -> Image.Image:
    pixels = np.asarray(photo, np.float64)
    noise = np.random.default_rng(0).normal(0, sigma, pixels.shape)
    return Image.fromarray(np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8))


def _png(image: Image.Image) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _jpeg(image: Image.Image, quality: int) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
