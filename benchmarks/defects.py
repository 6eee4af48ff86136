"""Fits the searches for damage: `python -m benchmarks.defects --photos DIR [--count 400]`.

It scratches photographs of the training split and fits to them the numbers that tell scratches from
texture, which `daemon.restorers.scratch_search` holds. It prints these, and a table of what the
numbers that ship do to the validation split. `--find toned` does the same for prints of one tone:
it fits the numbers of `daemon.restorers.crack_search` to cracked prints, and the table is of the
validation split in brown. `--find cracks` prints the table for the damage network alone, which
needs no fitting.
"""

import argparse
from collections.abc import Callable, Iterable, Iterator, Sequence
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
from daemon.restorers.crack_search import (
    Cracks,
    connected,
    crack_candidates,
    damage_levels,
    damage_probability,
)
from daemon.restorers.damage_patches import Mask
from daemon.restorers.inpaint import filled
from daemon.restorers.print_tone import tone_curve
from daemon.restorers.scratch_search import (
    SIGNS,
    Candidates,
    candidates,
    change_contrast,
    lightness,
)
from training.damage import camera_noise
from training.damage_examples import DAMAGED, EITHER, damaged_print, print_square
from training.photos import is_grey, photo_paths, to_pixels, to_tensor
from training.validation import psnr

_LONGEST_PX = 480
_SHORTEST_PX = 150
_VISIBLE = 8
_UNDAMAGED = 0.25
_SENSITIVITIES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.7)
_HYSTERESIS = (
    *((0.5, surely) for surely in (0.8, 0.9, 0.95, 0.98)),
    *((0.7, surely) for surely in (0.9, 0.95, 0.98)),
)
_FITTED_PX = 700
_MOSTLY = 0.5
_TOLD = 0.3
_ROUNDS = 30
_RIDGE = 1e-3


@dataclass(frozen=True, eq=False)
class Print:
    """A photograph that was scratched, or left undamaged.

    Attributes:
        truth: The photograph before, (H, W, 3).
        damaged: The photograph after, (H, W, 3).
        where: Where the damage is visible, (H, W).
    """

    truth: Pixels
    damaged: Pixels
    where: Mask

    def repaired(self, found: Mask) -> tuple[Pixels, Mask]:
        """The photograph with the damage found interpolated, and where that is."""
        wider = binary_dilation(found)
        return to_pixels(filled(to_tensor(self.damaged), torch.from_numpy(wider))), wider


@dataclass(frozen=True, eq=False)
class Weighed:
    """Patches of which is known what they are.

    Attributes:
        features: (N, F).
        damaged: Whether most of each is damage, (N,).
        weights: The root of each patch's area, (N,).
    """

    features: NDArray[np.float64]
    damaged: NDArray[np.bool_]
    weights: NDArray[np.float64]

    @classmethod
    def of(cls, found: Candidates | Cracks, damaged: Mask, kept: Mask) -> "Weighed":
        """Those of the patches that are kept, (N,)."""
        return cls(found.features[kept], damaged[kept], np.sqrt(found.patches.areas[kept]))


def prints(
    paths: Sequence[Path], rng: Generator, *, noisy: bool = False, toned: bool = False
) -> Iterator[Print]:
    """Photographs at 480 px, three of four scratched; both versions have the same noise."""
    for path in paths:
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
        picture.thumbnail((_LONGEST_PX, _LONGEST_PX), Image.Resampling.LANCZOS)
        truth = in_brown(np.asarray(picture)) if toned else np.asarray(picture)
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
        yield Print(truth, damaged, np.abs(damaged.astype(int) - truth).max(axis=2) >= _VISIBLE)


def patches_of(photograph: Print) -> tuple[Candidates, Candidates]:
    """The patches that the prior would change in a print, and in its negative."""
    seen, grey = to_tensor(photograph.damaged), is_grey(photograph.damaged)
    probability = run_generator(damage_probability(seen)).numpy()
    bright, dark = (
        candidates(
            run_generator(change_contrast(sign * seen, PRIOR, grey=grey)),
            probability,
            lightness(sign * seen),
        )
        for sign in SIGNS["both"]
    )
    return bright, dark


def cracks_of(pixels: Pixels) -> tuple[Cracks, Cracks]:
    """The patches that the damage network takes for damage, bright ones and dark ones."""
    seen = to_tensor(pixels)
    probability = run_generator(damage_probability(seen)).numpy()
    bright, dark = (crack_candidates(probability, lightness(sign * seen)) for sign in SIGNS["both"])
    return bright, dark


def weighed_scratches(paths: Sequence[Path], rng: Generator) -> Iterator[Weighed]:
    """The patches of scratched photographs that the prior would change."""
    for one in prints(paths, rng):
        for found in patches_of(one):
            share = found.patches.mean(one.where.astype(np.float64))
            yield Weighed.of(found, share > _MOSTLY, found.visible)


def weighed_cracks(paths: Sequence[Path], rng: Generator) -> Iterator[Weighed]:
    """What the damage network finds on two square prints of each photograph.

    One of them is drawn as those that it was trained on; the other is whole, and brown.
    """
    for path in paths:
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
        picture.thumbnail((_FITTED_PX, _FITTED_PX), Image.Resampling.LANCZOS)
        square = print_square(np.asarray(picture), rng)
        whole = in_brown(square)
        drawn = (damaged_print(square, rng), (whole, np.zeros(whole.shape[:2], np.uint8)))
        for scan, labels in drawn:
            for found in cracks_of(scan):
                told = found.patches.mean((labels != EITHER).astype(np.float64))
                share = found.patches.mean((labels == DAMAGED).astype(np.float64))
                kept = found.visible & (told > _TOLD)
                yield Weighed.of(found, share > _MOSTLY * told, kept)


