"""Generate: pictures of prompts, by a diffusers text-to-image pipeline.

Every picture keeps its prompt and the seed that it was made from. All prompts of a file have one
size and go through the pipeline as one batch.
"""

from dataclasses import replace

import numpy as np

from daemon.checkpoints.traits import Traits
from daemon.config.steps import Generate
from daemon.diffusion.concurrent import concurrent_count
from daemon.diffusion.noise import Noise
from daemon.diffusion.pixels import to_pixels
from daemon.models.calls import ModelCalls, PipelineCall, PipelineSettings, ask
from daemon.photo import Metadata, Picture, Prompt, Prompts
from daemon.restorers.interface import Restoration
from daemon.restorers.pipeline_tiles import side_multiple

_SEEDS = 2**32
"""Seeds that are drawn here are below this: short enough for people to write down."""


def generate(
    sources: tuple[Prompts, ...], params: Generate, noise: Noise, traits: Traits
) -> ModelCalls[Restoration]:
    """Make a picture of each prompt.

    Args:
        sources: One file of prompts.
        params: The recipe's step; its prompt is added to every prompt, its negative prompt is for
            those that have none.
        noise: The step's noise; prompts without a seed draw theirs from it.
        traits: Traits of the step's model.

    Returns:
        The pictures, uint8, in the order of the prompts.
    """
    (source,) = sources
    width, height = source.size or wanted_size(params, traits)
    prompts = [_completed(p, params, noise.child(n)) for n, p in enumerate(source.prompts)]
    multiple = side_multiple(traits)
    settings = PipelineSettings(
        "text",
        -(-width // multiple) * multiple,
        -(-height // multiple) * multiple,
        params.steps,
        guidance=params.guidance,
    )
    pictures: list[Picture] = []
    count = concurrent_count(width * height)
    for first in range(0, len(prompts), count):
        batch = prompts[first : first + count]
        answers = yield from ask(
            [
                PipelineCall(params.adapted_model, settings, p.seed or 0, p.text, p.negative)
                for p in batch
            ]
        )
        for prompt, picture in zip(batch, answers, strict=True):
            pixels = to_pixels(picture[:, :height, :width], np.uint8)
            pictures.append(Picture(pixels, False, Metadata("PNG", "RGB"), prompt=prompt))
    return Restoration(tuple(pictures))


def wanted_size(params: Generate, traits: Traits) -> tuple[int, int]:
    """Width and height if the file says none: the step's, else what the model was trained on."""
    return params.size or (traits.side_px, traits.side_px)


def _completed(prompt: Prompt, params: Generate, noise: Noise) -> Prompt:
    """A prompt with what the recipe adds to it, and with a seed."""
    return replace(
        prompt,
        text=", ".join(text for text in (prompt.text, params.prompt) if text),
        negative=prompt.negative or params.negative_prompt,
        seed=noise.seed % _SEEDS if prompt.seed is None else prompt.seed,
    )
