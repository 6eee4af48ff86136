import os
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.config.content_features import COLOUR, Feature
from daemon.config.station import Notice
from daemon.jobs.failure_reasons import NO_REASON, Reason
from daemon.jobs.ledger.entries import Waiting
from daemon.jobs.ledger.reader import LedgerReader
from daemon.jobs.ledger.writer import Ledger
from daemon.system.disk_space import is_no_space
from daemon.system.errors import ConfigError, LedgerError
from tests.support.claims import QUEUED_AT as NOW
from tests.support.claims import claimed, leased, queued
from tests.support.ledgers import vm_steps


def ready(ledger: Ledger, now: float = NOW, *, alone: bool = False) -> tuple[int, ...]:
    return ledger.ready("denoise", now, 5, now, alone=alone)


def test_an_entry_comes_back_as_it_was_recorded(ledger: Ledger, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9 \xff.jpg")
    (entry,) = queued(ledger, tmp_path, name)
    assert entry.claim == claimed(tmp_path, name)
    assert (entry.state, entry.recipe, entry.queued_at) == ("queued", "denoise", NOW)


def test_every_lease_has_a_fence_never_used_before(ledger: Ledger, tmp_path: Path) -> None:
    one, two = leased(ledger, tmp_path, "a.jpg", "b.jpg")
    ledger.requeue(one.row)
    (again,) = ledger.lease([(one.row, "job")])
    assert one.fence < two.fence < again.fence
    assert ledger.leased(one.fence) is None
    found = ledger.leased(again.fence)
    assert found is not None
    assert found.row == one.row


def test_only_queued_rows_can_be_leased(ledger: Ledger, tmp_path: Path) -> None:
    (entry,) = leased(ledger, tmp_path, "a.jpg")
    (same,) = ledger.lease([(entry.row, "other")])
    assert same.fence == entry.fence
    assert same.id == entry.id


def test_a_passing_fault_counts_and_waits(ledger: Ledger, tmp_path: Path) -> None:
    (entry,) = leased(ledger, tmp_path, "a.jpg")
    ledger.requeue(entry.row, not_before=NOW + 10, attempt=1)
    assert ready(ledger, NOW + 9) == ()
    (again,) = ledger.entries(ready(ledger, NOW + 10))
    assert (again.attempts, again.deaths, again.group) == (1, 0, 0)


def test_suspects_have_a_group_keep_it_and_are_not_in_the_queue(
    ledger: Ledger, tmp_path: Path
) -> None:
    one, two, three, four = leased(ledger, tmp_path, "a.jpg", "b.jpg", "c.jpg", "d.jpg")
    ledger.suspect([[one.row, two.row], [three.row]])
    ledger.requeue(four.row)
    assert ready(ledger, alone=True) == (one.row, two.row, three.row)
    assert ready(ledger) == (four.row,)
    assert [entry.group for entry in ledger.in_state("queued")] == [1, 1, 2, 0]
    assert ledger.queued_between("denoise", 0, NOW) == 4
    ledger.lease([(one.row, "job"), (three.row, "other")])
    ledger.requeue(one.row, attempt=1)
    ledger.suspect([[three.row]], death=1)
    assert [(e.group, e.attempts, e.deaths) for e in ledger.in_state("queued")] == [
        (1, 1, 0),
        (1, 0, 0),
        (3, 0, 1),
        (0, 0, 0),
    ]


def test_a_published_result_is_found_by_the_id_of_its_job(ledger: Ledger, tmp_path: Path) -> None:
    (entry,) = leased(ledger, tmp_path, "a.jpg")
    assert ledger.published_result(entry.id, tmp_path) is None
    assert ledger.is_in_flight(entry.id)
    ledger.intend_publication([(entry.row, "{}")])
    assert ledger.publishing(entry.fence)
    result = tmp_path / os.fsdecode(b"\xe9.png")
    ledger.publish([(entry.row, entry.id, result)])
    ledger.end([(entry.row, None)], "done", NOW)
    assert ledger.published_result(entry.id, tmp_path) == result
    assert ledger.published_result(entry.id, tmp_path / "another outbox") is None
    assert not ledger.is_in_flight(entry.id)
    assert ledger.open_jobs() == 0


def test_originals_left_in_place_count_as_taken_until_they_change(
    ledger: Ledger, tmp_path: Path
) -> None:
    claim = claimed(tmp_path, originals="leave")
    (entry,) = ledger.intend([("denoise", claim, NO_REASON)])
    path = claim.files[0].path
    assert not ledger.was_taken(path, 7, 99)
    ledger.queue([(entry.row, claim, NO_REASON)], NOW)
    assert ledger.was_taken(path, 7, 99)
    assert not ledger.was_taken(path, 7, 100)
    ledger.forget_taken([path])
    assert not ledger.was_taken(path, 7, 99)


def test_counts_failures_and_notices_are_reported(ledger: Ledger, tmp_path: Path) -> None:
    one, two, _ = leased(ledger, tmp_path, "a.jpg", "b.jpg", "c.jpg")
    ledger.fail([(one.row, Reason("it ends early"))])
    ledger.end([(one.row, tmp_path / "bad" / "a.jpg")], "failed", NOW + 1)
    ledger.publish([(two.row, two.id, tmp_path / "out" / "b.png")])
    ledger.end([(two.row, None)], "done", NOW + 2)
    (count,) = ledger.counts()
    assert (count.recipe, count.queued, count.in_flight, count.done, count.failed) == (
        "denoise", 0, 1, 1, 1,
    )  # fmt: skip
    (failure,) = ledger.failures(10)
    assert (failure.path, failure.reason) == (tmp_path / "bad" / "a.jpg", "it ends early")
    assert ledger.finished_since(NOW) == (1, NOW + 2)
    ledger.set_notices([Notice(Path("x-a.jpg"), "waits for its other half", NOW)])
    assert ledger.notices() == (Notice(Path("x-a.jpg"), "waits for its other half", NOW),)


def test_an_intent_that_came_to_nothing_is_removed(ledger: Ledger, tmp_path: Path) -> None:
    (entry,) = ledger.intend([("denoise", claimed(tmp_path), NO_REASON)])
    assert ledger.claimed_paths() == {tmp_path / "work" / "scan.jpg"}
    ledger.forget([entry.row])
    assert ledger.in_state("claiming") == []


def test_a_failed_transaction_leaves_no_trace(ledger: Ledger, tmp_path: Path) -> None:
    (entry,) = queued(ledger, tmp_path, "a.jpg")

    def broken() -> object:
        yield (entry.row, replace(entry.claim, stem="other"), NO_REASON)
        raise KeyError

    with pytest.raises(KeyError):
        ledger.queue(broken(), NOW + 5)  # type: ignore[arg-type]
    (same,) = ledger.entries([entry.row])
    assert same.claim.stem == "scan"


def test_a_query_of_every_turn_reaches_sqlite_once_between_two_changes(
    ledger: Ledger, tmp_path: Path
) -> None:
    (entry,) = queued(ledger, tmp_path, "a.jpg")

    def ask() -> None:
        assert len(ledger.in_state("queued")) == 1
        assert ledger.recipes_queued() == ("denoise",)

    assert vm_steps(ledger, ask) > 0
    assert vm_steps(ledger, ask) == 0
    ledger.lease([(entry.row, "job")])
    assert ledger.in_state("queued") == []
    assert ledger.recipes_queued() == ()


def test_a_change_that_failed_is_not_remembered(ledger: Ledger, tmp_path: Path) -> None:
    entries = queued(ledger, tmp_path, "a.jpg")
    with pytest.raises(KeyError), ledger.transaction() as db:
        db.execute("UPDATE job SET state = 'held'")
        assert ledger.in_state("queued") == []
        raise KeyError
    assert ledger.in_state("queued") == entries


def test_a_reader_sees_what_the_daemon_has_changed_since(ledger: Ledger, tmp_path: Path) -> None:
    with closing(LedgerReader(tmp_path / "ledger.sqlite3")) as reader:
        assert reader.in_state("queued") == []
        entries = queued(ledger, tmp_path, "a.jpg")
        assert reader.in_state("queued") == entries


def test_a_change_of_no_rows_is_no_transaction(ledger: Ledger) -> None:
    traced: list[str] = []
    ledger._db._connection.set_trace_callback(traced.append)
    ledger.queue([], NOW)
    ledger.forget([])
    ledger.intend_publication([])
    ledger.publish([])
    ledger.fail([])
    ledger.end([], "done", NOW)
    assert ledger.intend([]) == ledger.lease([]) == []
    assert traced == []


def test_a_file_that_is_no_ledger_is_a_configuration_error(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    path.write_text("this is no database at all, " * 100)
    with pytest.raises(ConfigError, match="the ledger cannot be opened"):
        Ledger(path)


def test_a_full_disk_is_reported_and_the_change_is_not_made(ledger: Ledger, tmp_path: Path) -> None:
    entries = queued(ledger, tmp_path, "a.jpg")
    pages = ledger.select("PRAGMA page_count")[0][0]
    ledger.select(f"PRAGMA max_page_count = {pages}")  # SQLite itself then says that it is full
    with pytest.raises(LedgerError) as refused:
        ledger.fail([(entries[0].row, Reason("x" * 100_000))])
    assert refused.value.no_space
    assert is_no_space(refused.value)
    assert str(refused.value) == f"{tmp_path}/ledger.sqlite3: database or disk is full"
    assert ledger.in_state("queued") == entries


def test_a_ledger_that_another_program_has_locked_is_reported(
    ledger: Ledger, tmp_path: Path
) -> None:
    (entry,) = queued(ledger, tmp_path, "a.jpg")
    ledger.select("PRAGMA busy_timeout = 0")
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite3", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerError, match="database is locked; end the other program") as held:
            ledger.count_attempt(entry.row)
    assert not is_no_space(held.value)
    ledger.count_attempt(entry.row)


def test_a_wrong_statement_is_a_bug_and_no_fault_of_the_disk(ledger: Ledger) -> None:
    with pytest.raises(sqlite3.OperationalError, match="no such table: nowhere"):
        ledger.select("SELECT * FROM nowhere")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
@pytest.mark.parametrize("daemon_runs", [True, False])
def test_another_user_of_the_group_can_read_it(
    tmp_path: Path, ledger: Ledger, daemon_runs: bool
) -> None:
    queued(ledger, tmp_path, "a.jpg")
    if not daemon_runs:
        ledger.close()
    group = 12345
    for folder in (tmp_path, *tmp_path.parents):
        if folder == Path(tempfile.gettempdir()):
            break
        os.chown(folder, -1, group)
        folder.chmod(0o750)
    for path in tmp_path.glob("ledger*"):
        os.chown(path, -1, group)
        path.chmod(0o640)
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:  # its interpreter is loaded already, whoever may read it
        os.setgroups([])
        os.setgid(group)
        os.setuid(65534)
        counts = LedgerReader(tmp_path / "ledger.sqlite3").counts()
        os.write(tell, str(counts[0].queued).encode())
        os._exit(0)
    os.close(tell)
    os.waitpid(child, 0)
    with os.fdopen(told) as answer:
        assert answer.read() == "1"


def test_waiting_jobs_are_counted_by_recipe_with_the_age_of_the_oldest(
    ledger: Ledger, tmp_path: Path
) -> None:
    assert ledger.waiting(NOW) == ()
    leased(ledger, tmp_path, "leased.jpg")
    queued(ledger, tmp_path, "a.jpg")
    (later,) = ledger.intend([("denoise", claimed(tmp_path, "b.jpg"), NO_REASON)])
    (other,) = ledger.intend([("", claimed(tmp_path, "c.jpg"), NO_REASON)])
    ledger.queue([(e.row, e.claim, NO_REASON) for e in (later, other)], NOW + 50)
    assert ledger.waiting(NOW + 60) == (Waiting("", 1, 10), Waiting("denoise", 2, 60))


def test_the_queries_of_a_lease_cost_the_same_however_many_jobs_are_done(
    ledger: Ledger, tmp_path: Path
) -> None:
    """A station of some months has a hundred thousand finished rows."""

    def ask() -> None:
        assert ledger.published_result("job-1", tmp_path) is None
        assert not ledger.is_in_flight("job-1")
        assert ledger.leased(1) is None
        assert not ledger.publishing(1)

    before = vm_steps(ledger, ask)
    entries = queued(ledger, tmp_path, *(f"{number}.jpg" for number in range(300)))
    others = ledger.lease([(e.row, f"other-{e.row}") for e in entries])
    ledger.publish([(e.row, e.id, tmp_path / "r") for e in others[1:200]])
    ledger.end([(e.row, None) for e in others[1:200]], "done", NOW)
    ledger.requeue(others[0].row)
    assert vm_steps(ledger, ask) < before + 100


def test_answers_of_another_clip_model_do_not_count(ledger: Ledger) -> None:
    portrait = Feature("likeness", "a portrait")
    ledger.remember("photo", [(COLOUR, 3.0), (portrait, 21.5)], clip_digest="one")
    assert ledger.answers("photo", clip_digest="one") == {COLOUR: 3.0, portrait: 21.5}
    assert ledger.answers("photo", clip_digest="two") == {COLOUR: 3.0}
    assert ledger.answers("other", clip_digest="one") == {}
    ledger.remember("photo", [(portrait, 4.0)], clip_digest="two")
    assert ledger.answers("photo", clip_digest="two") == {COLOUR: 3.0, portrait: 4.0}
    assert ledger.answers("photo", clip_digest="one") == {COLOUR: 3.0, portrait: 21.5}
