import os
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.config.content_features import COLOUR
from daemon.config.recipe import SHIPPED_RECIPES, load_recipes, recipe_named
from daemon.jobs.failure_reasons import NO_REASON, Reason
from daemon.jobs.ledger.entries import Entry, photo_of
from daemon.jobs.ledger.writer import Ledger
from daemon.jobs.outcomes import OutcomePolicy, RetryPolicy
from daemon.jobs.staging import Staging
from daemon.messages.reports import Failed, Inspected, Rejected, WorkerDied
from daemon.messages.tasks import InspectTask, Job, RestoreTask
from tests.support.claims import QUEUED_AT as NOW
from tests.support.claims import leased, write_claimed
from tests.support.fakes import everything_below, restored

RETRIES = RetryPolicy(attempts=3, retry_s=10, arriving_s=30)


@pytest.fixture
def staging(tmp_path: Path, ledger: Ledger) -> Staging:
    (tmp_path / "staged").mkdir()
    return Staging(tmp_path / "staged", ledger)


@pytest.fixture
def outcomes(ledger: Ledger, staging: Staging) -> OutcomePolicy:
    return OutcomePolicy(ledger, staging, RETRIES)


@pytest.fixture
def entry(tmp_path: Path, ledger: Ledger) -> Entry:
    """A leased job whose photograph lies in the work folder."""
    (entry,) = leased(ledger, tmp_path, "a.jpg")
    write_claimed(entry)
    return entry


def task_of(entry: Entry, staging: Staging) -> RestoreTask:
    recipe = recipe_named("denoise", load_recipes([SHIPPED_RECIPES]))
    photos = tuple(photo_of(file) for file in entry.claim.photos)
    return RestoreTask(
        Job(entry.id, recipe, photos, "a", 1, ("digest", "another")),
        entry.fence,
        staging.make(entry.fence),
    )


def ready(ledger: Ledger, now: float) -> tuple[int, ...]:
    return ledger.ready("denoise", now, 9, now, alone=False)


def test_a_result_is_recorded_as_an_intent_and_nothing_is_published_yet(
    tmp_path: Path, ledger: Ledger, staging: Staging, outcomes: OutcomePolicy, entry: Entry
) -> None:
    task = task_of(entry, staging)
    decided = outcomes.decide([(task, restored(task))], NOW)
    assert [e.row for e in ledger.in_state("publishing")] == [entry.row]
    assert {stage.stage for stage in decided.durations} == {"decode", "restore", "device", "encode"}
    assert set(everything_below(tmp_path / "staged")) == {f"{entry.fence}/0.png"}
    assert not (tmp_path / "out").exists()


def test_what_a_stale_lease_staged_is_removed_and_nothing_else_happens(
    tmp_path: Path, ledger: Ledger, staging: Staging, outcomes: OutcomePolicy, entry: Entry
) -> None:
    task = task_of(entry, staging)
    outcome = restored(task)
    ledger.requeue(entry.row)
    decided = outcomes.decide([(task, outcome)], NOW)
    assert (decided.durations, decided.failures, decided.changed) == ([], [], [])
    assert [e.row for e in ledger.in_state("queued")] == [entry.row]
    assert everything_below(tmp_path / "staged") == {}


def test_a_photograph_that_changed_meanwhile_is_queued_again_and_told(
    tmp_path: Path, ledger: Ledger, staging: Staging, outcomes: OutcomePolicy, entry: Entry
) -> None:
    task = task_of(entry, staging)
    outcome = restored(task)
    os.utime(entry.claim.files[0].path)
    decided = outcomes.decide([(task, outcome)], NOW)
    assert [e.row for e in decided.changed] == [entry.row]
    assert [e.row for e in ledger.in_state("queued")] == [entry.row]
    assert everything_below(tmp_path / "staged") == {}


def test_answers_are_remembered_and_the_photograph_is_queued_for_its_recipe(
    ledger: Ledger, outcomes: OutcomePolicy, entry: Entry
) -> None:
    task = InspectTask(photo_of(entry.claim.files[0]), (COLOUR,), entry.fence)
    outcomes.decide([(task, Inspected(entry.fence, (3.0,)))], NOW)
    assert ledger.answers("digest", clip_digest="") == {COLOUR: 3.0}
    assert ready(ledger, NOW) == (entry.row,)


def test_a_photograph_at_fault_fails_with_its_reason(
    ledger: Ledger, staging: Staging, outcomes: OutcomePolicy, entry: Entry
) -> None:
    rejected = Rejected(entry.fence, "a.png", "is grey", "use colorize")
    decided = outcomes.decide([(task_of(entry, staging), rejected)], NOW)
    assert decided.at_fault == {entry.row}
    assert [str(e.reason) for e in ledger.in_state("failing")] == ["a.png: is grey; use colorize"]
    assert [e.reason.remedy for e in ledger.in_state("failing")] == ["use colorize"]


def test_a_file_that_ends_early_is_waited_for_while_it_may_still_arrive(
    ledger: Ledger, staging: Staging, outcomes: OutcomePolicy, entry: Entry
) -> None:
    files = (replace(entry.claim.files[0], mtime_ns=int(NOW * 1e9)),)
    ledger.queue([(entry.row, replace(entry.claim, files=files), NO_REASON)], NOW)
    (young,) = ledger.lease([(entry.row, "job")])
    write_claimed(young)
    early = Rejected(young.fence, "a.png", "ends early", truncated=True)
    outcomes.decide([(task_of(young, staging), early)], NOW + 29)
    assert ready(ledger, NOW + 38) == ()
    assert ready(ledger, NOW + 39) == (entry.row,)
    (old,) = ledger.lease([(entry.row, "job")])
    early = Rejected(old.fence, "a.png", "ends early", truncated=True)
    assert outcomes.decide([(task_of(old, staging), early)], NOW + 31).at_fault == {entry.row}


