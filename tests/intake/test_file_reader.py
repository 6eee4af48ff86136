"""Files that hang or kill whoever reads them, or that change or vanish meanwhile."""

import errno
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from daemon.bulk.manager import BulkManager
from daemon.config.recipe import Recipe
from daemon.config.station import Station
from daemon.config.station_setup import find_station
from daemon.intake import file_reader, reader_process
from daemon.intake.file_reader import FileReader
from daemon.intake.reader_process import (
    Answer,
    ClaimQuestion,
    HeaderQuestion,
    HeaderRead,
    NotTaken,
    Refused,
    answer,
)
from daemon.jobs.ledger.reader import LedgerReader
from daemon.messages.reports import Outcome
from daemon.messages.tasks import RestoreTask
from daemon.photo import Limits
from daemon.service.daemon import Daemon, RunSummary
from daemon.system.files import sha256_of
from daemon.system.helper_process import HelperHandle
from daemon.system.shared_folder import take_copy
from tests.support.bulk_runs import bulk_command, bulk_status, save_photo, submit
from tests.support.claims import claimed
from tests.support.fakes import FakeExecutor
from tests.support.station_runs import (
    assert_no_leftovers,
    drop_photo,
    open_daemon,
    published_results,
    run_once,
    write_settings,
)
from tests.support.toy_reader import ToyReader
from tests.support.waiting import wait_for


def reason(root: Path, name: str) -> str:
    why: str = json.loads((root / f"failed/{name}.error.json").read_text())["why"]
    return why


@pytest.fixture
def toy_reader(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    monkeypatch.setattr("daemon.intake.file_reader.ReaderProcess", ToyReader)


class Asked:
    """Questions about the headers of pictures, asked of a reader, and the answers that came."""

    def __init__(self, reader: FileReader, folder: Path) -> None:
        self.reader = reader
        self.folder = folder
        self.answers: dict[str, Answer] = {}

    def ask(self, name: str) -> None:
        path = self.folder / name
        Image.new("L", (8, 8)).save(path, format="PNG")
        self.reader.ask(
            HeaderQuestion(path, Path(name), self.folder),
            lambda answer: self.answers.update({name: answer}),
        )

    def wait(self, number: int) -> None:
        def delivered() -> bool:
            self.reader.deliver()
            return len(self.answers) == number

        wait_for(delivered, f"{number} answers")


@contextmanager
def asking(
    folder: Path, start: Callable[[Limits], HelperHandle] = ToyReader, attempts: int = 3
) -> Iterator[Asked]:
    reader = FileReader(Limits(), lambda: None, attempts, start)
    try:
        yield Asked(reader, folder)
    finally:
        reader.close()


def test_what_a_file_does_to_its_reader_is_told_and_the_others_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_reader, "HUNG_S", 3.0)
    with asking(tmp_path, attempts=2) as asked:
        for name in ("killer-header.png", "hang-header.png", "whole.png"):
            asked.ask(name)
        asked.wait(3)
        assert not asked.reader.busy
    assert isinstance(asked.answers["whole.png"], HeaderRead)
    assert asked.answers["killer-header.png"] == Refused(
        "killer-header.png: the process that read this was killed by SIGSEGV, 2 times"
    )
    hung = asked.answers["hang-header.png"]
    assert isinstance(hung, Refused)
    assert hung.why == "hang-header.png: the process that read this took longer than 3 s, 2 times"


def test_a_reader_that_somebody_kills_or_stops_blames_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_reader, "HUNG_S", 3.0)
    with asking(tmp_path, attempts=1) as asked:
        asked.ask("outside-kill.png")
        asked.ask("outside-stop.png")
        asked.wait(2)
    assert {type(answer) for answer in asked.answers.values()} == {HeaderRead}


