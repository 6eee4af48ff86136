"""Computations side by side: what several ask for at the same time is asked in one yield."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from daemon.models.calls import Answer, ModelCall, ModelCalls

ABREAST_PX = 2**24
"""Pictures of one job are worked on side by side up to so many pixels in all: memory is bounded."""

T = TypeVar("T")


def together(askings: Sequence[ModelCalls[T]]) -> ModelCalls[list[T]]:
    """Run computations side by side: what they ask for at the same time is asked in one yield.

    Args:
        askings: Fresh computations; they may take different numbers of turns.

    Returns:
        Their results, in order.
    """
    results: dict[int, T] = {}
    waiting: dict[int, list[ModelCall]] = {}

    def resume(index: int, answers: list[Answer] | None) -> None:
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


def abreast(fresh: Sequence[Callable[[], ModelCalls[T]]], pixels: int) -> ModelCalls[list[T]]:
    """As `together`, but only so many at a time as hold `ABREAST_PX` pixels.

    Args:
        fresh: Make the computations, each when its turn comes.
        pixels: What one of them holds.
    """
    results: list[T] = []
    count = count_abreast(pixels)
    for first in range(0, len(fresh), count):
        results += yield from together([make() for make in fresh[first : first + count]])
    return results


def count_abreast(pixels: int) -> int:
    """How many pictures of so many pixels are worked on side by side, at least 1."""
    return max(1, ABREAST_PX // max(1, pixels))
