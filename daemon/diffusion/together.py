"""Computations side by side: what several ask for at the same time is asked in one yield."""

from collections.abc import Sequence
from typing import TypeVar

from torch import Tensor

from daemon.call import Asking, Call

T = TypeVar("T")


def together(askings: Sequence[Asking[T]]) -> Asking[list[T]]:
    """Run computations side by side: what they ask for at the same time is asked in one yield.

    Args:
        askings: Fresh computations; they may take different numbers of turns.

    Returns:
        Their results, in order.
    """
    results: dict[int, T] = {}
    waiting: dict[int, list[Call]] = {}

    def resume(index: int, answers: list[Tensor] | None) -> None:
        try:
            turn = next(askings[index]) if answers is None else askings[index].send(answers)
            waiting[index] = list(turn)
        except StopIteration as end:
            results[index] = end.value

    for index in range(len(askings)):
        resume(index, None)
    while waiting:
        turn, waiting = waiting, {}
        answers = iter((yield [call for calls in turn.values() for call in calls]))
        for index, calls in turn.items():
            resume(index, [next(answers) for _ in calls])
    return [results[index] for index in range(len(askings))]
