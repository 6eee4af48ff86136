"""What is known of an executor's workers, from its reports: for routing of work and the status."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace

import structlog

from daemon.messages.reports import (
    ONLY_WORKER,
    Heartbeat,
    ModelLoaded,
    TaskAssigned,
    WorkerDied,
    WorkerLost,
    WorkerReady,
    WorkerReport,
    WorkerStarts,
)

_log = structlog.get_logger()


@dataclass(frozen=True)
class WorkerState:
    """One worker.

    Attributes:
        name: Its name.
        device: Name of its device; before it is ready, what the settings say.
        ready: It takes tasks.
        models: References of the models that it has loaded.
        hopeless: Why it is no use to wait for it, or "".
        in_flight: Tasks that it has been given.
    """

    name: str
    device: str = ""
    ready: bool = False
    models: tuple[str, ...] = ()
    hopeless: str = ""
    in_flight: int = 0


class WorkerTable:
    """The workers of one executor, by name; whoever was heard of stays."""

    def __init__(self) -> None:
        self._workers: dict[str, WorkerState] = {}
        self._worker_of: dict[int, str] = {}
        self._were_ready: set[str] = set()

    def hear(self, report: WorkerReport) -> None:
        """Note what is reported of a worker."""
        one = self._workers.get(report.worker, WorkerState(report.worker))
        match report:
            case WorkerStarts():
                one = replace(one, device=report.device)
            case WorkerReady():
                self._were_ready.add(one.name)
                _log.info("worker_ready", device=report.device, worker=one.name)
                models = tuple(loaded.model for loaded in report.loaded_models)
                one = WorkerState(one.name, report.device, ready=True, models=models)
            case ModelLoaded():
                staying = [model for model in one.models if model not in report.evicted]
                one = replace(one, models=tuple(dict.fromkeys((*staying, report.reference))))
            case WorkerDied() | WorkerLost():
                if report.hopeless and not one.hopeless:
                    _log.error(
                        "no_worker",
                        why=report.reason,
                        worker=one.name,
                        what_to_do="fix the device",
                    )
                hopeless = report.reason if report.hopeless else one.hopeless
                one = replace(one, ready=False, models=(), hopeless=hopeless)
            case Heartbeat():
                pass
        self._workers[one.name] = one

    def assigned(self, report: TaskAssigned) -> None:
        """Note which worker has a task."""
        self._worker_of[report.fence] = report.worker

    def forget(self, fences: Collection[int]) -> None:
        """Forget tasks."""
        for fence in fences:
            self._worker_of.pop(fence, None)

    def of(self, fence: int) -> str:
        """Name of the worker that has a task; that of the only one unless another was reported."""
        return self._worker_of.get(fence, ONLY_WORKER)

    def busy(self, fences: Collection[int]) -> frozenset[str]:
        """Names of the workers that have some of these tasks, or are being started."""
        if not self.are_several:
            return frozenset([ONLY_WORKER] if fences else [])
        starting = (o.name for o in self._workers.values() if not o.ready and not o.hopeless)
        return frozenset([*self._worker_of.values(), *starting])

    @property
    def are_several(self) -> bool:
        """Whether there is more than one worker."""
        return len(self._workers) > 1

    @property
    def count(self) -> int:
        """Workers that can be counted on: they were ready, and may be again. At least 1."""
        hopeless = {one.name for one in self._workers.values() if one.hopeless}
        return max(1, len(self._were_ready - hopeless))

    @property
    def why_none(self) -> str:
        """Why there is no worker and none to wait for, or ""."""
        whys = [one.hopeless for one in self._workers.values()]
        return whys[0] if whys and all(whys) else ""

    @property
    def lost(self) -> tuple[WorkerState, ...]:
        """Workers for which there is no use to wait, while others work."""
        found = tuple(one for one in self._workers.values() if one.hopeless)
        return () if len(found) == len(self._workers) else found

    def states(self, fences: Collection[int]) -> tuple[WorkerState, ...]:
        """All workers, with the number of their tasks among these."""
        numbers = Counter(
            map(self.of, fences) if not self.are_several else self._worker_of.values()
        )
        return tuple(replace(one, in_flight=numbers[one.name]) for one in self._workers.values())
