"""Tell scratches from texture: `python -m benchmarks.defects --photos DIR [--count 400]`.

Comes in: photographs. Goes out, printed: the numbers that `daemon.restorers.scratch_search` holds,
fitted on photographs of the training split that are scratched here, and a table of what the numbers
that ship do to the validation split.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_dilation

from benchmarks.restoring import Pixels, answered
from benchmarks.scratches import worn
from daemon.config.model_reference import PRIOR
from daemon.executors.process_env import tune_process
from daemon.restorers.inpaint import filled
from daemon.restorers.scratch_search import SIGNS, Candidates, Mask, candidates, changes
from training.damage import camera_noise
from training.photos import is_grey, photo_paths, to_pixels, to_tensor
from training.validation import psnr

_LONGEST_PX = 480
_SHORTEST_PX = 150
_VISIBLE = 8
_UNDAMAGED = 0.25
_SENSITIVITIES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.7)
_ROUNDS = 30
_RIDGE = 1e-3


@dataclass(frozen=True, eq=False)
class Print:
    """A photograph that was scratched here, or left as it was.

    Attributes:
        truth: What it was before, (H, W, 3).
        damaged: What it is now.
        where: Where that is seen, (H, W).
        patches: What the network would change of it, and of its negative.
    """

    truth: Pixels
    damaged: Pixels
    where: Mask
    patches: tuple[Candidates, Candidates]

    def mended(self, sensitivity: float) -> tuple[Pixels, Mask]:
        """The photograph with what is found interpolated, and where that is."""
        bright, dark = (one.damage(sensitivity) for one in self.patches)
        found = binary_dilation(bright | dark)
        lost = torch.from_numpy(found)
        return to_pixels(filled(to_tensor(self.damaged), lost)), found


def prints(paths: Sequence[Path], rng: Generator, *, noisy: bool = False) -> Iterator[Print]:
    """Photographs at 480 px, three of four scratched; noise is the same on truth and damage."""
    for path in paths:
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
        picture.thumbnail((_LONGEST_PX, _LONGEST_PX), Image.Resampling.LANCZOS)
        truth = np.asarray(picture)
        if min(picture.size) < _SHORTEST_PX:
            continue
        damaged = truth
        if rng.random() >= _UNDAMAGED:
            damaged = worn(truth, rng)
        if noisy:
            seed = int(rng.integers(2**31))
            truth, damaged = (
                camera_noise(one, np.random.default_rng(seed)) for one in (truth, damaged)
            )
        where = np.abs(damaged.astype(int) - truth).max(axis=2) >= _VISIBLE
        seen, grey = to_tensor(damaged), is_grey(damaged)
        bright, dark = (
            candidates(answered(changes(sign * seen, PRIOR, grey=grey))) for sign in SIGNS["both"]
        )
        yield Print(truth, damaged, where, (bright, dark))


def fitted(scratched_ones: Sequence[Print]) -> NDArray[np.float64]:
    """Logistic regression of "most of this patch is damage" on the patches' traits.

    A patch counts by the root of its area. Returns the weight of each trait, then the bias.
    """
    seen = [(one.where, patches) for one in scratched_ones for patches in one.patches]
    traits = np.concatenate([patches.traits for _, patches in seen])
    labels = np.concatenate([_damaged(*one) for one in seen]).astype(float)
    counts = np.exp(traits[:, 2] / 2)
    inputs = np.column_stack((traits, np.ones(len(traits))))
    result = np.zeros(inputs.shape[1])
    for _ in range(_ROUNDS):  # Newton's method
        likely = 1 / (1 + np.exp(-inputs @ result))
        slope = inputs.T @ (counts * (labels - likely)) - _RIDGE * result
        bend = (inputs.T * (counts * likely * (1 - likely))) @ inputs
        result += np.linalg.solve(bend + _RIDGE * np.eye(len(result)), slope)
    return result


def _damaged(where: Mask, patches: Candidates) -> NDArray[np.bool_]:
    """Whether more than half of each patch is damage, (N,)."""
    inside = np.bincount(patches.labels.ravel(), where.ravel(), len(patches.traits) + 1)[1:]
    damaged: NDArray[np.bool_] = inside > 0.5 * np.exp(patches.traits[:, 2])
    return damaged


def table(validated: Sequence[Print]) -> Iterator[str]:
    """What sensitivities do to photographs, scratched and whole, in dB."""
    hurt = [one for one in validated if one.where.any()]
    whole = [one for one in validated if not one.where.any()]
    given = np.array([psnr(one.damaged, one.truth) for one in hurt])
    yield f"{len(hurt)} scratched ({given.mean():.2f} dB as given), {len(whole)} whole"
    yield "| sensitivity | dB | worse than given | most lost | found | whole ones, least dB |"
    yield "|---|---|---|---|---|---|"
    for sensitivity in _SENSITIVITIES:
        results = [one.mended(sensitivity) for one in hurt]
        pairs = list(zip(hurt, results, strict=True))
        reached = np.array([psnr(pixels, one.truth) for one, (pixels, _) in pairs])
        share = 100 * np.mean([found[one.where].mean() for one, (_, found) in pairs])
        kept = min(psnr(one.mended(sensitivity)[0], one.truth) for one in whole)
        yield (
            f"| {sensitivity:g} | {reached.mean():.2f} | {(reached < given - 0.05).sum()} "
            f"| {(given - reached).max():.2f} | {share:.0f} % | {kept:.1f} |"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.defects", description=__doc__)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--count", type=int, default=400, help="photographs to learn from")
    asked = parser.parse_args(arguments)
    tune_process(None)
    rng = np.random.default_rng(0)
    paths = photo_paths(asked.photos, validation=False)
    chosen = [paths[index] for index in rng.permutation(len(paths))[: asked.count]]
    weights = fitted(list(prints(chosen, rng)))
    print("evidence and bias:", ", ".join(f"{weight:.2f}" for weight in weights), flush=True)
    held_out = photo_paths(asked.photos, validation=True)
    for noisy in (False, True):
        print("\nwith camera noise:" if noisy else "\nwithout noise:")
        validated = list(prints(held_out, np.random.default_rng(1), noisy=noisy))
        print("\n".join(table(validated)), flush=True)


if __name__ == "__main__":
    main()
