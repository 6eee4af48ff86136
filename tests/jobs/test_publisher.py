import errno
import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from daemon.config.station import Station
from daemon.jobs.access import Access
from daemon.jobs.accounting import JobEnded
from daemon.jobs.failure_reasons import Reason
from daemon.jobs.ledger import originals, retention
from daemon.jobs.ledger.entries import Entry, NoteCounts
from daemon.jobs.ledger.writer import Ledger
from daemon.jobs.publication import Publication
from daemon.jobs.publisher import Publisher
from daemon.photo.notes import NoteKind
from daemon.system import files
from daemon.system.disk_probe import DiskProbe
from daemon.system.text import same_name
from tests.support.claims import QUEUED_AT as NOW
from tests.support.claims import leased, write_claimed
from tests.support.waiting import wait_for

RETRY_S = 10


@pytest.fixture
def publisher(station: Station, ledger: Ledger) -> Publisher:
    station.logs.mkdir(exist_ok=True)
    return Publisher(station, ledger, Access(), attempts=2, retry_s=RETRY_S)


@pytest.fixture
def entry(tmp_path: Path, ledger: Ledger) -> Entry:
    """A leased job whose photograph lies in the work folder."""
    (entry,) = leased(ledger, tmp_path, "a.jpg")
    write_claimed(entry)
    return entry


def intend(
    ledger: Ledger,
    entry: Entry,
    folder: Path,
    said: Mapping[str, object] | None = None,
    below: str = "out",
) -> None:
    """Stage a result and intend its publication."""
    staging = folder / "staged"
    staging.mkdir()
    (staging / "0.png").write_text("pixels")
    files = (("0.png", "{stem}.png", "digest"),)
    record = {"job": entry.id, **(said or {})}
    publication = Publication(folder / below, "a", "12345678", staging, files, record)
    ledger.intend_publication([(entry.row, publication.dump())])


def test_without_intents_nothing_is_done(publisher: Publisher) -> None:
    delivered = publisher.finish(NOW)
    assert (delivered.ended, delivered.durations, delivered.no_space) == ((), (), False)


def test_an_intent_ends_with_the_result_published_and_the_original_archived(
    tmp_path: Path, ledger: Ledger, publisher: Publisher, entry: Entry
) -> None:
    intend(ledger, entry, tmp_path)
    delivered = publisher.finish(NOW)
    assert delivered.ended == (JobEnded("denoise", "restored"),)
    assert [stage.stage for stage in delivered.durations] == ["publish"]
    assert (tmp_path / "out/a.png").read_text() == "pixels"
    assert (tmp_path / "old/denoise/a.jpg").exists()
    assert not (tmp_path / "staged").exists()
    assert ledger.open_jobs() == 0


def test_notes_of_a_result_go_to_the_log_and_are_counted_by_kind_in_the_ledger(
    tmp_path: Path, ledger: Ledger, publisher: Publisher, entry: Entry
) -> None:
    said = {"notes": ["16-bit written as 8-bit", "odd"], "note_kinds": ["depth", "later"]}
    intend(ledger, entry, tmp_path, said)
    with capture_logs() as logged:
        publisher.finish(NOW)
    (line,) = [one for one in logged if one["event"] == "restored"]
    assert line["notes"] == said["notes"]
    counts = ledger.note_counts()
    assert (counts.results, dict(counts.kinds)) == (1, {NoteKind.DEPTH: 1, NoteKind.OTHER: 1})
    assert counts.describe() == "1 result has notes: other bits than the file (1), other (1)"
    assert ledger.notes([entry.row, 99]) == {entry.row: tuple(said["notes"])}
    retention.forget(ledger, retention.expired(ledger, NOW + 1, None, 9), [])
    assert ledger.note_counts().results == 1, "its original is still in the archive"
    originals.remove(ledger, originals.originals_of(ledger, entry.row))
    retention.forget(ledger, retention.expired(ledger, NOW + 1, None, 9), [])
    assert ledger.note_counts() == NoteCounts()


