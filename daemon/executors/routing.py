"""Routing: which of several workers gets which task. It knows no thread, process or clock.

Tasks wait here until a worker that is ready can soon start them, so that a worker that is faster
gets more of them, and one that dies leaves few behind. A worker that works on suspects works on
nothing else; the others go on.
"""

import math
from collections import OrderedDict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from daemon.config.model_reference import SHIPPED
from daemon.messages.reports import ModelLoaded
from daemon.messages.tasks import RestoreTask, Task

PREFETCH = 32
"""Tasks that a worker holds and has not started, at most: more than it starts within a report."""

LOAD_PIXELS = 8e6
"""Pixels that loading a checkpoint costs as much as: a worker without it gets the task only if it
is behind the others by more. Networks that ship load in a tenth of a second and cost nothing."""

FIRST_REST_S = 5.0
"""Seconds without tasks after the second death in a row of a worker that ended no task between."""

LONGEST_REST_S = 600.0
"""Longest such rest; each is twice as long as the one before."""

_REMEMBERED = 4096
"""Tasks of which it is remembered in which workers they were in flight when these died."""


@dataclass
class _Worker:
    """What is known of one worker.

    Attributes:
        name: Its name.
        ready: It takes tasks.
        loaded: Models that it has loaded.
        tasks: Its tasks, by fence.
        unstarted: Fences of those that it has not started.
        suspects: Number of the group of suspects that it is kept free for; 0 for none.
        deaths: Deaths since it last ended a task.
        rests_until: When it gets tasks again, in seconds of the caller's clock.
    """

    name: str
    ready: bool = False
    loaded: frozenset[str] = frozenset()
    tasks: dict[int, Task] = field(default_factory=dict)
    unstarted: set[int] = field(default_factory=set)
    suspects: int = 0
    deaths: int = 0
    rests_until: float = -math.inf

    @property
    def pixels(self) -> int:
        """Pixels of its tasks."""
        return sum(map(pixels_of, self.tasks.values()))

    def cost(self, task: Task) -> float:
        """What giving it this task costs, in pixels: those before it, and loading its models."""
        return self.pixels + LOAD_PIXELS * len(models_of(task) - self.loaded)