def test_a_file_that_ends_early_fails_in_time_although_the_clock_is_put_back_meanwhile(
    ledger: Ledger, staging: Staging, outcomes: OutcomePolicy, entry: Entry
) -> None:
    ledger.requeue(entry.row)
    files = (replace(entry.claim.files[0], mtime_ns=int(NOW * 1e9)),)
    ledger.queue([(entry.row, replace(entry.claim, files=files), NO_REASON)], NOW)
    (entry,) = ledger.lease([(entry.row, "job")])
    write_claimed(entry)
    back = NOW - 86400
    ledger.clock_was_put_back(back)  # while it is in flight
    early = Rejected(entry.fence, "a.png", "ends early", truncated=True)
    assert outcomes.decide([(task_of(entry, staging), early)], back).at_fault == set()
    (entry,) = ledger.lease([(entry.row, "job")])
    early = Rejected(entry.fence, "a.png", "ends early", truncated=True)
    decided = outcomes.decide([(task_of(entry, staging), early)], back + 31)
    assert decided.at_fault == {entry.row}


def test_a_passing_fault_is_retried_after_a_wait_that_doubles_and_fails_in_the_end(
    ledger: Ledger, staging: Staging, outcomes: OutcomePolicy, entry: Entry
) -> None:
    for wait_s in (10, 20):
        failed = Failed(entry.fence, "the device was lost", passing=True)
        outcomes.decide([(task_of(entry, staging), failed)], NOW)
        assert ready(ledger, NOW + wait_s - 1) == ()
        assert ready(ledger, NOW + wait_s) == (entry.row,)
        (entry,) = ledger.lease([(entry.row, "job")])
    failed = Failed(entry.fence, "the device was lost", passing=True)
    outcomes.decide([(task_of(entry, staging), failed)], NOW)
    assert [str(e.reason) for e in ledger.in_state("failing")] == ["the device was lost"]


def test_a_full_disk_is_nobodys_fault_and_counts_as_no_try(
    ledger: Ledger, staging: Staging, outcomes: OutcomePolicy, entry: Entry
) -> None:
    full = Failed(entry.fence, "no space left", passing=True, no_space=True)
    assert outcomes.decide([(task_of(entry, staging), full)], NOW).no_space
    (again,) = ledger.entries(ready(ledger, NOW + 10))
    assert again.attempts == 0


def test_a_bug_fails_at_once_with_its_traceback(
    ledger: Ledger, staging: Staging, outcomes: OutcomePolicy, entry: Entry
) -> None:
    failed = Failed(entry.fence, "KeyError: 'x'", trace="Traceback")
    decided = outcomes.decide([(task_of(entry, staging), failed)], NOW)
    assert decided.failures == [(entry.row, Reason("KeyError: 'x'\nTraceback"))]
    assert decided.at_fault == set()


def test_what_is_alone_at_the_third_death_of_a_worker_fails(
    ledger: Ledger, outcomes: OutcomePolicy, entry: Entry
) -> None:
    for _ in range(2):
        outcomes.died(WorkerDied((entry.fence,), "signal 9"), NOW)
        assert ledger.ready("denoise", NOW, 9, NOW, alone=True) == (entry.row,)
        (entry,) = ledger.lease([(entry.row, "job")])
    outcomes.died(WorkerDied((entry.fence,), "signal 9"), NOW)
    assert [str(e.reason) for e in ledger.in_state("failing")] == [
        "the worker process died 3 times with this photograph: signal 9"
    ]


def test_what_was_in_flight_with_others_loses_no_attempt_and_runs_again_with_half_of_them(
    tmp_path: Path, ledger: Ledger, outcomes: OutcomePolicy
) -> None:
    entries = leased(ledger, tmp_path, *(f"{n}.jpg" for n in range(5)))
    outcomes.died(WorkerDied(tuple(e.fence for e in entries), "signal 11"), NOW)
    again = ledger.in_state("queued")
    assert [(e.group, e.deaths, e.attempts) for e in again] == [
        *[(1, 0, 0)] * 3,
        *[(2, 0, 0)] * 2,
    ]


def test_workers_that_are_killed_from_outside_never_fail_a_photograph(
    ledger: Ledger, outcomes: OutcomePolicy, entry: Entry
) -> None:
    for _ in range(30):
        outcomes.died(WorkerDied((entry.fence,), "SIGKILL", outside=True), NOW)
        (entry,) = ledger.lease([(entry.row, "job")])
    assert (entry.state, entry.deaths, entry.attempts) == ("leased", 0, 0)
    assert "the last time: SIGKILL" in outcomes.deaths.why_waiting(NOW)


def test_what_is_handed_back_is_queued_as_it_was(
    tmp_path: Path, ledger: Ledger, staging: Staging, outcomes: OutcomePolicy, entry: Entry
) -> None:
    restored(task_of(entry, staging))
    outcomes.requeue([entry.fence])
    (again,) = ledger.entries(ready(ledger, NOW))
    assert (again.attempts, again.deaths, again.crashes) == (0, 0, 0)
    assert everything_below(tmp_path / "staged") == {}