def test_a_file_is_read_while_another_one_hangs(tmp_path: Path) -> None:
    with asking(tmp_path) as asked:
        asked.ask("hang-header.png")
        asked.ask("whole.png")
        asked.wait(1)
        assert list(asked.answers) == ["whole.png"]
        assert asked.reader.busy
        began = time.monotonic()
    assert time.monotonic() - began < 5


def test_a_reader_that_cannot_start_blames_no_file_and_starts_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = 0

    def start(limits: Limits) -> HelperHandle:
        nonlocal tries
        tries += 1
        if tries < 4:
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable")
        return ToyReader(limits)

    with asking(tmp_path, start) as asked:
        monkeypatch.setattr(asked.reader._closing, "wait", lambda timeout_s: None)
        asked.ask("a.png")
        asked.wait(1)
        assert isinstance(asked.answers["a.png"], HeaderRead)
        assert asked.reader.why_no_reader == ""


@pytest.mark.usefixtures("root")
def test_once_ends_where_no_reader_can_be_started(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(limits: Limits) -> HelperHandle:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr("daemon.intake.file_reader.ReaderProcess", refuse)
    monkeypatch.setattr(file_reader, "_LONGEST_PAUSE_S", 0.01)
    drop_photo(root, "denoise/a.png")
    held_up = run_once(root).held_up
    assert held_up.startswith("the process that reads files cannot be started: ")
    assert "Cannot allocate memory" in held_up
    assert (root / "inbox/denoise/a.png").exists()


@pytest.mark.usefixtures("toy_reader")
def test_photographs_that_kill_or_hang_their_reader_are_set_aside(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_reader, "HUNG_S", 3.0)
    write_settings(root, attempts=2)
    names = ("killer-header", "hang-header", "killer-digest", "hang-digest", "whole")
    for size, name in enumerate(names, 8):
        drop_photo(root, f"denoise/{name}.png", size=size)
    assert run_once(root) == RunSummary(done=1, failed=4)
    assert list(published_results(root)) == ["denoise/whole.png"]
    for name in names[:4]:
        how = "was killed by SIGSEGV" if "killer" in name else "took longer than 3 s"
        why = f"denoise/{name}.png: the process that read this {how}, 2 times"
        assert reason(root, f"denoise/{name}.png") == why
    assert_no_leftovers(root)


class Gate:
    """Holds up whoever takes the digest of files with this name, until it is opened."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.reached = threading.Event()
        self.opened = threading.Event()

    def digest(self, path: Path, beneath: Path | None) -> str:
        if path.name.endswith(self.name):
            self.reached.set()
            assert self.opened.wait(120)
        return sha256_of(path, beneath)


@contextmanager
def holding(name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate(name)
    with monkeypatch.context() as patch:
        patch.setattr(reader_process, "sha256_of", gate.digest)
        try:
            yield gate
        finally:
            gate.opened.set()


def turn_until(daemon: Daemon, condition: Callable[[], object], what: str) -> None:
    """Take turns, none of which may be held up."""

    def holds() -> object:
        began = time.monotonic()
        daemon.turn(at_once=True)
        assert time.monotonic() - began < 30
        return condition()

    wait_for(holds, what)


def test_other_photographs_are_restored_while_one_is_hashed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop_photo(root, "denoise/huge.png")
    with holding("huge.png", monkeypatch) as gate, open_daemon(root) as daemon:
        turn_until(daemon, gate.reached.is_set, "the digest")
        drop_photo(root, "denoise/small.png", size=9)
        turn_until(daemon, (root / "archive/denoise/small.png").exists, "the other one")
        assert not (root / "archive/denoise/huge.png").exists()
        gate.opened.set()
        assert daemon.once().done == 2


def test_once_does_not_end_between_a_header_and_the_claim(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that comes while the bulk jobs have their turn waits for the sorter."""
    drop_photo(root, "denoise/a.png")
    turn = BulkManager.turn

    def late(self: BulkManager, recipes: Sequence[Recipe], now: float) -> bool:
        reader = self._claimer.reads
        assert isinstance(reader, FileReader)
        wait_for(lambda: reader._answers.qsize() == reader._open, "the answers")
        return turn(self, recipes, now)

    monkeypatch.setattr(BulkManager, "turn", late)
    assert run_once(root) == RunSummary(done=1)


def test_restarts_while_a_file_is_hashed_are_not_its_fault(
    root: Path, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop_photo(root, "denoise/huge.png")
    for _ in range(7):
        with holding("huge.png", monkeypatch) as gate, open_daemon(root) as daemon:
            turn_until(daemon, gate.reached.is_set, "the digest")
            daemon.stop()
            gate.opened.set()  # nobody takes the answer any more
    assert run_once(root) == RunSummary(done=1)


def test_a_file_that_vanishes_or_changes_while_it_is_hashed_has_one_end(
    root: Path, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop_photo(root, "denoise/gone.png")
    with holding("gone.png", monkeypatch) as gate, open_daemon(root) as daemon:
        turn_until(daemon, gate.reached.is_set, "the digest")
        (taken,) = station.work.rglob("*gone.png")
        taken.unlink()
        gate.opened.set()
        assert daemon.once().failed == 1
    assert "No such file" in reason(root, "denoise/gone.png")
    original = drop_photo(root, "denoise/changed.png")
    with holding("changed.png", monkeypatch) as gate, open_daemon(root) as daemon:
        turn_until(daemon, gate.reached.is_set, "the digest")
        (taken,) = station.work.rglob("*changed.png")
        taken.write_bytes(original + b"more")
        gate.opened.set()
        assert daemon.once().done == 1
    assert published_results(root)["denoise/changed.png"] == (original + b"more")[::-1]
    assert_no_leftovers(root)


def test_a_photograph_that_changes_during_each_restoration_is_given_up(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = drop_photo(root, "denoise/a.png")
    restore, times = FakeExecutor.restore, 0

    def change_and_restore(self: FakeExecutor, task: RestoreTask, name: str) -> Outcome:
        nonlocal times
        times += 1
        with task.job.photos[0].path.open("ab") as file:
            file.write(b".")
        return restore(self, task, name)

    monkeypatch.setattr(FakeExecutor, "restore", change_and_restore)
    assert run_once(root) == RunSummary(failed=1)
    assert times == 3
    why = "it changed while it was restored, and 3 tries are used up; retry it when it is complete"
    assert reason(root, "denoise/a.png") == why
    assert (root / "failed/denoise/a.png").read_bytes() == original + b"..."
    assert published_results(root) == {}


@pytest.fixture
def other_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The inbox lies on another disk than the rest of the station."""
    rename = os.rename

    def crossing(old: str, new: Path, *, src_dir_fd: int | None = None) -> None:
        if src_dir_fd is not None:  # out of an inbox
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        rename(old, new)

    monkeypatch.setattr(os, "rename", crossing)


@pytest.mark.usefixtures("other_disk")
def test_other_photographs_are_restored_while_one_is_copied_from_another_disk(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop_photo(root, "denoise/huge.png")
    reached, opened = threading.Event(), threading.Event()

    def hold(source: Path, target: Path, beneath: Path, max_bytes: float) -> None:
        if source.name == "huge.png":
            reached.set()
            assert opened.wait(120)
        take_copy(source, target, beneath, max_bytes)

    monkeypatch.setattr(reader_process, "take_copy", hold)
    with open_daemon(root) as daemon:
        turn_until(daemon, reached.is_set, "the copy")
        drop_photo(root, "denoise/small.png", size=9)
        turn_until(daemon, (root / "archive/denoise/small.png").exists, "the other one")
        assert (root / "inbox/denoise/huge.png").exists()
        opened.set()
        assert daemon.once().done == 2
    assert_no_leftovers(root)


@pytest.mark.parametrize(
    ("number", "back"), [(errno.EIO, True), (errno.ENOSPC, False)], ids=["away", "full"]
)
def test_what_was_copied_of_a_group_is_given_back_off_the_loop_if_the_rest_cannot_be_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, back: bool
) -> None:
    """On a full disk it stays: the copy goes on from there."""

    def copy(source: Path, target: Path, beneath: Path, max_bytes: float) -> None:
        if source.name == "b.png":
            raise OSError(number, os.strerror(number), str(source))
        take_copy(source, target, beneath, max_bytes)

    monkeypatch.setattr(reader_process, "take_copy", copy)
    claim = claimed(tmp_path)
    inbox, first = claim.folder.path, claim.files[0]
    names = ("a.png", "b.png")
    files = tuple(
        replace(first, relative=Path(name), path=tmp_path / f"work/0-{name}") for name in names
    )
    origins = tuple(inbox / name for name in names)
    inbox.mkdir()
    for origin in origins:
        origin.write_bytes(b"pixels")
    found = answer(ClaimQuestion(replace(claim, files=files), origins), Limits(), lambda _: None)
    assert isinstance(found, NotTaken)
    assert [path.exists() for path in (*origins, files[0].path)] == [back, True, not back]


@pytest.mark.usefixtures("other_disk", "toy_reader")
def test_a_photograph_whose_copy_hangs_stays_in_its_place_and_is_told(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_reader, "HUNG_S", 5.0)
    write_settings(root, attempts=1)
    drop_photo(root, "denoise/hang-copy.png")
    drop_photo(root, "denoise/whole.png", size=9)
    summary = run_once(root)
    assert summary.done == 1
    (notice,) = summary.waiting
    assert notice.path == root / "inbox/denoise/hang-copy.png"
    assert "the process that copied it took longer than 5 s, once; it is tried again" in notice.what
    assert (root / "inbox/denoise/hang-copy.png").exists()
    assert_no_leftovers(root)


def crashes(root: Path) -> dict[str, int]:
    ledger = LedgerReader(find_station(root).ledger)
    try:
        return {entry.photo_name: entry.crashes for entry in ledger.in_state("claiming")}
    finally:
        ledger.close()


def test_an_orderly_end_is_recorded_for_what_was_being_read(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop_photo(root, "denoise/huge.png")
    with holding("huge.png", monkeypatch) as gate, open_daemon(root) as daemon:
        turn_until(daemon, gate.reached.is_set, "the digest")
        assert crashes(root) == {"denoise/huge.png": 0}
        daemon.stop()
        gate.opened.set()  # nobody takes the answer any more
    assert crashes(root) == {"denoise/huge.png": -1}
    assert list((root / "inbox/denoise").iterdir()) == []


def test_a_bulk_job_that_is_cancelled_while_its_file_is_hashed_restores_nothing(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_photo(tmp_path / "scans/huge.png")
    submit(root, tmp_path / "scans")
    with holding("huge.png", monkeypatch) as gate, open_daemon(root) as daemon:
        turn_until(daemon, gate.reached.is_set, "the digest")
        bulk_command(root, "cancel")
        turn_until(daemon, lambda: bulk_status(root).standing == "cancelled", "the end")
        gate.opened.set()
        assert daemon.once().done == 0
    assert published_results(root) == {}


def test_a_bulk_job_whose_disk_goes_away_while_a_file_is_hashed_loses_none(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scans, away = tmp_path / "scans", tmp_path / "away"
    save_photo(scans / "huge.png")
    submit(root, scans)
    with holding("huge.png", monkeypatch) as gate, open_daemon(root) as daemon:
        turn_until(daemon, gate.reached.is_set, "the digest")
        scans.rename(away)
        scans.mkdir()
        gate.opened.set()
        assert daemon.once().failed == 0
    scans.rmdir()
    away.rename(scans)
    assert run_once(root) == RunSummary(done=1)