def test_a_result_without_notes_logs_none(
    tmp_path: Path, ledger: Ledger, publisher: Publisher, entry: Entry
) -> None:
    intend(ledger, entry, tmp_path)
    with capture_logs() as logged:
        publisher.finish(NOW)
    assert "notes" not in logged[-1]
    assert ledger.note_counts().describe() == ""


@pytest.mark.parametrize("in_the_way", ["out", "out/denoise"])
def test_a_result_that_cannot_be_published_is_tried_again_and_fails_in_the_end(
    tmp_path: Path, ledger: Ledger, publisher: Publisher, entry: Entry, in_the_way: str
) -> None:
    (tmp_path / in_the_way).parent.mkdir(exist_ok=True)
    (tmp_path / in_the_way).write_text("in the way")
    intend(ledger, entry, tmp_path, below=in_the_way)
    assert publisher.finish(NOW).ended == ()
    assert publisher.finish(NOW + RETRY_S - 1).ended == ()
    (notice,) = publisher.notices()
    assert notice.path == tmp_path / "in/denoise/a.jpg"
    said = "a file is where a folder must be"
    assert notice.what == f"{said}: {tmp_path / in_the_way}; it is tried again"
    assert publisher.finish(NOW + RETRY_S).ended == (JobEnded("denoise", "failed"),)
    reason = json.loads((tmp_path / "bad/denoise/a.jpg.error.json").read_text())
    assert reason["why"] == f"the result could not be published: {tmp_path / in_the_way}: {said}"
    assert reason["remedy"] == "move that file away, then retry"
    assert publisher.notices() == ()


def test_a_result_waits_for_a_disk_that_does_not_answer_and_others_go_on(
    tmp_path: Path, ledger: Ledger, publisher: Publisher, entry: Entry
) -> None:
    back = threading.Event()
    hung = tmp_path / "out"
    publisher.disks = DiskProbe(lambda f: back.wait(60) if f == hung else None, wait_s=0.05)
    intend(ledger, entry, tmp_path)
    (other,) = leased(ledger, tmp_path, "b.jpg")
    write_claimed(other)
    ledger.publish([(other.row, other.id, tmp_path / "b.png")])
    for turn in range(9):
        ended = publisher.finish(NOW + 100 * turn).ended
        assert len(ended) == (1 if turn == 0 else 0)
    assert not hung.exists()
    (notice,) = publisher.notices()
    assert notice.path == hung
    assert notice.what.startswith("its disk does not answer; 1 photograph waits for it")
    back.set()
    wait_for(lambda: publisher.disks.answers(hung), "the disk")
    assert len(publisher.finish(NOW + 2000).ended) == 1
    assert (hung / "a.png").exists()


def test_an_original_that_cannot_be_archived_holds_up_no_other_and_is_tried_again(
    tmp_path: Path, ledger: Ledger, publisher: Publisher, entry: Entry
) -> None:
    (tmp_path / "old").write_text("in the way")
    (other,) = leased(ledger, tmp_path, "b.jpg")
    write_claimed(other)
    ledger.publish([(entry.row, entry.id, tmp_path / "a.png")])
    ledger.fail([(other.row, Reason("it is grey"))])
    assert publisher.finish(NOW, {other.row}).ended == (JobEnded("denoise", "rejected"),)
    (tmp_path / "old").unlink()
    assert publisher.finish(NOW + RETRY_S).ended == (JobEnded("denoise", "restored"),)
    assert (tmp_path / "old/denoise/a.jpg").exists()


def test_a_reason_file_has_the_remedy_for_itself_and_people_are_told_both(
    tmp_path: Path, ledger: Ledger, publisher: Publisher, entry: Entry
) -> None:
    reason = Reason("a.jpg: it is grey", "use colorize")
    ledger.fail([(entry.row, reason)])
    publisher.finish(NOW, {entry.row})
    written = json.loads((tmp_path / "bad/denoise/a.jpg.error.json").read_text())
    assert (written["why"], written["remedy"]) == (reason.why, reason.remedy)
    (failure,) = ledger.failures(-1)
    assert failure.reason == "a.jpg: it is grey; use colorize"


AWAY = [
    *(errno.EROFS, errno.EIO, errno.ESTALE, errno.EACCES, errno.ENOTCONN, errno.ETIMEDOUT),
]