def in_brown(pixels: Pixels) -> Pixels:
    """A photograph as a print of one tone, (H, W, 3)."""
    light = np.asarray(Image.fromarray(pixels).convert("L"), np.float32)[..., None] / 255
    levels = np.rint(20 + 210 * light * np.array((1, 0.93, 0.8)))
    return np.asarray(levels, np.uint8)


def fitted(rows: Iterable[Weighed]) -> NDArray[np.float64]:
    """Fit a logistic regression of "most of this patch is damage" on the patches' features.

    Returns:
        The weight of each feature, then the bias.
    """
    seen = list(rows)
    features = np.concatenate([one.features for one in seen])
    labels = np.concatenate([one.damaged for one in seen]).astype(float)
    counts = np.concatenate([one.weights for one in seen])
    inputs = np.column_stack((features, np.ones(len(features))))
    result = np.zeros(inputs.shape[1])
    for _ in range(_ROUNDS):  # Newton's method
        likely = 1 / (1 + np.exp(-inputs @ result))
        slope = inputs.T @ (counts * (labels - likely)) - _RIDGE * result
        bend = (inputs.T * (counts * likely * (1 - likely))) @ inputs
        result += np.linalg.solve(bend + _RIDGE * np.eye(len(result)), slope)
    return result


def scratches_found(photograph: Print) -> dict[str, Mask]:
    """What the scratch search finds, for each sensitivity."""
    searches: tuple[Candidates | Cracks, ...] = patches_of(photograph)
    if tone_curve(photograph.damaged).is_toned:
        searches += cracks_of(photograph.damaged)
    return {
        f"{s:g}": np.logical_or.reduce([one.damage(s) for one in searches]) for s in _SENSITIVITIES
    }


def cracks_found(photograph: Print) -> dict[str, Mask]:
    """What the damage network finds, for each pair of probabilities."""
    levels = run_generator(damage_levels(photograph.damaged))
    return {f"{low:g}, {high:g}": connected(levels, high, low) for low, high in _HYSTERESIS}


def table(validated: Sequence[Print], search: Callable[[Print], dict[str, Mask]]) -> Iterator[str]:
    """Markdown lines: what each setting of a search does to scratched and whole photographs."""
    scratched = [one for one in validated if one.where.any()]
    whole = [one for one in validated if not one.where.any()]
    given = np.array([psnr(one.damaged, one.truth) for one in scratched])
    yield f"{len(scratched)} scratched ({given.mean():.2f} dB as given), {len(whole)} whole"
    yield "| setting | dB | worse than given, most lost | found | whole: least dB, unchanged |"
    yield "|---|---|---|---|---|"
    found = [search(one) for one in scratched]
    by_mistake = [search(one) for one in whole]
    for setting in found[0]:
        results = [one.repaired(each[setting]) for one, each in zip(scratched, found, strict=True)]
        pairs = list(zip(scratched, results, strict=True))
        reached = np.array([psnr(pixels, one.truth) for one, (pixels, _) in pairs])
        share = 100 * np.mean([mask[one.where].mean() for one, (_, mask) in pairs])
        left = [one.repaired(each[setting])[0] for one, each in zip(whole, by_mistake, strict=True)]
        kept = [psnr(pixels, one.truth) for pixels, one in zip(left, whole, strict=True)]
        unchanged = sum(not each[setting].any() for each in by_mistake)
        yield (
            f"| {setting} | {reached.mean():.2f} | {(reached < given - 0.05).sum()}, "
            f"{(given - reached).max():.2f} dB | {share:.0f} % "
            f"| {min(kept):.1f}, {unchanged} of {len(whole)} |"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.defects", description=__doc__)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--count", type=int, default=400, help="number of photographs to fit to")
    parser.add_argument("--find", choices=("scratches", "toned", "cracks"), default="scratches")
    options = parser.parse_args(arguments)
    tune_process(None)
    if options.find != "cracks":
        weights = _fit(options.photos, options.count, toned=options.find == "toned")
        print("evidence and bias:", ", ".join(f"{weight:.2f}" for weight in weights), flush=True)
    held_out = photo_paths(options.photos, validation=True)
    for noisy in (False, True):
        print("\nwith camera noise:" if noisy else "\nwithout noise:")
        drawn = prints(
            held_out, np.random.default_rng(1), noisy=noisy, toned=options.find == "toned"
        )
        search = cracks_found if options.find == "cracks" else scratches_found
        print("\n".join(table(list(drawn), search)), flush=True)


def _fit(photos: Path, count: int, *, toned: bool) -> NDArray[np.float64]:
    """The numbers of a search, fitted to some photographs of the training split."""
    rng = np.random.default_rng(0)
    paths = photo_paths(photos, validation=False)
    chosen = [paths[index] for index in rng.permutation(len(paths))[:count]]
    return fitted((weighed_cracks if toned else weighed_scratches)(chosen, rng))


if __name__ == "__main__":
    main()
