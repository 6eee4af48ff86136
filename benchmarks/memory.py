"""Memory that large photographs take: `python -m benchmarks.memory [--megapixels 100]`.

Puts a photograph of 16 bits through recipes, by an engine in a process of its own, and prints the
most memory that each process held, the interpreter and torch included. A stand-in answers for the
networks: their memory is that of their batches, whatever the size of the photograph.
"""

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import imagecodecs
import numpy as np
import tifffile

from benchmarks.measuring import Row, markdown_table
from daemon.config.output import Output
from daemon.config.recipe import Recipe
from daemon.config.steps import Denoise, Inpaint, Step, SuperResolve, Unfade
from daemon.executors.process_env import tune_process
from daemon.messages.reports import Report, Restored
from daemon.messages.tasks import Compute, Job, RestoreTask
from daemon.photo import Limits, Photo, read_header
from daemon.photo.profiles import DISPLAY_P3_ICC

if TYPE_CHECKING:
    from torch import Tensor

    from daemon.models.calls import ModelCall

_AIM = "under 4 GB"

_NOISE = 2500
"""Deviation of the photograph's noise, of 65535: `restore` shall find that it is needed."""

_EVALUATIONS = 3
"""Evaluations of a sampling run: more take longer, and no more memory."""

_STEPS: dict[str, tuple[Step, ...]] = {
    "identity": (Inpaint(),),
    "denoise": (Denoise(),),
    "inpaint": (Inpaint(steps=_EVALUATIONS),),
    "unfade": (Unfade(),),
    "restore": (Denoise(), Inpaint(find=True, sensitivity=0.1, steps=_EVALUATIONS)),
    "super-resolve": (SuperResolve(scale=2),),
}
"""Steps of recipes. "identity" has a mask without white; "inpaint" one with a scratch."""

_MASKED = ("identity", "inpaint")
_MEASURED = ("identity", "denoise", "inpaint", "unfade", "restore")


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--megapixels", type=float, default=100)
    parser.add_argument("--recipes", nargs="+", default=_MEASURED, choices=tuple(_STEPS))
    parser.add_argument("--photos", nargs="+", default=("png", "tiff"), choices=("png", "tiff"))
    parser.add_argument("--format", default="same", help="format of the results")
    parser.add_argument("--one", type=Path, help="photograph of the run that this process is")
    given = parser.parse_args()
    if given.one is not None:
        sys.stdout.write(f"{_peak_bytes(given.recipes[0], given.one, given.format)}\n")
        return
    with tempfile.TemporaryDirectory(prefix="restored-benchmark-") as folder:
        photos = write_photographs(Path(folder), given.megapixels, given.photos)
        rows = list(measured(photos, given.recipes, given.format))
    sys.stdout.write(markdown_table(rows) + "\n")


def measured(photos: Sequence[Path], recipes: Sequence[str], format: str) -> Iterator[Row]:
    """The most memory of each recipe with each photograph, each in a process of its own."""
    for photo in photos:
        for recipe in recipes:
            command = [sys.executable, "-m", "benchmarks.memory", "--recipes", recipe]
            command += ["--one", str(photo), "--format", format]
            began = time.monotonic()
            ran = subprocess.run(command, capture_output=True, text=True, check=False)
            if ran.returncode:
                raise RuntimeError(ran.stderr)
            gigabytes = f"{int(ran.stdout) / 1e9:.2f} GB, {time.monotonic() - began:.0f} s"
            print(f"{recipe} of a {photo.suffix[1:]}: {gigabytes}", file=sys.stderr, flush=True)
            yield Row(f"{recipe} of a {photo.suffix[1:].upper()}", gigabytes, _AIM)


def write_photographs(folder: Path, megapixels: float, kinds: Sequence[str]) -> list[Path]:
    """A photograph of 16 bits of each kind: PNG in sRGB, TIFF in Display P3."""
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    width = height * 4 // 3
    rng = np.random.default_rng(0)
    pixels = np.empty((height, width, 3), np.uint16)
    across = np.linspace(0.1, 0.8, width, dtype=np.float32)[:, None] * np.float32(65535)
    for row in pixels:
        noise = rng.standard_normal((width, 3), np.float32) * _NOISE
        row[:] = np.clip(across + noise, 0, 65535)
    photos = []
    for kind in kinds:
        photo = folder / f"photo.{kind}"
        if kind == "png":
            photo.write_bytes(imagecodecs.png_encode(pixels, level=1))
        else:
            profile = DISPLAY_P3_ICC
            tifffile.imwrite(photo, pixels, photometric="rgb", rowsperstrip=64, iccprofile=profile)
        photos.append(photo)
    return photos


def _peak_bytes(recipe: str, photo: Path, format: str) -> int:
    """Put a photograph through a recipe in this process; the most memory that it has held."""
    tune_process(2)
    from daemon.engine.backend import torch_backend
    from daemon.engine.engine import Engine

    with tempfile.TemporaryDirectory(dir=photo.parent) as folder:
        task = _task(recipe, photo, format, Path(folder))
        reported: list[Report] = []
        ended = threading.Event()

        def report(one: Report) -> None:
            if task.fence in getattr(one, "fences", (getattr(one, "fence", None),)):
                reported.append(one)
                ended.set()

        backend = replace(torch_backend(), load_model=lambda *_, **__: _Echo())
        engine = Engine(Compute(device="cpu", threads=2), report, backend=backend)
        thread = threading.Thread(target=engine.run)
        thread.start()
        engine.submit(task)
        ended.wait()
        engine.stop(0)
        thread.join()
    if not isinstance(reported[0], Restored):
        raise RuntimeError(f"{recipe} of {photo}: {reported[0]}")
    return _status_bytes("VmHWM")


def _task(recipe: str, photo: Path, format: str, staging: Path) -> RestoreTask:
    header = read_header(photo, Limits())
    mask = None
    if recipe in _MASKED:
        levels = np.zeros((header.height, header.width), np.uint8)
        levels[100:2000, 1000:1010] = 255 if recipe == "inpaint" else 0
        mask = photo.with_name("photo.mask.png")
        mask.write_bytes(imagecodecs.png_encode(levels, level=1))
    steps = _STEPS[recipe]
    made = Recipe(name=recipe, steps=steps, output=Output(format=format))
    source = Photo(photo, photo.name, "0" * 64, header, mask)
    job = Job("0" * 64, made, (source,), photo.stem, 0, ("0" * 64,) * len(made.models))
    return RestoreTask(job, 1, staging)


class _Echo:
    """A stand-in for all networks: a photograph comes back as it is, and a column is damaged."""

    def predict(self, calls: "Sequence[ModelCall]") -> "list[Tensor]":
        """Answer calls with tensors of the right sizes."""
        return [_answer(call) for call in calls]


def _answer(call: "ModelCall") -> "Tensor":
    from daemon.models.calls import DamageCall, DenoiseCall, RestoreCall

    match call:
        case DamageCall():
            damage = call.picture.new_zeros(1, *call.picture.shape[1:])
            damage[:, :, 30:33] = 1
            return damage
        case RestoreCall():
            scale = call.degradation.scale
            return call.picture.repeat_interleave(scale, 1).repeat_interleave(scale, 2)
        case DenoiseCall():
            return call.x_t
        case _:
            raise TypeError(type(call).__name__)


def _status_bytes(name: str) -> int:
    """A size that the kernel tells of this process."""
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {name}")


if __name__ == "__main__":
    main()
