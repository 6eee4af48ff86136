"""Exports the averaged weights of a run: `python -m training.export --run DIR --out DIR`.

It reads checkpoint.safetensors of the run, and writes config.json and fp16 weights in diffusers'
layout, which `read_prior` loads. It does not change the run.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from safetensors import safe_open

from daemon.models.prior_network import PhotoPrior, write_prior
from training.checkpoint import FILE, untrained

_AVERAGE = "module/average/"


def read_average(run: Path) -> PhotoPrior:
    """A network with the exponential average of a run's weights, float32."""
    with safe_open(run / FILE, "pt") as opened:
        state = {
            place.removeprefix(_AVERAGE): opened.get_tensor(place)
            for place in opened.keys()  # noqa: SIM118  # not a mapping
            if place.startswith(_AVERAGE)
        }
    network = untrained(run)
    network.load_state_dict(state)
    return network


def export(run: Path, out: Path) -> None:
    """Write the averaged weights of a run to a folder, in fp16."""
    write_prior(read_average(run).half(), out)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m training.export", description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="folder of the run")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    options = parser.parse_args(arguments)
    export(options.run, options.out)


if __name__ == "__main__":
    main()
