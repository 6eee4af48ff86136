"""How a step samples: its own sampler, spacing and number of evaluations, or those of its kind."""

from dataclasses import dataclass

from daemon.config.steps import BaseStep, Spacing
from daemon.diffusion.angles import spaced_angles
from daemon.diffusion.samplers import SAMPLERS, Sampler
from daemon.diffusion.sampling import Trajectory


@dataclass(frozen=True)
class SamplingPlan:
    """The plan of a sampling run.

    Attributes:
        sampler: Its steps.
        spacing: Where its steps lie.
        steps: Evaluations of the network.
    """

    sampler: Sampler
    spacing: Spacing
    steps: int

    def of(self, params: BaseStep) -> "SamplingPlan":
        """The plan of a step: what it says, else this."""
        sampler = self.sampler if params.sampler is None else SAMPLERS[params.sampler]
        spacing = self.spacing if params.spacing is None else params.spacing
        return SamplingPlan(sampler, spacing, params.steps or self.steps)

    def trajectory(self, start: float, s_noise: float = 1.0) -> Trajectory:
        """The way from an angle, in radians, down to the clean picture.

        Args:
            start: First angle, (0, pi/2].
            s_noise: Factor on fresh noise.
        """
        return Trajectory(spaced_angles(start, self.steps, self.spacing), self.sampler, s_noise)
