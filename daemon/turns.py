"""Whose turn it is to begin: orders whose models are loaded go first, for a while.

Comes in: the orders that wait, in order of arrival, and the models of those in flight. Goes out:
which begins next. Keeps no count of its own.
"""

from collections.abc import Collection, Sequence
from typing import Any

from daemon.course import Course
from daemon.residency import Residency, Slot


def next_turn(
    waiting: Sequence[Course[Any]],
    asking: Collection[Slot],
    residency: Residency,
    now: float,
) -> int | None:
    """Which order begins next.

    While the last model that was loaded has its slice of time, orders go first whose models are
    loaded. After that it goes by arrival; and if an order in flight waits for a model that has no
    room beside those at work, none begins that would keep them at work: so the room comes soon.

    Args:
        waiting: Orders by arrival, at least one.
        asking: Models of the orders in flight.
        residency: The models on the device.
        now: Monotonic seconds.

    Returns:
        Its index, or None if it is better that none begins.
    """
    if now - residency.loaded_at < residency.slice_s:
        ready = (
            index
            for index, course in enumerate(waiting)
            if all(residency.welcomes(reference) for reference in course.models)
        )
        return next(ready, 0)
    if all(residency.admits(slot, asking) for slot in asking):
        return 0
    at_work = {slot.reference for slot in asking if residency.is_resident(slot)}
    others = (i for i, course in enumerate(waiting) if not at_work.intersection(course.models))
    return next(others, None)
