"""The footprint of a recipe, known before any work: the size of its result and its memory.

What restorers say of themselves is imported for their own steps only, since they import torch.
"""

from collections.abc import Sequence

from daemon.checkpoints.library import Library
from daemon.config.recipe import Recipe
from daemon.config.steps import (
    Denoise,
    Generate,
    Inpaint,
    Interpolate,
    Restyle,
    Step,
    SuperResolve,
    Unfade,
)
from daemon.diffusion.concurrent import concurrent_count
from daemon.restorers.content import footprint as measuring_footprint
from daemon.restorers.sweep_sheet import sheet_size

_PRIOR_ONLY = Library()

_PIXEL_BYTES = 12
"""Bytes for each pixel of a decoded picture: RGB in uint16 beside the codes of its file, in uint16,
too. While a result is written its codes and the encoded file take the place of what went in."""

_ENCODER_BYTES = {"jxl": 32, "avif": 44, "same": 44}
"""Bytes for each pixel that the encoders of these formats need beside the picture: 40 megapixels of
16 bits took 30 as JPEG XL and 43 as AVIF. `same` may be either."""

_CRACK_SEARCH_BYTES = 16
"""Bytes for each pixel of a picture that is searched for cracks: the answer in three channels, the
probability found so far, that of one size enlarged, the numbers of patches, and masks."""

_WORKING_BYTES = 200
"""Bytes for each pixel that is worked on in float: state, estimate, noise, condition and the tiles
of a turn; an upper estimate. A 100-megapixel `denoise` peaked at 2.1 GiB beside the network; this
says 2.8 GiB."""


def output_size(
    recipe: Recipe, width: int, height: int, library: Library = _PRIOR_ONLY
) -> tuple[int, int]:
    """Width and height, in pixels, of a recipe's result.

    Args:
        recipe: What is done.
        width: Width of the photograph; 0 for a file of prompts that says no size.
        height: Its height, likewise.
        library: Where models lie.
    """
    width, height = _initial_size(recipe, (width, height), library)
    for step in recipe.steps:
        width, height = _result_size(step, width, height)
    return width, height


def footprint(
    recipe: Recipe, sizes: Sequence[tuple[int, int]], library: Library = _PRIOR_ONLY
) -> int:
    """Bytes that a job needs while it is in flight, apart from networks.

    Args:
        recipe: What is done.
        sizes: Width and height, in pixels, of each photograph or picture to be generated.
        library: Where models lie.
    """
    inputs = [_initial_size(recipe, size, library) for size in sizes]
    most = 0
    for step in recipe.steps:
        outputs = [_result_size(step, *size) for size in inputs]
        if isinstance(step, Interpolate):
            outputs = [inputs[0]] * step.frames
        pixels = sum(width * height for width, height in (*inputs, *outputs))
        most = max(most, _PIXEL_BYTES * pixels + _working_bytes(step, inputs))
        if step.when:
            most = max(most, *(_PIXEL_BYTES * pixels + measuring_footprint(*s) for s in inputs))
        inputs = outputs
    written = [width * height for width, height in inputs]
    encoder = _ENCODER_BYTES.get(recipe.output.format, 0) * max(written)
    return max(most, _PIXEL_BYTES * sum(written) + encoder)


def scale_of(step: Step) -> int:
    """How many times wider and higher a step makes a picture."""
    return step.scale if isinstance(step, SuperResolve) else 1


def _initial_size(recipe: Recipe, size: tuple[int, int], library: Library) -> tuple[int, int]:
    """The size of a photograph, or of a picture to be generated, before the first step."""
    first = recipe.steps[0]
    if not isinstance(first, Generate) or size != (0, 0):
        return size
    from daemon.restorers.generate import wanted_size

    return wanted_size(first, library.checkpoint(first.model).traits)


def _result_size(step: Step, width: int, height: int) -> tuple[int, int]:
    if isinstance(step, Restyle) and step.sweep:
        from daemon.restorers.restyle import sweep_labels

        return sheet_size(width, height, sweep_labels(step))
    return width * scale_of(step), height * scale_of(step)


def _working_bytes(step: Step, inputs: Sequence[tuple[int, int]]) -> int:
    """Bytes of floats in one turn."""
    if isinstance(step, Unfade):
        return 0  # no network: a small copy and tables
    from daemon.diffusion.windows import WINDOW_PX

    pixels = max(width * height for width, height in inputs) * scale_of(step) ** 2
    searched = isinstance(step, Inpaint) and step.find == "cracks"
    search_bytes = _CRACK_SEARCH_BYTES * pixels if searched else 0
    if isinstance(step, Interpolate):  # whole pictures at once
        states = step.frames
    else:
        states = len(inputs) * _concurrent_states(step)
        pixels = min(pixels, WINDOW_PX**2)
    return search_bytes + _WORKING_BYTES * pixels * min(states, concurrent_count(pixels))


def _concurrent_states(step: Step) -> int:
    """How many states of one window a step works on at the same time, memory permitting."""
    match step:
        case Restyle():
            return max(1, len(step.sweep))
        case Denoise() | SuperResolve():
            return step.self_ensemble
        case Inpaint():
            from daemon.restorers.inpaint import MEAN_SAMPLES
            from daemon.restorers.scratch_search import QUARTER_TURNS

            samples = 1 if step.realism == 1 else MEAN_SAMPLES
            return max(samples, QUARTER_TURNS if step.find else 1)
        case _:
            return 1