def refuse(monkeypatch: pytest.MonkeyPatch, folder: Path, code: int) -> None:
    """Have the file system refuse every folder below one."""
    real = files.make_folder

    def make_folder(wanted: Path, group: int | None = None) -> None:
        if wanted.is_relative_to(folder):
            raise OSError(code, os.strerror(code), str(wanted))
        real(wanted, group)

    for module in ("publication", "originals", "case_folding"):
        monkeypatch.setattr(f"daemon.jobs.{module}.make_folder", make_folder)
    monkeypatch.setattr("daemon.system.files.make_folder", make_folder)


@pytest.mark.parametrize("code", AWAY, ids=errno.errorcode.get)
@pytest.mark.parametrize("name", ["out", "old", "bad"])
def test_a_folder_that_is_away_is_waited_for_with_back_off_and_loses_nothing(
    tmp_path: Path,
    ledger: Ledger,
    publisher: Publisher,
    entry: Entry,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    name: str,
) -> None:
    if name == "bad":
        ledger.fail([(entry.row, Reason("it is grey"))])
    else:
        intend(ledger, entry, tmp_path)
    now = NOW
    with monkeypatch.context() as patch:
        refuse(patch, tmp_path / name, code)
        for wait_s in (10, 20, 40, 60, 60, 60):
            assert publisher.finish(now).ended == ()
            assert publisher.finish(now + wait_s - 1).ended == ()
            (notice,) = publisher.notices()
            assert notice.path == tmp_path / name
            said = "1 photograph waits for it; it is tried again"
            assert notice.what == f"{os.strerror(code)}; {said}"
            now += wait_s
        assert publisher.given_up(now) == 1
        assert publisher.held_up(now).startswith(f"{tmp_path / name}: {os.strerror(code)}")
    ended = JobEnded("denoise", "failed" if name == "bad" else "restored")
    assert publisher.finish(now).ended == (ended,)
    assert (publisher.notices(), publisher.given_up(now), publisher.held_up(now)) == ((), 0, "")
    kept = "bad/denoise/a.jpg" if name == "bad" else "old/denoise/a.jpg"
    assert (tmp_path / kept).read_bytes() == b"." * 7