class Router:
    """Assigns tasks to workers; a task is known from `add` until `ended` or `died` names it.

    Args:
        workers: Names of the workers; none of them is ready.
    """

    def __init__(self, workers: Iterable[str] = ()) -> None:
        self._workers = {name: _Worker(name) for name in workers}
        self._queue: OrderedDict[int, Task] = OrderedDict()
        self._died_in: OrderedDict[str, set[str]] = OrderedDict()

    @property
    def fences(self) -> tuple[int, ...]:
        """Fences of the tasks that no worker has."""
        return tuple(self._queue)

    @property
    def ready_workers(self) -> int:
        """How many workers take tasks."""
        return sum(worker.ready for worker in self._workers.values())

    def fences_in(self, worker: str) -> tuple[int, ...]:
        """Fences of a worker's tasks."""
        return tuple(self._workers[worker].tasks)

    def add(self, task: Task) -> None:
        """Take a task."""
        self._queue[task.fence] = task

    def add_worker(self, worker: str) -> None:
        """Take a worker that was not there before."""
        self._workers.setdefault(worker, _Worker(worker))

    def worker_ready(self, worker: str, loaded: Collection[str]) -> None:
        """Note that a worker takes tasks, and which models it has loaded."""
        self._workers[worker].ready = True
        self.models_loaded(worker, loaded)

    def models_loaded(self, worker: str, loaded: Collection[str]) -> None:
        """Note which models a worker has loaded."""
        self._workers[worker].loaded = frozenset(loaded)

    def model_loaded(self, worker: str, model: ModelLoaded) -> None:
        """Note that a worker has loaded a model and evicted others for that."""
        one = self._workers[worker]
        one.loaded = (one.loaded | {model.reference}) - set(model.evicted)

    def started(self, worker: str, fence: int) -> None:
        """Note that a worker has started a task."""
        self._workers[worker].unstarted.discard(fence)

    def ended(self, fences: Collection[int], *, by_worker: str = "") -> None:
        """Forget tasks; a worker that ended one by an outcome of its own does work."""
        for worker in self._workers.values():
            for fence in fences:
                task = worker.tasks.pop(fence, None)
                worker.unstarted.discard(fence)
                if task is not None and worker.name == by_worker:
                    worker.deaths = 0
                    self._died_in.pop(_key(task), None)
        for fence in fences:
            self._queue.pop(fence, None)

    def died(self, worker: str, fences: Collection[int], now: float, *, outside: bool) -> None:
        """Note that a worker has died with these tasks, which are forgotten.

        Args:
            worker: Its name.
            fences: Fences of the tasks that it had started.
            now: Seconds of the caller's clock.
            outside: Something outside of it ended it.
        """
        one = self._workers[worker]
        for fence in fences:
            if (task := one.tasks.get(fence)) is not None and not outside:
                self._remember(task, worker)
        self.ended(fences)
        one.ready, one.loaded = False, frozenset()
        one.deaths += not outside
        if one.deaths > 1 and not outside:
            rest_s = min(LONGEST_REST_S, FIRST_REST_S * 2 ** (one.deaths - 2))
            one.rests_until = now + rest_s

    def withdrawn(self, worker: str, fences: Collection[int]) -> None:
        """Have tasks wait again that a worker has not been sent, before all that came since."""
        one = self._workers[worker]
        for fence in reversed(list(fences)):
            if (task := one.tasks.pop(fence, None)) is not None:
                self._queue[fence] = task
                self._queue.move_to_end(fence, last=False)
            one.unstarted.discard(fence)
        if not one.tasks:
            one.suspects = 0

    def assign(self, now: float) -> list[tuple[str, Task]]:
        """Give waiting tasks to workers that can soon start them.

        Args:
            now: Seconds of the caller's clock.

        Returns:
            The name of a worker, and its task, in the order in which they are to be sent.
        """
        self._keep_one_free_for_suspects(now)
        assigned: list[tuple[str, Task]] = []
        full: set[int] = set()  # what has no room for one has none for the others of its group
        for task in list(self._queue.values()):
            if task.suspects in full:
                continue
            worker = self._choose(task, now)
            if worker is None:
                full.add(task.suspects)
                continue
            del self._queue[task.fence]
            worker.tasks[task.fence] = task
            worker.unstarted.add(task.fence)
            assigned.append((worker.name, task))
        return assigned

    def next_due_s(self, now: float) -> float | None:
        """Seconds until a worker that rests gets tasks again; None if none rests or waits."""
        rests = [one.rests_until - now for one in self._workers.values() if one.rests_until > now]
        return min(rests) if rests and self._queue else None

    def _choose(self, task: Task, now: float) -> _Worker | None:
        """The worker that is to have a task now, or None."""
        able = [
            one
            for one in self._able(now)
            if one.suspects == task.suspects and len(one.unstarted) < PREFETCH
        ]
        if task.suspects:  # not beside what the worker had before
            able = [one for one in able if _has_only(one, task.suspects)]
        return min(able, key=lambda one: one.cost(task), default=None)

    def _keep_one_free_for_suspects(self, now: float) -> None:
        """Keep a worker free for the first group of suspects, and give back others that are done.

        It is one in which they have not died, if there is one: a photograph that kills does so in
        any worker, and what dies in one worker only may be that worker's fault.
        """
        waiting = [task for task in self._queue.values() if task.suspects]
        groups = {task.suspects for task in waiting}
        for one in self._workers.values():
            if one.suspects not in groups and not one.tasks:
                one.suspects = 0
        kept = {one.suspects for one in self._workers.values() if one.suspects}
        if kept or not waiting:
            return
        group = [task for task in waiting if task.suspects == waiting[0].suspects]

        def deaths_and_pixels(one: _Worker) -> tuple[int, int]:
            died = sum(one.name in self._died_in.get(_key(task), ()) for task in group)
            return died, one.pixels

        chosen = min(self._able(now), key=deaths_and_pixels, default=None)
        if chosen is not None:
            chosen.suspects = group[0].suspects

    def _able(self, now: float) -> list[_Worker]:
        """Workers that take tasks now."""
        return [one for one in self._workers.values() if one.ready and one.rests_until <= now]

    def _remember(self, task: Task, worker: str) -> None:
        self._died_in.setdefault(_key(task), set()).add(worker)
        while len(self._died_in) > _REMEMBERED:
            self._died_in.popitem(last=False)


def models_of(task: Task) -> frozenset[str]:
    """References of the checkpoints that a task needs; networks that ship are left out."""
    models = task.job.recipe.models if isinstance(task, RestoreTask) else (task.clip,)
    return frozenset(models).difference(SHIPPED, {""})


def pixels_of(task: Task) -> int:
    """Pixels of a task's photographs, as their headers say."""
    photos = task.job.photos if isinstance(task, RestoreTask) else (task.photo,)
    return sum(photo.header.width * photo.header.height for photo in photos)


def _has_only(worker: _Worker, suspects: int) -> bool:
    return all(task.suspects == suspects for task in worker.tasks.values())


def _key(task: Task) -> str:
    """What stays the same when a task is leased again."""
    return task.job.id if isinstance(task, RestoreTask) else task.photo.digest
