import json
from pathlib import Path

import pytest

from daemon.config.station import Station
from daemon.jobs.accounting import JobEnded
from daemon.jobs.ledger.entries import Entry
from daemon.jobs.ledger.writer import Ledger
from daemon.jobs.outbox import Access, Publication
from daemon.jobs.publisher import Publisher
from tests.support.claims import QUEUED_AT as NOW
from tests.support.claims import leased, write_claimed

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


def intend(ledger: Ledger, entry: Entry, folder: Path) -> None:
    """Stage a result and intend its publication."""
    staging = folder / "staged"
    staging.mkdir()
    (staging / "0.png").write_text("pixels")
    files = (("0.png", "{stem}.png", "digest"),)
    publication = Publication(folder / "out", "a", "12345678", staging, files, {"job": entry.id})
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


def test_a_result_that_cannot_be_published_is_tried_again_and_fails_in_the_end(
    tmp_path: Path, ledger: Ledger, publisher: Publisher, entry: Entry
) -> None:
    (tmp_path / "out").write_text("in the way")
    intend(ledger, entry, tmp_path)
    assert publisher.finish(NOW).ended == ()
    assert publisher.finish(NOW + RETRY_S - 1).ended == ()
    (notice,) = publisher.notices()
    assert notice.path == tmp_path / "in/denoise/a.jpg"
    assert notice.what.endswith("it is tried again")
    assert publisher.finish(NOW + RETRY_S).ended == (JobEnded("denoise", "failed"),)
    reason = json.loads((tmp_path / "bad/denoise/a.jpg.error.json").read_text())
    assert reason["why"].startswith("the result could not be published: ")
    assert publisher.notices() == ()


def test_an_original_that_cannot_be_archived_holds_up_no_other_and_is_tried_again(
    tmp_path: Path, ledger: Ledger, publisher: Publisher, entry: Entry
) -> None:
    (tmp_path / "old").write_text("in the way")
    (other,) = leased(ledger, tmp_path, "b.jpg")
    write_claimed(other)
    ledger.publish([(entry.row, entry.id, tmp_path / "a.png")])
    ledger.fail([(other.row, "it is grey")])
    assert publisher.finish(NOW, {other.row}).ended == (JobEnded("denoise", "rejected"),)
    (tmp_path / "old").unlink()
    assert publisher.finish(NOW + RETRY_S).ended == (JobEnded("denoise", "restored"),)
    assert (tmp_path / "old/denoise/a.jpg").exists()
