"""Super-resolve: a larger photograph whose box means are the small one's.

Comes in: one picture. Goes out: the picture `scale` times wider and higher; for clean input
`Image.reduce(scale)` of it gives the input back within one level where nothing clips.

Source: DDNM, arXiv:2212.00490, algorithm 1: every estimate of x0 is projected on the measurement.
`realism` mixes posterior mean and sample (arXiv:2107.02555); both obey the measurement, so their
mixture does.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from daemon.checkpoints.traits import PRIOR_TRAITS, Family, Traits
from daemon.config.steps import SuperResolve
from daemon.diffusion.angles import even_angles
from daemon.diffusion.noise import Noise
from daemon.diffusion.operators import box_mean, enlarge, project_box_means
from daemon.diffusion.pixels import LEVEL, to_grey, to_tensor
from daemon.diffusion.process import add_noise
from daemon.diffusion.sampling import Draw, Predict, sample
from daemon.diffusion.self_ensemble import ensemble_mean
from daemon.diffusion.tiling import denoise_tiles, regress
from daemon.diffusion.windows import Window, by_windows
from daemon.models.calls import Degradation, ModelCalls
from daemon.photo import Picture
from daemon.restorers.ddnm import Known, ddnm_sample
from daemon.restorers.registry import Restoration
from daemon.restorers.spaces import WorkingSpace, space_of

STEPS = 10
"""Evaluations of a sampling run unless the recipe says otherwise."""

STARTS: dict[Family, float] = {"prior": 1.0, "pixel": 1.1, "latent": 0.6}
"""Angle that sampling starts at: the prior's from its mean, the others' from the enlargement.

