"""Run generators of model calls concurrently: what they ask at the same time goes out in one yield.

The counterpart of `asyncio.gather` for `ModelCalls`: the engine sees the calls of all of them at
once and can answer them in one batch.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from daemon.models.calls import Answer, ModelCall, ModelCalls

CONCURRENT_PX = 2**23
"""Pixels, in all, of one job's pictures that are worked on at the same time: bounds the memory.

A little more than one window of a large photograph, whose tiles alone fill a pass.
"""

T = TypeVar("T")


def gather(generators: Sequence[ModelCalls[T]]) -> ModelCalls[list[T]]:
    """Run generators concurrently, every turn of theirs as one yield.

    Args:
        generators: Not yet started; they may take different numbers of turns.

    Returns:
        Their results, in order.
    """
    results: dict[int, T] = {}
    waiting: dict[int, list[ModelCall]] = {}

    def resume(index: int, answers: list[Answer] | None) -> None:
        try:
            calls = next(generators[index]) if answers is None else generators[index].send(answers)
            waiting[index] = list(calls)
        except StopIteration as end:
            results[index] = end.value

    for index in range(len(generators)):
        resume(index, None)
    while waiting:
        turn, waiting = waiting, {}
        answers = iter((yield [call for calls in turn.values() for call in calls]))
        for index, calls in turn.items():
            resume(index, [next(answers) for _ in calls])
    return [results[index] for index in range(len(generators))]


def gather_bounded(
    start: Sequence[Callable[[], ModelCalls[T]]], pixels: int
) -> ModelCalls[list[T]]:
    """Run generators concurrently, but only as many at a time as hold `CONCURRENT_PX` pixels.

    Args:
        start: Functions that make the generators, each called when its turn comes.
        pixels: Pixels that one generator holds.

    Returns:
        The generators' results, in order.
    """
    results: list[T] = []
    count = concurrent_count(pixels)
    for first in range(0, len(start), count):
        results += yield from gather([make() for make in start[first : first + count]])
    return results


def concurrent_count(pixels: int) -> int:
    """How many pictures of this many pixels are worked on at the same time, at least 1."""
    return max(1, CONCURRENT_PX // max(1, pixels))
