"""Compares weights: `python -m training.compare [--photos DIR] OLD NEW` prints Markdown tables.

One table is for the photographs inside scikit-image, which no weights were trained on, and one for
the validation split of --photos. Weights are folders or safetensors files.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from skimage import data

from daemon.models.prior_network import PhotoPrior
from training.photos import Pixels
from training.train import held_out_pictures, read_weights
from training.validation import measure_all

PUBLIC = ("astronaut", "chelsea", "coffee", "rocket", "camera", "coins", "moon")
"""Photographs inside scikit-image's wheel; grey ones count for every measure but colour."""

_ROWS = (
    ("noise, sigma 15", "noise15", None),
    ("noise, sigma 25", "noise25", None),
    ("noise, sigma 50", "noise50", None),
    ("x2 (bicubic)", "x2", "x2_in"),
    ("x4 (bicubic)", "x4", "x4_in"),
    ("JPEG quality 20", "jpeg20", "jpeg20_in"),
    ("camera noise, blind", "camera", "camera_in"),
    ("scratches and dust, blind", "print", "print_in"),
    ("colour from grey, 160 px", "colour", "colour_in"),
    ("colourfulness (given: the true one)", "colourfulness", "colourfulness_truth"),
)


def public_pictures() -> list[Pixels]:
    """The photographs of `PUBLIC`, as RGB."""
    pictures: list[Pixels] = []
    for name in PUBLIC:
        pixels = np.asarray(getattr(data, name)())
        pictures.append(pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2))
    return pictures


def table(networks: Sequence[PhotoPrior], pictures: Sequence[Pixels]) -> str:
    """A Markdown table of measures: of the damaged pictures, of two networks, and their gain.

    Args:
        networks: The old network and the new one.
        pictures: Clean pictures.
    """
    columns = [measure_all(network, pictures) for network in networks]
    lines = ["| measure | given | old | new | gain |", "|---|---|---|---|---|"]
    for title, name, given in _ROWS:
        old, new = columns[0][name], columns[-1][name]
        base = f"{columns[0][given]:.2f}" if given else ""
        lines.append(f"| {title} | {base} | {old:.2f} | {new:.2f} | {new - old:+.2f} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m training.compare", description=__doc__)
    parser.add_argument("--photos", type=Path, help="also measure its validation split")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    networks = [read_weights(options.old), read_weights(options.new)]
    print("scikit-image\n\n" + table(networks, public_pictures()) + "\n", flush=True)
    if options.photos:
        pictures = held_out_pictures(options.photos)
        print("validation split\n\n" + table(networks, pictures), flush=True)


if __name__ == "__main__":
    main()
