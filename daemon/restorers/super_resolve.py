"""Super-resolve: a larger photograph.

The mean is one evaluation of a restoration network. `realism` mixes it with a sample of the prior
(arXiv:2107.02555), whose every estimate of x0 is projected on the box means of the small picture
(DDNM, arXiv:2212.00490, algorithm 1). If the step asks for it the result is projected as well:
`Image.reduce(scale)` then gives the small picture back within one level where nothing clips. Other
models know the photograph by these projections alone, so their results are always bound so.
"""

import math
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from daemon.checkpoints.traits import PRIOR_TRAITS, Family, Traits
from daemon.config.steps import SuperResolve
from daemon.diffusion.noise import Noise
from daemon.diffusion.operators import box_mean, enlarge, project_box_means
from daemon.diffusion.pixels import LEVEL, to_grey, to_tensor
from daemon.diffusion.process import add_noise
from daemon.diffusion.samplers import SAMPLERS
from daemon.diffusion.sampling import sample
from daemon.diffusion.self_ensemble import ensemble_mean
from daemon.diffusion.tiling import denoise_tiles, regress, restore_tiles
from daemon.diffusion.windows import Window, by_windows
from daemon.models.calls import Degradation, ModelCalls
from daemon.models.restoration_network import JPEG_LEVEL
from daemon.photo import Picture
from daemon.restorers.ddnm import DDNM_SAMPLER, Measurement, Project, ddnm_sample
from daemon.restorers.interface import Restoration
from daemon.restorers.jpeg_traces import jpeg_coarseness
from daemon.restorers.sampling_plan import SamplingPlan
from daemon.restorers.working_space import WorkingSpace, working_space

STEPS = 10
"""Evaluations of a sampling run if the recipe sets no `steps`."""

PLAN = SamplingPlan(SAMPLERS["dpmpp-2m"], "late", STEPS)
"""How the prior makes a sample; see docs/design.md."""

_DDNM_PLAN = replace(PLAN, sampler=DDNM_SAMPLER)

STARTS: dict[Family, float] = {"prior": 0.6, "pixel": 1.1, "latent": 0.6}
"""Angle, in radians, at which sampling starts: from the prior's mean, for others the enlargement.

Without a condition the detail that the enlargement lacks, about 0.1, must drown in noise (tan 1.1 =
2). For latents the angle is small, so that they repair rather than invent. Both were chosen, not
measured, for want of real weights.
"""

LATENT_PROJECT_EVERY = 4
"""Through an autoencoder estimates are projected at every so many steps: each time costs a decoding
and an encoding."""

S_NOISE = 1.02
"""Factor on the fresh noise of the prior's sampling; see docs/design.md."""

MOST_NOISE = 30.0
"""Noise of the photograph, in levels of 0 to 255, up to which the restoration networks enlarge it.

They were trained up to 20. Ahead of the prior by 0.4 dB at 30, behind it by 2.2 dB at 60 (x2).
"""

_CONTEXT_PX = 16
"""Pixels around a window that its enlargement may look at."""

_LEAST_POWER = 1e-20
"""Mean square of a residual that counts as none."""

_CLIP_ROUNDS = 4
_BAND_ROWS = 256


def super_resolve(
    pictures: tuple[Picture, ...], params: SuperResolve, noise: Noise, traits: Traits = PRIOR_TRAITS
) -> ModelCalls[Restoration]:
    """Enlarge one photograph.

    Args:
        pictures: One picture, uint8 or uint16.
        params: The recipe's step.
        noise: The step's noise.
        traits: Traits of the step's model; only the prior was trained to enlarge.

    Returns:
        The enlarged picture, with measures "residual": RMS of A x - y in levels of 0 to 255; and
        "jpeg": how coarsely it was compressed, in per cent of JPEG's example table, if it was.
    """
    (picture,) = pictures
    coarseness = 0.0
    bound = params.consistent or params.sigma > 0
    if params.deblock and not bound and traits.family == "prior":
        coarseness = jpeg_coarseness(picture.pixels)
        level = JPEG_LEVEL * math.sqrt(coarseness)
        params = params.model_copy(update={"sigma": level})
    space = yield from working_space(params, traits)
    pixels = yield from by_windows(
        picture.pixels, lambda window: _window(picture, window, params, noise, space), params.scale
    )
    restoration = enlarged_restoration(picture, pixels, params.scale)
    measures = (("jpeg", coarseness),) if coarseness else ()
    return replace(restoration, measures=restoration.measures + measures)


