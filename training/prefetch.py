"""Examples drawn ahead, by processes of their own, so that the device does not wait for them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Generic, TypeVar

from torch.utils.data import DataLoader, Dataset

T = TypeVar("T")


@dataclass(frozen=True)
class _Steps(Dataset[T], Generic[T]):
    """The examples of each step, by its number."""

    draw: Callable[[int], T]

    def __getitem__(self, step: int) -> T:
        return self.draw(step)


def drawn_ahead(draw: Callable[[int], T], first: int, workers: int = 0) -> Iterator[T]:
    """The examples of step after step, without end, the same for any number of workers.

    Args:
        draw: Draws the examples of a step from its number alone.
        first: Number of the first step.
        workers: Processes that draw; 0: they are drawn here, when they are asked for. Each holds
            what `draw` refers to in memory that it shares with this process.
    """
    context = "fork" if workers else None
    loader: DataLoader[T] = DataLoader(
        _Steps(draw),
        batch_size=None,
        sampler=count(first),
        num_workers=workers,
        collate_fn=_as_it_is,
        multiprocessing_context=context,
    )
    return iter(loader)


def _as_it_is(examples: T) -> T:
    return examples
