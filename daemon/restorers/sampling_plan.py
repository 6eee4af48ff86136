"""How a step samples: its own sampler, spacing and number of evaluations, or those of its kind."""

from dataclasses import dataclass

from daemon.checkpoints.traits import PRIOR_TRAITS, Traits
from daemon.config.steps import BaseStep, Spacing
from daemon.diffusion.angles import own_angles, spaced_angles, training_angles
from daemon.diffusion.samplers import SAMPLERS, Sampler
from daemon.diffusion.sampling import Trajectory

FEW_STEPS = 4
"""Evaluations by a checkpoint that was distilled for a few steps if the recipe sets no `steps`."""


@dataclass(frozen=True)
class SamplingPlan:
    """The plan of a sampling run.

    Attributes:
        sampler: Its steps.
        spacing: Where its steps lie.
        steps: Evaluations of the network.
        known: Angles in radians, falling, that the run must keep to, in place of `spacing`; empty
            if any will do.
    """

    sampler: Sampler
    spacing: Spacing
    steps: int
    known: tuple[float, ...] = ()

    def of(self, params: BaseStep, traits: Traits = PRIOR_TRAITS) -> "SamplingPlan":
        """The plan of a step: what it says, else what its model was distilled for, else this."""
        few = traits.few_steps
        sampler = self.sampler if few is None else SAMPLERS[few.sampler]
        sampler = sampler if params.sampler is None else SAMPLERS[params.sampler]
        spacing = self.spacing if params.spacing is None else params.spacing
        times = params.timesteps
        if not times and few is not None and params.spacing is None:
            times = few.times
        if not times or traits.betas is None:
            return SamplingPlan(sampler, spacing, params.steps or self.steps)
        angles = training_angles(traits.betas)
        known = tuple(angles[min(time, len(angles) - 1)] for time in times)
        steps = len(times) if params.timesteps else params.steps or FEW_STEPS
        return SamplingPlan(sampler, spacing, steps, known)

    def trajectory(self, start: float, s_noise: float = 1.0) -> Trajectory:
        """The way from an angle, in radians, down to the clean picture.

        Args:
            start: First angle, (0, pi/2]; a run that keeps to known ones begins at the nearest.
            s_noise: Factor on fresh noise.
        """
        if self.known:
            return Trajectory(own_angles(self.known, start, self.steps), self.sampler, s_noise)
        return Trajectory(spaced_angles(start, self.steps, self.spacing), self.sampler, s_noise)
