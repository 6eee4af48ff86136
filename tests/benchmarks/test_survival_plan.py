"""The plan and the input of `benchmarks.survival` follow from the seed alone."""

import itertools
from typing import get_args

import numpy as np
import pytest

from benchmarks.survival import pictures
from benchmarks.survival.figures import growth
from benchmarks.survival.plan import Fault, Mode, Round, Strike, rounds
from benchmarks.survival.process import Vitals


def first(seed: int, mode: Mode, number: int = 40) -> list[Round]:
    return list(itertools.islice(rounds(seed, mode, count=3000), number))


@pytest.mark.parametrize("mode", get_args(Mode))
def test_a_seed_repeats_its_plan_and_another_has_another(mode: Mode) -> None:
    assert first(1, mode) == first(1, mode)
    assert first(1, mode) != first(2, mode)


def test_every_fault_comes_soon_and_old_daemons_are_left_alive_for_a_while() -> None:
    planned = first(3, "mixed", 80)
    strikes = [step for one in planned for step in one.steps if isinstance(step, Strike)]
    assert {strike.fault for strike in strikes} == set(get_args(Fault))
    calm = [step for one in planned[8:16] for step in one.steps if isinstance(step, Strike)]
    assert calm
    assert not any(strike.kill or strike.fault.startswith("kill d") for strike in calm)
    assert {one.check for one in planned} == {"", "once", "idle"}


def test_photographs_follow_from_the_seed_and_no_two_are_alike() -> None:
    def some(seed: int) -> list[bytes]:
        rng = np.random.default_rng(seed)
        made = [pictures.photograph(rng, name)[1] for name in pictures.read_formats() * 3]
        masks = [pictures.mask(rng, empty=True), pictures.hints(rng)]
        return [*made, *masks, *(pictures.mutated(rng, one, made[0]) for one in made)]

    assert some(1) == some(1)
    assert len(set(some(1) + some(2))) == 2 * len(some(1))


def test_a_daemon_that_gains_descriptors_or_memory_is_found() -> None:
    def life(descriptors: float, memory_mb: float) -> list[Vitals]:
        return [
            Vitals(at / 2, 30 + int(descriptors * at), 80 + memory_mb * at) for at in range(240)
        ]

    assert growth([life(0, 0), []]) == []
    assert [one.what for one in growth([life(0.2, 0), life(0, 1.0)])] == ["descriptors", "memory"]
