import errno
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.config.station import Station
from daemon.jobs.access import Access
from daemon.jobs.copy_process import CopyQuestion
from daemon.jobs.failure_reasons import NO_REASON
from daemon.jobs.file_copies import CopyPendingError, DirectCopies
from daemon.jobs.ledger.writer import Ledger
from daemon.jobs.publication import Publication
from daemon.jobs.publisher import Publisher
from daemon.jobs.recovery import CrashRecovery
from daemon.jobs.staging import Staging
from daemon.system.errors import LedgerError, PassingError
from daemon.system.files import part_path
from daemon.system.shared_folder import copy_part
from tests.support.claims import QUEUED_AT as NOW
from tests.support.claims import claimed, leased, write_claimed
from tests.support.fakes import everything_below


@pytest.fixture
def recovery(station: Station, ledger: Ledger) -> CrashRecovery:
    for folder in (station.work, station.staged, station.logs):
        folder.mkdir(exist_ok=True)
    staging = Staging(station.staged, ledger)
    publisher = Publisher(station, ledger, Access(), attempts=3, retry_s=10)
    return CrashRecovery(station, ledger, staging, publisher, crashes=5)


def no_claims(now: float) -> None:
    """Nothing was half claimed."""


def test_what_was_in_flight_is_queued_again_and_its_staging_removed(
    station: Station, ledger: Ledger, recovery: CrashRecovery, tmp_path: Path
) -> None:
    (entry,) = leased(ledger, tmp_path, "a.jpg")
    recovery.staging.make(entry.fence).joinpath("half").touch()
    recovery.run(no_claims, NOW)
    (again,) = ledger.in_state("queued")
    assert (again.row, again.crashes, again.attempts) == (entry.row, 1, 0)
    assert list(station.staged.iterdir()) == []


def test_what_is_in_flight_at_every_end_of_the_daemon_never_fails_and_lets_others_go_first(
    ledger: Ledger, recovery: CrashRecovery, tmp_path: Path
) -> None:
    (entry,) = leased(ledger, tmp_path, "a.jpg")
    write_claimed(entry)
    waits = []
    for _ in range(60):
        delivered = recovery.run(no_claims, NOW)
        assert (delivered.done, delivered.failed) == (0, 0)
        at_once = ledger.ready("denoise", NOW, 9, NOW, alone=True)
        waits.append(0 if at_once else 1)
        (entry,) = ledger.lease([(entry.row, "job")])
    assert waits == [1, *[0] * 4, *[1] * 55]  # after the first it is no suspect yet
    assert entry.crashes == 60
    assert entry.deaths == 0


def test_what_was_in_flight_at_two_ends_of_the_daemon_runs_in_halves(
    ledger: Ledger, recovery: CrashRecovery, tmp_path: Path
) -> None:
    entries = leased(ledger, tmp_path, *(f"{n}.jpg" for n in range(3)))
    recovery.run(no_claims, NOW)
    assert [e.group for e in ledger.in_state("queued")] == [0, 0, 0]
    ledger.lease([(entry.row, "job") for entry in entries])
    recovery.run(no_claims, NOW)
    assert [e.group for e in ledger.in_state("queued")] == [1, 1, 2]


def test_a_publication_that_was_intended_is_finished_from_its_staging_folder(
    station: Station, ledger: Ledger, recovery: CrashRecovery, tmp_path: Path
) -> None:
    (entry,) = leased(ledger, tmp_path, "a.jpg")
    write_claimed(entry)
    staging = recovery.staging.make(entry.fence)
    (staging / "0.png").write_text("pixels")
    files = (("0.png", "{stem}.png", "digest"),)
    publication = Publication(tmp_path / "out", "a", "12345678", staging, files, {"job": entry.id})
    ledger.intend_publication([(entry.row, publication.dump())])
    assert recovery.run(no_claims, NOW).done == 1
    assert (tmp_path / "out/a.png").read_text() == "pixels"
    assert list(station.staged.iterdir()) == []


def test_a_copy_of_a_result_that_was_killed_is_removed(
    ledger: Ledger, recovery: CrashRecovery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, "cross-device link")

    monkeypatch.setattr("daemon.system.files.os.link", refuse)
    (entry,) = leased(ledger, tmp_path, "a.jpg")
    write_claimed(entry)
    staging = recovery.staging.make(entry.fence)
    (staging / "0.png").write_text("pixels")
    (tmp_path / "out").mkdir()
    part_path(staging / "0.png", tmp_path / "out").write_text("pix")
    files = (("0.png", "{stem}.png", "digest"),)
    publication = Publication(tmp_path / "out", "a", "12345678", staging, files, {"job": entry.id})
    ledger.intend_publication([(entry.row, publication.dump())])
    assert recovery.run(no_claims, NOW).done == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "a.png.json"]


