"""Results and originals that go to another disk: the loop goes on, and a copier may die."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from daemon.config.station import Station
from daemon.service.daemon import Daemon
from daemon.service.notices import notices
from daemon.system.files import copy_durably
from tests.support.copiers import MARK, HeldUpCopies, ToyCopier, put_on_another_disk
from tests.support.fakes import everything_below
from tests.support.station_runs import (
    assert_no_leftovers,
    drop_photo,
    open_daemon,
    published_results,
    run_once,
)
from tests.support.waiting import wait_for


@pytest.fixture
def held_up(monkeypatch: pytest.MonkeyPatch) -> Iterator[HeldUpCopies]:
    """Copies wait until the test lets them go on."""
    copies = HeldUpCopies()
    monkeypatch.setattr("daemon.jobs.copy_process.copy_durably", copies.copy)
    yield copies
    copies.killed = True
    copies.may_go_on.set()


def turn_until_copying(daemon: Daemon, held_up: HeldUpCopies) -> None:
    def turned() -> bool:
        daemon.turn(at_once=True)
        return held_up.begun.is_set()

    wait_for(turned, "a copy")


def parts_below(folder: Path) -> list[str]:
    return [name for name in everything_below(folder) if name.endswith(".part")]


@pytest.mark.parametrize("slow", ["outbox", "archive", "failed"])
def test_turns_go_on_while_a_copy_to_a_slow_disk_runs(
    root: Path, held_up: HeldUpCopies, monkeypatch: pytest.MonkeyPatch, slow: str
) -> None:
    original = drop_photo(root, "denoise/slow.png")
    if slow == "failed":
        (root / "inbox/denoise/slow.png").write_bytes(original := b"no photograph " * 9)
    put_on_another_disk(root / slow / "denoise", monkeypatch)
    with open_daemon(root) as daemon:
        turn_until_copying(daemon, held_up)
        advanced: list[float] = []
        systemd = daemon._parts.systemd
        monkeypatch.setattr(
            type(systemd), "loop_advanced", lambda _, now, *, working: advanced.append(now)
        )
        drop_photo(root, "unfade/quick.png", size=9)

        def published() -> bool:
            daemon.turn(at_once=True)
            return "unfade/quick.png" in everything_below(root / "archive")

        wait_for(published, "the other photograph")
        assert len(advanced) > 1
        assert daemon._parts.copies.busy
        assert original in everything_below(root / ".restored/work").values()
        held_up.may_go_on.set()
        summary = daemon.once()
    assert (summary.done, summary.failed) == ((1, 1) if slow == "failed" else (2, 0))
    assert_no_leftovers(root)
    assert parts_below(root) == []
    kept = root / ("failed" if slow == "failed" else "archive") / "denoise/slow.png"
    assert kept.read_bytes() == original
    expected = {"unfade/quick.png"} | ({"denoise/slow.png"} if slow != "failed" else set())
    assert published_results(root).keys() == expected


@pytest.mark.parametrize("away", ["outbox", "archive"])
def test_a_copier_that_is_killed_is_told_of_and_the_copy_is_made_again(
    root: Path, monkeypatch: pytest.MonkeyPatch, away: str
) -> None:
    monkeypatch.setattr("daemon.jobs.file_copies.start_copier", ToyCopier)
    monkeypatch.setenv(MARK, str(root.parent / "mark"))
    put_on_another_disk(root / away, monkeypatch)
    original = drop_photo(root, "denoise/a.png")
    told: set[str] = set()
    with open_daemon(root) as daemon, capture_logs() as logs:

        def ended() -> bool:
            daemon.turn(at_once=True)
            told.update(notice.what for notice in notices(daemon._parts, daemon._recipes))
            return daemon._done > 0

        wait_for(ended, "the result")
    assert [log["log_level"] for log in logs if log["event"] == "copier_died"] == ["warning"]
    why = "the process that copies to it was killed from outside by SIGKILL"
    assert f"{why}; 1 photograph waits for it; it is tried again" in told
    assert published_results(root).keys() == {"denoise/a.png"}
    assert everything_below(root / "archive") == {"denoise/a.png": original}
    assert parts_below(root) == []
    assert_no_leftovers(root)


def test_a_stop_lets_a_copy_end(
    root: Path, held_up: HeldUpCopies, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_on_another_disk(root / "outbox", monkeypatch)
    drop_photo(root, "denoise/a.png")
    with open_daemon(root) as daemon:
        turn_until_copying(daemon, held_up)
        daemon.stop()
        held_up.may_go_on.set()
        summary = daemon._drain()
    assert summary.done == 1
    assert published_results(root).keys() == {"denoise/a.png"}


def test_a_stop_leaves_a_copy_that_takes_long_to_the_next_start(
    root: Path, station: Station, held_up: HeldUpCopies, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_on_another_disk(station.outbox, monkeypatch)
    original = drop_photo(root, "denoise/a.png")
    with open_daemon(root) as daemon:
        turn_until_copying(daemon, held_up)
        assert daemon._drain().done == 0
    assert list(everything_below(station.work).values()) == [original]
    assert everything_below(station.outbox) == {}
    monkeypatch.setattr("daemon.jobs.copy_process.copy_durably", copy_durably)
    assert run_once(root).done == 1
    assert published_results(root).keys() == {"denoise/a.png"}
    assert everything_below(station.outbox).keys() == {"denoise/a.png", "denoise/a.png.json"}
    assert everything_below(station.archive) == {"denoise/a.png": original}
