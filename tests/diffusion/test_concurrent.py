"""Generators of model calls that run concurrently."""

import torch

from daemon.diffusion.concurrent import CONCURRENT_PX, gather, gather_bounded
from daemon.models.calls import DenoiseCall, ModelCalls, ask
from tests.support.answering import Turns, answer


def test_concurrent_generators_ask_in_one_turn_and_get_their_own_answers() -> None:
    def count(turns: int, start: float) -> ModelCalls[float]:
        x = torch.tensor([start])
        for _ in range(turns):
            (x,) = yield from ask([DenoiseCall("toy", x, 0.0)])
        return float(x)

    asked: Turns = []
    counts = gather([count(3, 0.0), count(0, 5.0), count(1, 10.0)])
    assert answer(counts, lambda calls: [c.x_t + 1 for c in calls], asked) == [3.0, 5.0, 11.0]
    assert [len(turn) for turn in asked] == [2, 1, 1]


def test_only_as_many_large_pictures_run_concurrently_as_the_memory_holds() -> None:
    def one() -> ModelCalls[int]:
        (x,) = yield from ask([DenoiseCall("toy", torch.zeros(1, 1), 0.0)])
        return len(x)

    turns: Turns = []
    bounded = gather_bounded([one] * 5, CONCURRENT_PX // 2)
    assert answer(bounded, lambda calls: [c.x_t for c in calls], turns) == [1] * 5
    assert [len(turn) for turn in turns] == [2, 2, 1]