def test_what_a_killed_writer_left_in_the_state_folder_is_removed_and_nothing_else(
    station: Station, recovery: CrashRecovery
) -> None:
    station.answers.mkdir(exist_ok=True)
    for folder in (station.state, station.answers):
        for name in (".0123456789abcdef.part", ".mine.part", "0123456789abcdef.part"):
            (folder / name).touch()
    recovery.run(no_claims, NOW)
    for folder in (station.state, station.answers):
        left = {path.name for path in folder.iterdir()}
        assert left >= {".mine.part", "0123456789abcdef.part"}
        assert ".0123456789abcdef.part" not in left


def test_a_file_that_the_ledger_does_not_know_goes_to_failed_and_a_known_one_stays(
    station: Station, ledger: Ledger, recovery: CrashRecovery
) -> None:
    (entry,) = leased(ledger, station.state, "known.jpg")
    write_claimed(entry)
    lost = station.work / "0123/unknown.jpg"
    lost.parent.mkdir()
    lost.write_text("pixels")
    recovery.run(no_claims, NOW)
    assert (station.failed / "lost/unknown.jpg").read_text() == "pixels"
    assert not lost.parent.exists()
    assert set(everything_below(station.failed / "lost")) == {
        "unknown.jpg",
        "unknown.jpg.error.json",
    }


def test_lost_originals_get_the_names_that_people_gave_them(
    station: Station, recovery: CrashRecovery
) -> None:
    lost = station.work / "0123/7-0-12-1-a.jpg"
    lost.parent.mkdir()
    lost.write_text("pixels")
    recovery.run(no_claims, NOW)
    found = everything_below(station.failed / "lost")
    assert set(found) == {"12-1-a.jpg", "12-1-a.jpg.error.json"}
    reason = json.loads(found["12-1-a.jpg.error.json"])
    assert reason["origin"] == str(station.inbox / "lost/12-1-a.jpg")
    assert reason["why"] == "found in the work folder with no entry in the ledger"


def test_lost_originals_are_copied_to_another_disk_while_the_daemon_goes_on(
    station: Station, ledger: Ledger, recovery: CrashRecovery
) -> None:
    class Pending(DirectCopies):
        def prepare(self, moves: Iterable[tuple[Path, Path]]) -> None:
            raise CopyPendingError([CopyQuestion.about(*next(iter(moves)))])

    lost = station.work / "0123/lost.jpg"
    lost.parent.mkdir()
    lost.write_text("pixels")
    copies, recovery.publisher.copies = recovery.publisher.copies, Pending()
    assert recovery.run(no_claims, NOW).failed == 0
    assert lost.exists()
    assert len(ledger.in_state("failing")) == 1
    recovery.publisher.copies = copies
    assert recovery.run(no_claims, NOW).failed == 1
    assert (station.failed / "lost/lost.jpg").read_text() == "pixels"
    assert not lost.parent.exists()


def test_what_a_killed_copy_of_a_claim_left_is_no_lost_original(
    station: Station, ledger: Ledger, recovery: CrashRecovery
) -> None:
    work = station.work / "0123"
    work.mkdir()
    claim = claimed(work)
    file = replace(claim.files[0], path=work / "0-0-a.jpg")
    ledger.intend([("denoise", replace(claim, files=(file,)), NO_REASON)])
    copy_part(file.path).write_text("pix")
    recovery.run(no_claims, NOW)
    assert not (station.failed / "lost").exists()


def test_claims_are_finished_after_leases_are_taken_back_and_before_files_count_as_lost(
    station: Station, ledger: Ledger, recovery: CrashRecovery, tmp_path: Path
) -> None:
    leased(ledger, tmp_path, "a.jpg")
    half = station.work / "0123/half.jpg"
    half.parent.mkdir()
    half.touch()

    def finish_claims(now: float) -> None:
        assert ledger.in_state("leased") == []
        half.rename(tmp_path / "taken.jpg")

    recovery.run(finish_claims, NOW)
    assert not (station.failed / "lost").exists()


@pytest.mark.parametrize(
    ("no_space", "expected"), [(True, PassingError), (False, LedgerError)], ids=["full", "locked"]
)
def test_only_a_full_disk_is_said_to_pass(
    recovery: CrashRecovery, no_space: bool, expected: type[Exception]
) -> None:
    def refuse(now: float) -> None:
        raise LedgerError("ledger.sqlite3", "refused", no_space=no_space)

    with pytest.raises(expected, match=r"ledger\.sqlite3: refused"):
        recovery.run(refuse, NOW)
