"""Measures of a colour network in training, of photographs that `colorize` paints."""

from collections.abc import Sequence

import numpy as np
import torch
from skimage.color import deltaE_ciede2000, rgb2lab

from daemon.config.steps import Colorize
from daemon.diffusion.noise import Noise
from daemon.models.calls import ColourCall
from daemon.models.colour import TEMPERATURE, chroma_moments
from daemon.models.colour_network import ColourNetwork
from daemon.photo import Metadata, Picture
from daemon.restorers.colorize import colorize
from training.photos import Pixels, to_grey_pixels
from training.validation import colourfulness, psnr, thumbnail

_LONGEST_PX = 256


def measure_colours(network: ColourNetwork, photographs: Sequence[Pixels]) -> dict[str, float]:
    """Means over photographs that are made grey and coloured, at 256 px.

    Args:
        network: The network, on any device; it is left in the mode that it was in.
        photographs: Colour photographs, (H, W, 3).

    Returns:
        "psnr" in dB, "ciede2000", and "colourfulness" as a share of the truth's.
    """
    found = [_measure_one(network, thumbnail(one, _LONGEST_PX)) for one in photographs]
    means = np.mean(found, axis=0).round(4).tolist() if found else [np.nan] * 3
    return dict(zip(("psnr", "ciede2000", "colourfulness"), means, strict=True))


def _measure_one(network: ColourNetwork, truth: Pixels) -> tuple[float, float, float]:
    result = _coloured(network, truth)
    apart = float(deltaE_ciede2000(rgb2lab(truth), rgb2lab(result)).mean())
    return psnr(result, truth), apart, colourfulness(result) / colourfulness(truth)


def _coloured(network: ColourNetwork, truth: Pixels) -> Pixels:
    """The photograph made grey and coloured by the product's own step."""
    picture = Picture(to_grey_pixels(truth), True, Metadata("PNG", "L"))
    generator = colorize((picture,), Colorize(), Noise(0))
    answers = None
    try:
        while True:
            calls = next(generator) if answers is None else generator.send(answers)
            answers = [_answer(network, call) for call in calls if isinstance(call, ColourCall)]
    except StopIteration as end:
        return np.asarray(end.value.pictures[0].pixels, np.uint8)


@torch.inference_mode()
def _answer(network: ColourNetwork, call: ColourCall) -> torch.Tensor:
    log_odds = network(call.grey[None].to(network.palette.device))[0].float()
    plain = log_odds - network.class_weights.log()[:, None, None]
    return chroma_moments(plain, network.palette, TEMPERATURE).cpu()
