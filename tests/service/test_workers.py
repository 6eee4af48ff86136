"""What the daemon knows of its executor's workers."""

import pytest

from daemon.messages.reports import (
    LoadedModel,
    ModelLoaded,
    TaskAssigned,
    WorkerDied,
    WorkerLost,
    WorkerReady,
    WorkerReport,
    WorkerStarts,
)
from daemon.service.workers import WorkerState, WorkerTable


def table(*reports: WorkerReport) -> WorkerTable:
    made = WorkerTable()
    for report in reports:
        made.hear(report)
    return made


TWO = (
    WorkerStarts("1", "auto"),
    WorkerStarts("2", "cuda:1"),
    WorkerReady("cuda:0", (LoadedModel("prior", 5),), worker="1"),
)


def test_a_worker_is_counted_on_once_it_was_ready_until_it_is_hopeless() -> None:
    workers = table(*TWO)
    assert workers.count == 1
    workers.hear(WorkerReady("cuda:1", worker="2"))
    assert workers.count == 2
    workers.hear(WorkerDied((), "signal 9", worker="2"))
    assert workers.count == 2
    workers.hear(WorkerDied((), "no driver", hopeless=True, worker="2"))
    assert (workers.count, workers.why_none) == (1, "")
    assert [(one.name, one.hopeless) for one in workers.lost] == [("2", "no driver")]
    workers.hear(WorkerLost((), "no driver either", hopeless=True, worker="1"))
    assert (workers.count, workers.why_none, workers.lost) == (1, "no driver either", ())
    workers.hear(WorkerReady("cuda:1", worker="2"))
    assert (workers.count, workers.why_none) == (1, "")


def test_states_have_devices_models_and_tasks() -> None:
    workers = table(*TWO, ModelLoaded("org/a", 1.0, 5, worker="1"))
    workers.assigned(TaskAssigned(7, "1"))
    workers.assigned(TaskAssigned(8, "1"))
    workers.forget([7])
    assert workers.states([8, 9]) == (
        WorkerState("1", "cuda:0", ready=True, models=("prior", "org/a"), in_flight=1),
        WorkerState("2", "cuda:1"),
    )
    assert workers.of(8) == "1"


def test_the_only_worker_has_all_tasks() -> None:
    workers = table(WorkerReady("cpu"))
    (state,) = workers.states([1, 2, 3])
    assert state.in_flight == 3
    assert workers.of(1) == "1"
    assert workers.busy([1]) == {"1"}
    assert workers.busy([]) == frozenset()


@pytest.mark.parametrize(
    ("last", "busy"),
    [
        (WorkerStarts("2", "cuda:1"), {"1", "2"}),  # it is to be ready soon
        (WorkerReady("cuda:1", worker="2"), {"1"}),
        (WorkerDied((), "no driver", hopeless=True, worker="2"), {"1"}),
    ],
)
def test_those_with_tasks_and_those_that_start_must_report(
    last: WorkerReport, busy: set[str]
) -> None:
    workers = table(*TWO, last)
    workers.assigned(TaskAssigned(7, "1"))
    assert workers.busy([7, 8]) == busy