def enlarged_restoration(picture: Picture, pixels: NDArray[np.generic], scale: int) -> Restoration:
    """The result for a picture that was enlarged.

    Args:
        picture: The small picture.
        pixels: Pixels of the large one, (H scale, W scale, 3), same type.
        scale: How many times larger it is.

    Returns:
        The large picture, with measure "residual".
    """
    alpha = None if picture.alpha is None else _enlarge_alpha(picture.alpha, scale)
    result = replace(picture, pixels=pixels, alpha=alpha)
    return Restoration((result,), (("residual", residual(pixels, picture.pixels, scale)),))


def residual(large: NDArray[np.generic], small: NDArray[np.generic], scale: int) -> float:
    """Root mean square of A x - y, in levels of 0 to 255.

    Args:
        large: x, (H scale, W scale, 3), uint8 or uint16.
        small: y, (H, W, 3), same type.
        scale: Side of the blocks.
    """
    total = 0.0
    for top in range(0, small.shape[0], _BAND_ROWS):
        rows = slice(top * scale, (top + _BAND_ROWS) * scale)
        means = box_mean(to_tensor(large[rows], on_host=True), scale)
        measured = to_tensor(small[top : top + _BAND_ROWS], on_host=True)
        total += float((means - measured).double().square().sum())
    return math.sqrt(total / small.size) / LEVEL


def projection_weight(residual: Tensor, sigma: float) -> Tensor | float:
    """How far an estimate is moved towards the measurement, [0, 1].

    The residual y - A x0 is partly the estimate's error and partly y's own noise; the estimate is
    moved by its own share (Wiener). Towards a clean measurement it is moved all the way.

    Args:
        residual: y - A x0, (3, H, W).
        sigma: Standard deviation of y's noise, in units of [-1, 1].

    Source: takes the place of the lambda of DDNM+, arXiv:2212.00490, eq. 19.
    """
    if sigma == 0:
        return 1.0
    # A tensor, which stays on the device; without a residual its weight does not matter.
    power = residual.square().mean().clamp(min=_LEAST_POWER)
    return (1 - sigma**2 / power).clamp(min=0)


def clip_and_project(x0: Tensor, project: Project) -> Tensor:
    """Clip to [-1, 1] and project again, a few times, so that clipping breaks the means less."""
    for _ in range(_CLIP_ROUNDS):
        if float(x0.abs().max()) <= 1:
            break
        x0 = project(x0.clamp(-1, 1))
    return x0


