"""Fits the scratch search: `python -m benchmarks.defects --photos DIR [--count 400]`.

It scratches photographs of the training split and fits to them the numbers that tell scratches from
texture, which `daemon.restorers.scratch_search` holds. It prints these, and a table of what the
numbers that ship do to the validation split.
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

from benchmarks.restoring import Pixels, run_generator
from benchmarks.scratches import worn
from daemon.config.model_reference import PRIOR
from daemon.executors.process_env import tune_process
from daemon.restorers.inpaint import filled
from daemon.restorers.scratch_search import SIGNS, Candidates, Mask, candidates, change_contrast
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
    """A photograph that was scratched, or left undamaged.

    Attributes:
        truth: The photograph before, (H, W, 3).
        damaged: The photograph after, (H, W, 3).
        where: Where the damage is visible, (H, W).
        patches: Patches that the network would change in it, and in its negative.
    """

    truth: Pixels
    damaged: Pixels
    where: Mask
    patches: tuple[Candidates, Candidates]

    def repaired(self, sensitivity: float) -> tuple[Pixels, Mask]:
        """The photograph with the damage found interpolated, and where that is."""
        bright, dark = (one.damage(sensitivity) for one in self.patches)
        found = binary_dilation(bright | dark)
        lost = torch.from_numpy(found)
        return to_pixels(filled(to_tensor(self.damaged), lost)), found


def prints(paths: Sequence[Path], rng: Generator, *, noisy: bool = False) -> Iterator[Print]:
    """Photographs at 480 px, three of four scratched; both versions have the same noise."""
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
            candidates(run_generator(change_contrast(sign * seen, PRIOR, grey=grey)))
            for sign in SIGNS["both"]
        )
        yield Print(truth, damaged, where, (bright, dark))


def fitted(photographs: Sequence[Print]) -> NDArray[np.float64]:
    """Fit a logistic regression of "most of this patch is damage" on the patches' features.

    Each patch is weighted by the root of its area.

    Returns:
        The weight of each feature, then the bias.
    """
    seen = [(one.where, patches) for one in photographs for patches in one.patches]
    features = np.concatenate([patches.features for _, patches in seen])
    labels = np.concatenate([_damaged(*one) for one in seen]).astype(float)
    counts = np.exp(features[:, 2] / 2)
    inputs = np.column_stack((features, np.ones(len(features))))
    result = np.zeros(inputs.shape[1])
    for _ in range(_ROUNDS):  # Newton's method
        likely = 1 / (1 + np.exp(-inputs @ result))
        slope = inputs.T @ (counts * (labels - likely)) - _RIDGE * result
        bend = (inputs.T * (counts * likely * (1 - likely))) @ inputs
        result += np.linalg.solve(bend + _RIDGE * np.eye(len(result)), slope)
    return result


def _damaged(where: Mask, patches: Candidates) -> NDArray[np.bool_]:
    """Whether more than half of each patch is damage, (N,)."""
    inside = np.bincount(patches.labels.ravel(), where.ravel(), len(patches.features) + 1)[1:]
    damaged: NDArray[np.bool_] = inside > 0.5 * np.exp(patches.features[:, 2])
    return damaged


def table(validated: Sequence[Print]) -> Iterator[str]:
    """Markdown lines: what each sensitivity does to scratched and undamaged photographs."""
    scratched = [one for one in validated if one.where.any()]
    undamaged = [one for one in validated if not one.where.any()]
    given = np.array([psnr(one.damaged, one.truth) for one in scratched])
    yield f"{len(scratched)} scratched ({given.mean():.2f} dB as given), {len(undamaged)} undamaged"
    yield "| sensitivity | dB | worse than given | most lost | found | undamaged, least dB |"
    yield "|---|---|---|---|---|---|"
    for sensitivity in _SENSITIVITIES:
        results = [one.repaired(sensitivity) for one in scratched]
        pairs = list(zip(scratched, results, strict=True))
        reached = np.array([psnr(pixels, one.truth) for one, (pixels, _) in pairs])
        share = 100 * np.mean([found[one.where].mean() for one, (_, found) in pairs])
        kept = min(psnr(one.repaired(sensitivity)[0], one.truth) for one in undamaged)
        yield (
            f"| {sensitivity:g} | {reached.mean():.2f} | {(reached < given - 0.05).sum()} "
            f"| {(given - reached).max():.2f} | {share:.0f} % | {kept:.1f} |"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.defects", description=__doc__)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--count", type=int, default=400, help="number of photographs to fit to")
    options = parser.parse_args(arguments)
    tune_process(None)
    rng = np.random.default_rng(0)
    paths = photo_paths(options.photos, validation=False)
    chosen = [paths[index] for index in rng.permutation(len(paths))[: options.count]]
    weights = fitted(list(prints(chosen, rng)))
    print("evidence and bias:", ", ".join(f"{weight:.2f}" for weight in weights), flush=True)
    held_out = photo_paths(options.photos, validation=True)
    for noisy in (False, True):
        print("\nwith camera noise:" if noisy else "\nwithout noise:")
        validated = list(prints(held_out, np.random.default_rng(1), noisy=noisy))
        print("\n".join(table(validated)), flush=True)


if __name__ == "__main__":
    main()