@pytest.mark.parametrize("name", ["out", "old", "bad"])
def test_nothing_is_written_where_a_disk_was_and_is_none_any_more(
    tmp_path: Path,
    station: Station,
    ledger: Ledger,
    entry: Entry,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    (tmp_path / name).mkdir()
    mounted = {"/", str(tmp_path / name)}
    monkeypatch.setattr("daemon.system.mounts.mount_points", lambda: frozenset(mounted))
    publisher = Publisher(station, ledger, Access(), attempts=1, retry_s=RETRY_S)
    if name == "bad":
        ledger.fail([(entry.row, Reason("it is grey"))])
    else:
        intend(ledger, entry, tmp_path)
    mounted.discard(str(tmp_path / name))
    assert publisher.finish(NOW).ended == ()
    assert list((tmp_path / name).iterdir()) == []
    (notice,) = publisher.notices()
    assert notice.what.startswith("its disk is not mounted any more; 1 photograph waits")
    mounted.add(str(tmp_path / name))
    assert len(publisher.finish(NOW + RETRY_S).ended) == 1
    assert list((tmp_path / name).iterdir()) != []


def test_an_outbox_that_is_a_link_to_nowhere_is_away(
    tmp_path: Path, ledger: Ledger, publisher: Publisher, entry: Entry
) -> None:
    (tmp_path / "out").symlink_to(tmp_path / "share")
    intend(ledger, entry, tmp_path)
    for turn in range(4):
        assert publisher.finish(NOW + 100 * turn).ended == ()
    (tmp_path / "share").mkdir()
    assert publisher.finish(NOW + 400).ended == (JobEnded("denoise", "restored"),)
    assert (tmp_path / "share/a.png").exists()


def test_an_original_that_the_archive_never_takes_goes_to_failed_with_the_reason(
    tmp_path: Path, ledger: Ledger, publisher: Publisher, entry: Entry
) -> None:
    (tmp_path / "old").write_text("in the way")
    ledger.publish([(entry.row, entry.id, tmp_path / "a.png")])
    assert publisher.finish(NOW).ended == ()
    assert publisher.finish(NOW + RETRY_S).ended == (JobEnded("denoise", "failed"),)
    reason = json.loads((tmp_path / "bad/denoise/a.jpg.error.json").read_text())
    assert reason["why"].startswith("the result stands in the outbox; the original could not be ")
    assert ledger.open_jobs() == 0


def test_a_failed_original_whose_path_is_too_long_goes_directly_into_failed(
    tmp_path: Path,
    ledger: Ledger,
    publisher: Publisher,
    entry: Entry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ledger.fail([(entry.row, Reason("it is grey"))])
    refuse(monkeypatch, tmp_path / "bad/denoise", errno.ENAMETOOLONG)
    assert publisher.finish(NOW).ended == ()
    assert publisher.finish(NOW + RETRY_S).ended == ()
    assert publisher.finish(NOW + 3 * RETRY_S).ended == (JobEnded("denoise", "failed"),)
    assert (tmp_path / "bad/a.jpg").exists()
    assert json.loads((tmp_path / "bad/a.jpg.error.json").read_text())["why"] == "it is grey"


def test_what_failed_takes_nowhere_is_given_up_for_this_run(
    tmp_path: Path, ledger: Ledger, publisher: Publisher, entry: Entry
) -> None:
    (tmp_path / "bad").write_text("in the way")
    ledger.fail([(entry.row, Reason("it is grey"))])
    for turn in range(3):
        assert publisher.given_up(NOW + 100 * turn) == 0
        assert publisher.finish(NOW + 100 * turn).ended == ()
    assert publisher.given_up(NOW + 300) == 1
    assert entry.claim.files[0].path.exists()


def test_folders_and_files_that_a_share_takes_for_one_do_not_clash(
    tmp_path: Path, ledger: Ledger, publisher: Publisher
) -> None:
    names = ("Trip/IMG_1.jpg", "trip/img_1.jpg", "trip/Zo\u00eb.jpg", "TRIP/Zoe\u0308.jpg")
    for ends in ("published", "failed"):
        for name in names:
            (entry,) = leased(ledger, tmp_path, name)
            write_claimed(entry)
            entry.claim.files[0].path.write_text(f"{name} {ends}")
            if ends == "failed":
                ledger.fail([(entry.row, Reason("it is grey"))])
                continue
            staging = tmp_path / f"staged {entry.row}"
            staging.mkdir()
            (staging / "0.png").write_text(name)
            folder = (tmp_path / "out/denoise" / name).parent
            files = (("0.png", "{stem}.png", "digest"),)
            key, stem = f"{entry.row:08}", Path(name).stem
            publication = Publication(folder, stem, key, staging, files, {"job": entry.id})
            ledger.intend_publication([(entry.row, publication.dump())])
        assert len(publisher.finish(NOW).ended) == len(names)
    for root, suffix in (("out", ".png"), ("old", ".jpg"), ("bad", ".jpg")):
        (folder,) = (tmp_path / root / "denoise").iterdir()
        assert folder.name == "Trip"
        there = [path.name for path in folder.iterdir()]
        assert len({same_name(same_name(name).casefold()) for name in there}) == len(there)
        kept = [path for path in folder.iterdir() if path.suffix == suffix]
        assert sorted(path.read_text().split(" ")[0] for path in kept) == sorted(names)
        assert {"IMG_1" + suffix, "Zo\u00eb" + suffix} <= set(there)


def test_a_folder_that_is_there_in_the_same_capitals_is_used(
    tmp_path: Path, ledger: Ledger, publisher: Publisher
) -> None:
    for name in ("Trip", "trip"):
        (tmp_path / "old/denoise" / name).mkdir(parents=True)
    (entry,) = leased(ledger, tmp_path, "trip/a.jpg")
    write_claimed(entry)
    ledger.publish([(entry.row, entry.id, tmp_path / "a.png")])
    publisher.finish(NOW)
    assert (tmp_path / "old/denoise/trip/a.jpg").exists()