def _window(
    picture: Picture, window: Window, params: SuperResolve, noise: Noise, space: WorkingSpace
) -> ModelCalls[Tensor]:
    """One window of the result."""
    scale, sigma = params.scale, params.sigma * LEVEL
    height, width = (side * scale for side in picture.pixels.shape[:2])
    measured = _Measured.under(picture.pixels, window, scale)
    y = measured.y

    def project(x0: Tensor) -> Tensor:
        x0 = to_grey(x0) if picture.grey else x0
        return project_box_means(x0, y, scale, projection_weight(y - box_mean(x0, scale), sigma))

    draw = space.noise_draws(window, (height, width), noise)
    start = STARTS[space.traits.family]
    if space.traits.family != "prior":
        first = project(measured.enlarged())
        measurement = Measurement(first, project, project_every=LATENT_PROJECT_EVERY)
        trajectory = _DDNM_PLAN.of(params, space.traits).trajectory(start)
        x0 = yield from ddnm_sample(space, measurement, trajectory, draw, params.realism)
        return clip_and_project(x0, project)
    degradation = Degradation(scale=scale, sigma=sigma)
    if params.sigma <= MOST_NOISE:
        mean = yield from measured.mean(degradation, params.self_ensemble)
    else:
        regression = partial(regress, space.denoiser, degradation=degradation)
        mean = yield from ensemble_mean(params.self_ensemble, measured.enlarged(), regression)
    if params.consistent or params.sigma > MOST_NOISE:
        mean = project(mean)
    if params.realism > 0:
        predict = partial(_projected_estimate, space, measured.enlarged(), degradation, project)
        x_t = add_noise(mean, start, draw(0))
        trajectory = PLAN.of(params).trajectory(start, S_NOISE)
        sampled = yield from sample(x_t, trajectory, predict, draw)
        mean = mean.lerp(sampled, params.realism)
    if params.consistent:
        return clip_and_project(mean, project)
    return to_grey(mean) if picture.grey else mean


def _projected_estimate(
    space: WorkingSpace,
    condition: Tensor,
    degradation: Degradation,
    project: Project,
    x_t: Tensor,
    t: float,
) -> ModelCalls[Tensor]:
    """The projected posterior mean of a network whose condition is the enlarged measurement."""
    x0 = yield from denoise_tiles(
        space.denoiser, x_t, t, condition=condition, degradation=degradation
    )
    return project(x0)


@dataclass(frozen=True, eq=False)
class _Measured:
    """The part of a small picture under a window of the result, and what lies around it.

    Attributes:
        around: The part with up to `_CONTEXT_PX` more on each side, (3, H, W) in [-1, 1].
        top, left: Where the part begins in it.
        height, width: Size of the part.
        scale: How many times larger the result is.
    """

    around: Tensor
    top: int
    left: int
    height: int
    width: int
    scale: int

    @classmethod
    def under(cls, pixels: NDArray[np.generic], window: Window, scale: int) -> "_Measured":
        """The part of pixels (H, W, 3) under a window, which is in pixels of the result."""
        top, left = window.top // scale, window.left // scale
        height, width = window.height // scale, window.width // scale
        above, before = min(_CONTEXT_PX, top), min(_CONTEXT_PX, left)
        rows = slice(top - above, top + height + _CONTEXT_PX)
        columns = slice(left - before, left + width + _CONTEXT_PX)
        return cls(to_tensor(pixels[rows, columns]), above, before, height, width, scale)

    @property
    def y(self) -> Tensor:
        """The part itself, (3, height, width)."""
        return _crop(self.around, self.top, self.left, self.height, self.width)

    def enlarged(self) -> Tensor:
        """Its bicubic enlargement, (3, height scale, width scale)."""
        return self._large_part(enlarge(self.around, self.scale))

    def mean(self, degradation: Degradation, self_ensemble: int) -> ModelCalls[Tensor]:
        """The posterior mean of the large picture, (3, height scale, width scale)."""
        mean = yield from ensemble_mean(
            self_ensemble, self.around, partial(restore_tiles, degradation=degradation)
        )
        return self._large_part(mean)

    def _large_part(self, large: Tensor) -> Tensor:
        place = (self.top, self.left, self.height, self.width)
        return _crop(large, *(self.scale * side for side in place))


def _crop(picture: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    return picture[:, top : top + height, left : left + width].contiguous()


def _enlarge_alpha(alpha: NDArray[np.generic], scale: int) -> NDArray[np.generic]:
    """Enlarge opacity, (H, W) -> (H scale, W scale), bicubic."""
    size = (alpha.shape[1] * scale, alpha.shape[0] * scale)
    plane = Image.fromarray(alpha.astype(np.float32)).resize(size, Image.Resampling.BICUBIC)
    top = np.iinfo(alpha.dtype.name).max
    return np.asarray(plane).round().clip(0, top).astype(alpha.dtype)