Without a condition the enlargement's missing detail, about 0.1, must drown in noise (tan 1.1 = 2).
The latents' angle is low so that they mend rather than invent; both were chosen, not measured, for
want of real weights.
"""

LATENT_BINDS = 4
"""Through an autoencoder every so many steps are bound: each binding costs a way out and in."""

Bind = Callable[[Tensor], Tensor]
"""Puts the measurement into an estimate of the large picture, (3, H, W)."""

S_NOISE = 1.02
"""Times that the prior's fresh noise is stronger than a step's own."""

_CONTEXT_PX = 16
_CLIP_ROUNDS = 4
_BAND_ROWS = 256


def super_resolve(
    pictures: tuple[Picture, ...], params: SuperResolve, noise: Noise, traits: Traits = PRIOR_TRAITS
) -> ModelCalls[Restoration]:
    """Enlarge one picture.

    Args:
        pictures: One picture, uint8 or uint16.
        params: The recipe's step.
        noise: The step's noise.
        traits: Of the step's model; only the prior has learned to enlarge.

    Returns:
        The enlarged picture, with measure "residual": RMS of A x - y in levels of 0 to 255.
    """
    (picture,) = pictures
    space = yield from space_of(params, traits)
    pixels = yield from by_windows(
        picture.pixels, lambda window: _window(picture, window, params, noise, space), params.scale
    )
    return enlarged(picture, pixels, params.scale)


def enlarged(picture: Picture, pixels: NDArray[np.generic], scale: int) -> Restoration:
    """The picture with these pixels, `scale` times as many along each side, and its residual."""
    alpha = None if picture.alpha is None else _enlarged_alpha(picture.alpha, scale)
    result = replace(picture, pixels=pixels, alpha=alpha)
    return Restoration((result,), (("residual", residual(pixels, picture.pixels, scale)),))


def residual(large: NDArray[np.generic], small: NDArray[np.generic], scale: int) -> float:
    """RMS of A x - y in levels of 0 to 255.

    Args:
        large: x, (H scale, W scale, 3), uint8 or uint16.
        small: y, (H, W, 3), same type.
        scale: Side of the blocks.
    """
    total = 0.0
    for top in range(0, small.shape[0], _BAND_ROWS):
        rows = slice(top * scale, (top + _BAND_ROWS) * scale)
        means = box_mean(to_tensor(large[rows]), scale)
        total += float((means - to_tensor(small[top : top + _BAND_ROWS])).double().square().sum())
    return math.sqrt(total / small.size) / LEVEL


def binding_weight(missed: Tensor, sigma: float) -> float:
    """How far to trust the measurement against the estimate, [0, 1].

    What A x0 misses of y is partly the estimate's fault and partly y's own noise; the estimate is
    moved by the share that is its own (Wiener). Clean measurements bind wholly.

    Args:
        missed: y - A x0, (3, H, W).
        sigma: Deviation of y's noise, in units of [-1, 1].

    Source: takes the place of the lambda of DDNM+, arXiv:2212.00490, eq. 19.
    """
    if sigma == 0:
        return 1.0
    power = float(missed.square().mean())
    return max(0.0, 1 - sigma**2 / power) if power > 0 else 0.0


def within_range(x0: Tensor, bind: Bind) -> Tensor:
    """Clip to [-1, 1] and bind again, a few times, so that clipping breaks the means less."""
    for _ in range(_CLIP_ROUNDS):
        if float(x0.abs().max()) <= 1:
            break
        x0 = bind(x0.clamp(-1, 1))
    return x0


def _window(
    picture: Picture, window: Window, params: SuperResolve, noise: Noise, space: WorkingSpace
) -> ModelCalls[Tensor]:
    """One window of the result."""
    scale, sigma = params.scale, params.sigma * LEVEL
    height, width = (side * scale for side in picture.pixels.shape[:2])
    y, condition = _measured(picture.pixels, window, scale)

    def bind(x0: Tensor) -> Tensor:
        x0 = to_grey(x0) if picture.grey else x0
        return project_box_means(x0, y, scale, binding_weight(y - box_mean(x0, scale), sigma))

    draw = space.draws(window, (height, width), noise)
    angles = even_angles(STARTS[space.traits.family], params.steps or STEPS)
    if space.traits.family == "prior":
        degradation = Degradation(scale=scale, sigma=sigma)
        mean = yield from ensemble_mean(
            params.self_ensemble, condition, lambda laid: regress(space.denoiser, laid, degradation)
        )
        predict = partial(_conditional, space, condition, degradation, bind)
        x0 = yield from _sharpened(bind(mean), predict, angles, draw, params.realism)
    else:
        known = Known(bind(condition), bind, every=LATENT_BINDS)
        x0 = yield from ddnm_sample(space, known, angles, draw, params.realism)
    return within_range(x0, bind)


def _conditional(
    space: WorkingSpace,
    condition: Tensor,
    degradation: Degradation,
    bind: Bind,
    x_t: Tensor,
    t: float,
) -> ModelCalls[Tensor]:
    """The bound estimate of a network that is told the enlarged measurement."""
    x0 = yield from denoise_tiles(
        space.denoiser, x_t, t, condition=condition, degradation=degradation
    )
    return bind(x0)


def _sharpened(
    mean: Tensor, predict: Predict, angles: Sequence[float], draw: Draw, realism: float
) -> ModelCalls[Tensor]:
    """The mean; for realism it is taken back up and sampled."""
    if realism == 0:
        return mean
    x_t = add_noise(mean, angles[0], draw(0))
    sampled = yield from sample(x_t, angles, predict, draw, s_noise=S_NOISE)
    return mean.lerp(sampled, realism)


def _measured(pixels: NDArray[np.generic], window: Window, scale: int) -> tuple[Tensor, Tensor]:
    """The small picture under a window, and its enlargement, which looks past the window's edge."""
    top, left = window.top // scale, window.left // scale
    bottom, right = top + window.height // scale, left + window.width // scale
    above, before = min(_CONTEXT_PX, top), min(_CONTEXT_PX, left)
    around = to_tensor(
        pixels[top - above : bottom + _CONTEXT_PX, left - before : right + _CONTEXT_PX]
    )
    y = around[:, above : above + bottom - top, before : before + right - left]
    large = enlarge(around, scale)[
        :, above * scale : (above + bottom - top) * scale, before * scale :
    ][:, :, : window.width]
    return y.contiguous(), large.contiguous()


def _enlarged_alpha(alpha: NDArray[np.generic], scale: int) -> NDArray[np.generic]:
    """Opacity, (H, W) -> (H scale, W scale), bicubic."""
    size = (alpha.shape[1] * scale, alpha.shape[0] * scale)
    plane = Image.fromarray(alpha.astype(np.float32)).resize(size, Image.Resampling.BICUBIC)
    top = np.iinfo(alpha.dtype.name).max
    return np.asarray(plane).round().clip(0, top).astype(alpha.dtype)
