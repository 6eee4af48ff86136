"""Plausibility: refuses answers with numbers that are none, and pictures that a model left empty.

Checked where one part hands over to the next: the decoder to the restorer, a model to the restorer,
the restorer to the writer. Nothing implausible is ever published.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from daemon.config.recipe import Recipe
from daemon.config.steps import Inpaint
from daemon.models.calls import Embedding, ModelCall, Reply, answer_of
from daemon.photo import Picture, Source
from daemon.photo.reading import to_eight_bits
from daemon.system.errors import ModelError

_EVEN_LEVELS = 2
"""Range, in levels of 0 to 255, up to which a picture shows nothing; blending rounds by so much."""

_STRUCTURE_LEVELS = 32
"""Range of a reduced copy, in the same levels, from which a picture certainly shows something.

The means of an even picture with noise of 50 levels differ by 28 in the smallest that is judged.
"""

_COPY_PX = 8
"""Longest side of the copy, in pixels."""

_SMALLEST_PX = 64
"""Shortest side of pictures that are judged: in smaller ones noise may look like a picture."""


def check_source(source: Source) -> None:
    """Check that what was decoded is a picture as restorers take it.

    A picture of one colour is one: people do photograph walls.

    Raises:
        RuntimeError: It is none, which is a fault of the decoder.
    """
    if not isinstance(source, Picture):
        return
    pixels, size = source.pixels, source.pixels.shape[:2]
    sound = pixels.ndim == 3 and pixels.shape[2] == 3 and min(size) > 0
    if not sound or pixels.dtype not in (np.uint8, np.uint16):
        raise RuntimeError(f"decoded to {pixels.dtype} of shape {pixels.shape}")
    if source.alpha is not None and source.alpha.shape != size:
        raise RuntimeError(f"decoded {size} with an opacity of shape {source.alpha.shape}")


def check_answer(call: ModelCall, reply: Reply) -> None:
    """Check that a model answered with numbers, where it need not be waited for.

    Answers that lie on a device of their own are not looked at, which would stop it at every pass:
    what is wrong with them is wrong with the result, and `to_pixels` refuses that.

    Raises:
        ModelError: It has NaN or infinities among them.
    """
    answer = answer_of(reply)
    parts = (answer.tokens, answer.pooled) if isinstance(answer, Embedding) else (answer,)
    here = [part for part in parts if part is not None and part.device.type == "cpu"]
    # A sum has NaN or is infinite if one of its terms is, and takes a fortieth of the time.
    if not all(bool(part.sum().isfinite()) for part in here):
        raise ModelError(call.model, "its answer has NaN or infinities")


def must_show_something(recipe: Recipe, sources: Iterable[Source]) -> bool:
    """Whether a result of one colour is a fault: no source is so, and a mask was not asked for."""
    if any(isinstance(step, Inpaint) and step.mask_only for step in recipe.steps):
        return False
    return all(_shows_something(one) for one in sources if isinstance(one, Picture))


def check_result(pictures: Iterable[Picture], models: Sequence[str]) -> None:
    """Check the results of a recipe that must show something.

    Args:
        pictures: What came out of the recipe.
        models: References of its models.

    Raises:
        ModelError: A result has one colour only.
    """
    for picture in pictures:
        if min(picture.pixels.shape[:2]) >= _SMALLEST_PX and _range(picture.pixels) <= _EVEN_LEVELS:
            raise ModelError(" or ".join(dict.fromkeys(models)), "its result has one colour only")


def _shows_something(picture: Picture) -> bool:
    pixels = picture.pixels
    if min(pixels.shape[:2]) < _SMALLEST_PX:
        return False
    copy = Image.fromarray(to_eight_bits(pixels)).reduce(-(-max(pixels.shape[:2]) // _COPY_PX))
    return _range(np.asarray(copy)) >= _STRUCTURE_LEVELS


def _range(pixels: NDArray[np.generic]) -> float:
    """The largest range of a channel, in levels of 0 to 255."""
    rows = pixels.reshape(-1, 3)
    scale = np.iinfo(pixels.dtype.name).max / 255
    return max(float(channel.max()) - float(channel.min()) for channel in rows.T) / scale
