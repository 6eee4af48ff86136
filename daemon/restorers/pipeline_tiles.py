"""Put a picture of any size through a diffusers pipeline, which knows one size and gives samples.

Large pictures are cut into overlapping tiles of the size that the pipeline was trained on; all
tiles are asked for in one turn and blended.
"""

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from daemon.checkpoints.traits import PipelineUse, Traits
from daemon.config.steps import BaseStep
from daemon.diffusion.noise import Noise
from daemon.diffusion.tiling import Cut, Tiling
from daemon.diffusion.windows import Window
from daemon.models.calls import ModelCalls, PipelineCall, PipelineSettings, ask

_LEAST_MULTIPLE_PX = 16
"""Pipelines round sides down to multiples of this without saying so."""

LEAST_SIDE_PX = 64
"""FLUX.2 refuses sides that are shorter."""

_WHOLE = 1.25
"""Area of the training's square up to which a picture is one tile: sides are rounded."""

_LONGEST_TO_SHORTEST = 8
"""FLUX.2 refuses pictures whose long side is more times their short one."""


@dataclass(frozen=True)
class PipelineRequest:
    """The arguments of a pipeline for every tile; None leaves a choice to it.

    Attributes:
        model: Reference of the model.
        use: What is made of what.
        prompt: What the result shows, or the instruction.
        negative: What the result shall not show.
        steps: Evaluations of the network.
        strength: How far forward it begins, (0, 1]: the angle strength pi/2.
        guidance: Scale of classifier-free guidance.
    """

    model: str
    use: PipelineUse
    prompt: str = ""
    negative: str = ""
    steps: int | None = None
    strength: float | None = None
    guidance: float | None = None

    @classmethod
    def for_step(cls, params: BaseStep, use: PipelineUse, prompt: str = "") -> "PipelineRequest":
        """The arguments that a step asks for; `prompt` stands in where the recipe has none."""
        return cls(
            params.adapted_model,
            use,
            params.prompt or prompt,
            params.negative_prompt,
            params.steps,
            guidance=params.guidance,
        )


def run_tiled(
    request: PipelineRequest,
    image: Tensor,
    noise: Noise,
    traits: Traits,
    mask: Tensor | None = None,
) -> ModelCalls[Tensor]:
    """Put a picture through a pipeline.

    Args:
        request: What is asked.
        image: (3, H, W) in [-1, 1], any H and W from 1.
        noise: Noise of this picture; each tile's seed is drawn from it.
        traits: Traits of the model.
        mask: (H, W), 1 where the picture is to be made anew, for the use "inpaint"; tiles without
            any such pixel stay as they are.

    Returns:
        (3, H scale, W scale) in [-1, 1], where scale is how much the model enlarges, else 1.
    """
    scale = enlargement(traits) if request.use == "upscale" else 1
    multiple = side_multiple(traits) // scale
    side = max(multiple, traits.side_px // scale // multiple * multiple)
    _, height, width = image.shape
    longest = min(side, max(height, width))
    least = max(LEAST_SIDE_PX // scale, -(-longest // _LONGEST_TO_SHORTEST))
    # A picture of the training's area goes through whole, whatever its proportions.
    tall, wide = (height, width) if height * width <= _WHOLE * side**2 else (side, side)
    down = cut_pipeline_side(max(height, least), _up_to(max(tall, side), multiple), multiple)
    across = cut_pipeline_side(max(width, least), _up_to(max(wide, side), multiple), multiple)
    settings = PipelineSettings(
        request.use,
        across.size * scale,
        down.size * scale,
        request.steps,
        request.strength,
        request.guidance,
    )
    places = [(i, j) for i in range(len(down.starts)) for j in range(len(across.starts))]
    calls: list[PipelineCall] = []
    tiles: list[Tensor] = []
    for i, j in places:
        rows = slice(down.starts[i], down.stop(i))
        columns = slice(across.starts[j], across.stop(j))
        tiles.append(_padded(image[:, rows, columns], down.size, across.size))
        part = None if mask is None else _padded(mask[None, rows, columns], down.size, across.size)
        seed = noise.child(len(tiles) - 1).seed
        calls.append(
            PipelineCall(
                request.model, settings, seed, request.prompt, request.negative, tiles[-1], part
            )
        )
    asked = [k for k, call in enumerate(calls) if call.mask is None or bool(call.mask.any())]
    answers = yield from ask([calls[k] for k in asked])
    for k, answer in zip(asked, answers, strict=True):
        tiles[k] = answer
    blended = Tiling(down, across).scaled(scale).blend(tiles)
    return blended[:, : height * scale, : width * scale].contiguous()


def _up_to(length: int, multiple: int) -> int:
    """The next multiple."""
    return -(-length // multiple) * multiple


def _padded(tile: Tensor, height: int, width: int) -> Tensor:
    """A tile (C, h, w), its last rows and columns repeated up to a size."""
    missing = (0, width - tile.shape[2], 0, height - tile.shape[1])
    return functional.pad(tile[None], missing, mode="replicate")[0].contiguous()


def noise_of_window(noise: Noise, window: Window) -> Noise:
    """The noise of one window of a picture that goes through a pipeline window by window."""
    return noise.child(window.top).child(window.left)


def side_multiple(traits: Traits) -> int:
    """Pixels of which the sides of a pipeline's pictures are multiples."""
    return max(_LEAST_MULTIPLE_PX, traits.multiple_px)


def enlargement(traits: Traits) -> int:
    """How many times an upscaling pipeline enlarges: as many as its decoder."""
    return traits.reduction


def cut_pipeline_side(length: int, side: int, multiple: int) -> Cut:
    """Cut a side of a picture into tiles for a pipeline.

    Args:
        length: Length of the side, in pixels.
        side: Longest tile, a multiple of `multiple`.
        multiple: Tiles are multiples of this.

    Returns:
        One tile if that is enough, else as few as overlap by a quarter, evenly spaced.
    """
    if length <= side:
        return Cut(length, -(-length // multiple) * multiple, (0,), 1)
    overlap = side // 4
    count = -(-(length - overlap) // (side - overlap))
    starts = tuple(round(k * (length - side) / (count - 1)) for k in range(count))
    return Cut(length, side, starts, max(1, overlap // 2))
