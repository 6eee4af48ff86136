"""Reports: frozen and picklable, as they are sent between processes."""

import dataclasses
import pickle
from pathlib import Path

import pytest

from daemon.messages.reports import (
    BATCH_SIZE_BOUNDS,
    BatchCounts,
    Failed,
    HandedBack,
    Heartbeat,
    Inspected,
    LoadedModel,
    Measure,
    ModelLoaded,
    Rejected,
    Report,
    Restored,
    StagedFile,
    TaskAssigned,
    Timing,
    WorkerDied,
    WorkerLost,
    WorkerReady,
    WorkerStarts,
    fences_of,
)
from daemon.photo import Prompt
from daemon.photo.notes import Note, NoteKind

PROMPT = Prompt("a lighthouse", "fog", 7)
FILE = StagedFile(Path("0.png"), "{stem}.png", "digest", 8, 6, PROMPT)
NOTE = Note(NoteKind.DEPTH, "read 8 of 16 bits")
REPORTS: list[Report] = [
    Restored(1, (FILE,), (Measure(0, "sigma", 2.5),), (NOTE,), Timing(1, 2, 3, 4, 5, 6), "cpu"),
    Inspected(2, (0.5, 12.0)),
    Rejected(3, "0.png", "it ends early", "copy it again", truncated=True),
    Failed(4, "KeyError", trace="Traceback"),
    HandedBack((5, 6)),
    WorkerDied((7,), "was killed by SIGKILL", hopeless=True),
    WorkerLost((8, 9), "gpu7 has not answered for 30 s", worker="2"),
    WorkerStarts("2", "cuda:1"),
    WorkerReady("cpu", (LoadedModel("prior", 9),)),
    TaskAssigned(8, "2"),
    Heartbeat(BatchCounts(calls=3), (LoadedModel("prior", 9),)),
    ModelLoaded("org/model", 1.5, 9, ("prior",)),
]


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: type(report).__name__)
def test_a_report_is_frozen_and_survives_the_pipe(report: Report) -> None:
    assert pickle.loads(pickle.dumps(report)) == report
    field = dataclasses.fields(report)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(report, field, None)


def test_a_rejection_gives_its_reason_in_one_line() -> None:
    rejected = Rejected(3, "0.png", "it ends early", "copy it again")
    assert rejected.reason == "0.png: it ends early; copy it again"


def test_every_kind_of_report_is_tested() -> None:
    assert {type(report) for report in REPORTS} == set(Report.__args__)


def test_a_report_names_the_fences_of_the_tasks_that_it_ends() -> None:
    assert [fences_of(report) for report in REPORTS] == [
        (1,), (2,), (3,), (4,), (5, 6), (7,), (8, 9), (), (), (), (), (),
    ]  # fmt: skip


def test_there_is_a_count_for_every_batch_size_and_one_for_larger_ones() -> None:
    assert len(BatchCounts().batches) == len(BATCH_SIZE_BOUNDS) + 1
