"""Contract of the prior: every kind of step that can use it."""

from dataclasses import replace

import numpy as np
import pytest

from daemon.restorers.registry import STEP_KINDS
from tests.support.answering import picture, run, step_of
from tests.support.photographs import photograph

KINDS = [row.kind for row in STEP_KINDS.values() if "prior" in row.restorers]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "inpaint"])
@pytest.mark.parametrize("size", [(1, 1), (5, 3)])
def test_every_restorer_takes_the_smallest_photographs(kind: str, size: tuple[int, int]) -> None:
    step = step_of(kind)
    pixels = np.full((*size, 3), 90, np.uint8)
    result = run(step, *[picture(pixels)] * step.photos).pictures[0].pixels
    factor = 2 if kind == "super-resolve" else 1
    assert result.shape == (size[0] * factor, size[1] * factor, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_two_runs_of_a_job_are_alike_and_another_seed_differs(kind: str) -> None:
    sampled = kind in ("denoise", "colorize", "super-resolve")
    step = step_of(kind, **({"realism": 1.0} if sampled else {}))
    pictures = [
        picture(photograph(64, 20 * i), grey=kind == "colorize") for i in range(step.photos)
    ]
    if kind == "inpaint":
        half = np.array([[0, 255], [0, 255]], np.uint8)
        pictures = [replace(given, mask=half) for given in pictures]
    one, two, other = (run(step, *pictures, seed=s).pictures[-2:][0].pixels for s in (1, 1, 2))
    assert np.array_equal(one, two)
    if kind not in ("interpolate", "unfade"):  # nothing random in them
        assert not np.array_equal(one, other)
