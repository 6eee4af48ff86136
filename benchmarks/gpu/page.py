"""What was measured, as a table for people, as JSON, and as the page docs/gpu.md."""

import json
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch

EXPLANATION = """\
- Weights are random and pictures are noise: speed and memory depend on the sizes alone.
- The prior does `denoise` with `realism = 1` in ten evaluations; a plain loop does one picture
  after the other with the same functions. 2048 px are cut into tiles.
- Stable Diffusion does `restyle` at strength 0.5 with guidance, so two rows of the UNet's batch for
  each picture and step. Stock is diffusers' own pipeline for image to image with as many
  evaluations, in bfloat16, and in batches of equal strength.
- Busy is the share of the time in which the device did anything, as torch's profiler saw it; in
  passes is the share of the wall time that the engine spent in forward passes.
- The latecomer has half the steps of four pictures that began before it.
"""


@dataclass(frozen=True)
class Result:
    """One number.

    Attributes:
        part: What was run.
        what: What was measured.
        value: The number; None if it could not be measured.
        unit: Its unit, or why there is none.
    """

    part: str
    what: str
    value: float | None
    unit: str


def table(results: Sequence[Result]) -> str:
    """The results as a Markdown table."""
    lines = ["| run | measured | value |", "|---|---|---|"]
    return "\n".join(lines + [f"| {one.part} | {one.what} | {_told(one)} |" for one in results])


def as_json(results: Sequence[Result], profiles: dict[str, str]) -> str:
    """The results, and the machine, for programs."""
    content = {
        "machine": machine(),
        "results": [asdict(one) for one in results],
        "profiles": profiles,
    }
    return json.dumps(content, indent=2) + "\n"


def page(results: Sequence[Result], profiles: dict[str, str], command: str) -> str:
    """The page docs/gpu.md."""
    profiled = "\n".join(
        f"## One step of {name}\n\n```\n{text.rstrip()}\n```\n" for name, text in profiles.items()
    )
    return (
        f"# On a GPU\n\nMeasured {time.strftime('%Y-%m-%d', time.gmtime())} on {machine()}, with\n"
        f"`{command}`.\n\n{table(results)}\n\n{EXPLANATION}\n{profiled}"
    )


def machine() -> str:
    """The card, and the versions of what ran on it."""
    card = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "the processor"
    return f"{card}, Python {platform.python_version()}, torch {torch.__version__}"


def _told(result: Result) -> str:
    if result.value is None:
        return result.unit
    return f"{result.value:.3g} {result.unit}".rstrip()
