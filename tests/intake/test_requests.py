"""Requests: what anybody may leave for the daemon, what it takes, and what it answers."""

import errno
import json
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from daemon.bulk.manager import BulkManager
from daemon.bulk.status import read_bulk
from daemon.cli import bulk_jobs as bulk_command
from daemon.cli.main import exit_code
from daemon.config.station import Station
from daemon.config.station_setup import find_station
from daemon.intake import requests
from daemon.intake.older_requests import take_over
from daemon.intake.requests import (
    AgainRequest,
    BulkCancelRequest,
    BulkPauseRequest,
    BulkResumeRequest,
    BulkRetryRequest,
    BulkSubmitRequest,
    ChooseRequest,
    RedoRequest,
    ReloadRequest,
    Request,
    RequestFolder,
    ResumeRequest,
    RetryRequest,
    answer_to,
    leave,
    leave_as,
    waiting_requests,
)
from daemon.intake.retry import RetryTaker
from daemon.service.daemon import RunSummary
from daemon.system.errors import UsageError
from daemon.system.json_files import MAX_JSON_BYTES
from tests.support.station_runs import (
    cut_off_after,
    drop_photo,
    open_daemon,
    published_results,
    run_once,
)

ODD_PATH = Path(os.fsdecode(b"/scans/caf\xe9 \xff.png"))

EVERY_KIND: list[Request] = [
    RetryRequest(paths=(Path("/in/a.png"), ODD_PATH)),
    RedoRequest(rows=(1, 2**63 - 1)),
    AgainRequest(row=1, recipe="denoise", changes=("denoise.realism=0.5",)),
    ChooseRequest(row=1, others=(2, 3)),
    ReloadRequest(),
    BulkSubmitRequest(name="ä job", recipe="denoise", roots=(ODD_PATH,), at=1.5, starts_at=2.0),
    BulkPauseRequest(name="job"),
    BulkResumeRequest(name="job"),
    BulkCancelRequest(name="job"),
    BulkRetryRequest(name="job", at=3.0),
]


def body(**changes: Any) -> bytes:  # noqa: ANN401
    values = {"kind": "bulk_submit", "name": "x", "recipe": "denoise", "roots": ["/x"], "at": 1.0}
    return json.dumps(values | changes).encode()


CONTENTS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "Expecting value"),
    "no JSON": (b"nonsense", "Expecting value"),
    "no text": (b"\xff\xfe{}", "decode"),
    "half of it": (body()[:-9], "Unterminated"),
    "a list": (b'["submit"]', "the whole file: Input should be a valid dictionary"),
    "nothing": (b"{}", "kind"),
    "no kind": (b'{"rows": [1]}', "kind"),
    "wrong kind": (b'{"kind": "explode"}', "kind"),
    "kind of a wrong type": (b'{"kind": {"a": 1}}', "kind"),
    "more than was asked": (body(more=1), "more"),
    "deep nesting": (b"[" * 200_000, "recursion"),
    "deep nesting in a field": (body(roots="@").replace(b'"@"', b"[" * 100_000), "recursion"),
    "10**30": (b'{"kind": "redo", "rows": [' + str(10**30).encode() + b"]}", "rows.0"),
    "10**5000": (b'{"kind": "redo", "rows": [1' + b"0" * 5000 + b"]}", "digit"),
    "row 0": (b'{"kind": "redo", "rows": [0]}', "rows.0"),
    "rows that are true": (b'{"kind": "redo", "rows": [true]}', "rows.0"),
    "rows as text": (b'{"kind": "redo", "rows": ["1"]}', "rows.0"),
    "no rows": (b'{"kind": "redo", "rows": []}', "rows"),
    "65 rows": (json.dumps({"kind": "redo", "rows": [1] * 65}).encode(), "rows"),
    "NaN": (body(at=float("nan")), "NaN"),
    "Infinity": (body(starts_at=float("inf")), "Infinity"),
    "1e999": (body().replace(b"1.0", b"1e999"), "at"),
    "the year 10000": (body(starts_at=253_402_300_801.0), "starts_at"),
    "a time before 1970": (body(at=-1.0), "at"),
    "a lone surrogate in a name": (body(name="\ud800"), "name"),
    "a lone surrogate in a path": (body(roots=["/\ud800"]), "roots.0"),
    "a lone surrogate as kind": (b'{"kind": "\\ud800"}', "kind"),
    "a lone surrogate as key": (b'{"kind": "redo", "\\ud800": 1, "rows": [1]}', "unicode"),
    "NUL in a path": (body(roots=["/x\0y"]), "roots.0"),
    "a relative path": (body(roots=["x"]), "roots.0"),
    "a way out": (b'{"kind": "retry", "paths": ["/in/../etc/passwd"]}', "paths.0"),
    "a path without end": (body(roots=["/" + "x" * 5000]), "roots.0"),
    "a path that is a number": (body(roots=[3]), "roots.0"),
    "no path": (body(roots=[]), "roots"),
    "a name without end": (body(name="x" * 256), "name"),
    "NUL in a name": (body(name="x\0"), "characters"),
    "a name that is a path": (body(name="../x"), "no /"),
    "2 MB": (body(name="x" * (2 << 20)), "1 MB"),
    "a path of no inbox": (b'{"kind": "retry", "paths": ["/etc/passwd"]}', "no inbox"),
    "an unknown bulk job": (b'{"kind": "bulk_pause", "name": "x"}', "'x'"),
}
"""What may lie in a file, and a word of the reason for which it is set aside."""


def put_file(path: Path) -> None:
    path.write_bytes(body())


def put_fifo(path: Path) -> None:
    os.mkfifo(path)


def put_folder(path: Path) -> None:
    (path / "within").mkdir(parents=True)


def put_link(path: Path) -> None:
    target = path.with_name("elsewhere")
    target.write_bytes(b'{"kind": "redo", "rows": [1]}')
    path.symlink_to(target)


def put_dangling_link(path: Path) -> None:
    path.symlink_to("nowhere")


def put_link_to_a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("what", CONTENTS)
def test_what_is_no_request_is_set_aside_with_its_reason(root: Path, what: str) -> None:
    content, reason = CONTENTS[what]
    folder = root / ".restored/requests"
    (folder / "odd.json").write_bytes(content)
    leave(Station(root, root / ".restored", root, root), BulkPauseRequest(name="later"))
    original = drop_photo(root, "denoise/a.png")
    with capture_logs() as log:
        assert run_once(root) == RunSummary(done=1)
    assert published_results(root) == {"denoise/a.png": original[::-1]}
    assert (folder / "odd.refused").read_bytes() == content
    assert list(folder.glob("*.json")) == []
    answer = json.loads((root / ".restored/answers/odd.json").read_text())
    assert answer["state"] == "refused"
    assert reason in answer["reason"]
    refused = [entry["why"] for entry in log if entry["event"] == "request_refused"]
    assert sorted(refused) == sorted([answer["reason"], "no bulk job is called 'later'"])


@pytest.mark.parametrize(
    ("put", "reason"),
    [
        (put_fifo, "not a regular file"),
        (put_folder, "not a regular file"),
        (put_link, "symbolic links are not followed here"),
        (put_dangling_link, "symbolic links are not followed here"),
        (put_link_to_a_device, "symbolic links are not followed here"),
    ],
)
@pytest.mark.timeout(60)
def test_what_is_no_file_is_neither_followed_nor_waited_for(
    root: Path, put: Callable[[Path], None], reason: str
) -> None:
    folder = root / ".restored/requests"
    put(folder / "odd.json")
    drop_photo(root, "denoise/a.png")
    assert run_once(root) == RunSummary(done=1)
    assert os.path.lexists(folder / "odd.refused")
    assert reason in json.loads((root / ".restored/answers/odd.json").read_text())["reason"]
    assert run_once(root) == RunSummary()


def test_a_file_that_grows_while_it_is_read_is_read_no_further(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = station.requests / "odd.json"
    path.write_bytes(b" " * (3 << 20))
    read: list[int] = []
    real = os.read

    def counted(handle: int, count: int) -> bytes:
        read.append(count)
        return real(handle, count)

    monkeypatch.setattr(os, "read", counted)
    assert RequestFolder(station).pending() == []
    assert sum(read) <= 2 * (MAX_JSON_BYTES + 1)


@pytest.mark.parametrize("request_", EVERY_KIND, ids=lambda request: request.kind)
def test_every_kind_comes_back_as_it_was_left(station: Station, request_: Request) -> None:
    request_id = leave(station, request_)
    (pending,) = waiting_requests(station)
    assert (pending.id, pending.request) == (request_id, request_)
    assert RequestFolder(station).pending() == [pending]


def test_a_command_leaves_nothing_that_the_daemon_would_not_read(station: Station) -> None:
    roots = tuple(Path(f"/scans/{number:0200}.png") for number in range(6000))
    with pytest.raises(UsageError, match="name folders, not files"):
        leave(station, BulkSubmitRequest(name="job", recipe="denoise", roots=roots, at=1.0))
    assert list(station.requests.iterdir()) == []


def test_requests_come_in_the_order_in_which_they_were_left(station: Station) -> None:
    ids = [leave(station, BulkPauseRequest(name=str(number))) for number in range(20)]
    folder = RequestFolder(station)
    assert [pending.id for pending in folder.pending()] == ids
    assert [pending.request.name for pending in folder.pending()] == list(map(str, range(20)))  # type: ignore[union-attr]


def test_of_very_many_requests_the_first_are_taken_first(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "_MAX_KNOWN", 3)
    ids = [leave(station, BulkPauseRequest(name="job")) for _ in range(5)]
    folder = RequestFolder(station)
    assert [pending.id for pending in folder.pending()] == ids[:3]
    folder.take(folder.pending()[0])
    assert [pending.id for pending in folder.pending()] == ids[1:4]


def flood(station: Station, request: Request, count: int, first: str = "0") -> None:
    """Leave many requests whose names come before all others."""
    for number in range(count):
        leave_as(station, request, f"{first}-{number:05}")


def test_a_flood_of_requests_keeps_no_resume_back_while_the_station_is_paused(
    root: Path, station: Station
) -> None:
    flood(station, RedoRequest(rows=(1,)), 1100)
    flood(station, BulkPauseRequest(name="job"), 1100, "1")
    exit_code(["--station", str(root), "pause"])
    resumed = leave(station, ResumeRequest())
    with open_daemon(root) as daemon:
        for _ in range(60):
            daemon.turn(at_once=True)
            if answer_to(station, resumed) is not None:
                break
    assert answer_to(station, resumed) == requests.Answer(state="taken")
    assert not station.paused.exists()


def test_requests_that_are_held_up_keep_no_others_back(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "_MAX_OF_SORT", 3)
    flood(station, BulkCancelRequest(name="job"), 5)
    last = leave(station, BulkPauseRequest(name="other"))
    folder = RequestFolder(station)
    held_up: set[str] = set()
    for _ in range(3):
        held_up |= {pending.id for pending in folder.pending(held_up)}
    assert last in held_up
    assert len(folder.pending(held_up)) == 3


def test_who_was_answered_longest_ago_is_next_and_a_flood_takes_nobodys_turn(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    flood(station, RedoRequest(rows=(1,)), 70)
    other = leave(station, RedoRequest(rows=(2,)))
    real = Path.lstat

    def owned(path: Path) -> os.stat_result:
        found = list(real(path))
        found[stat.ST_UID] = 1002 if path.name == f"{other}.json" else 1001
        return os.stat_result(found)

    monkeypatch.setattr(Path, "lstat", owned)
    folder = RequestFolder(station)
    taken = []
    for _ in range(3):
        chosen = folder.next_in_turn(folder.pending())
        taken.append(chosen.id)
        folder.take(chosen)
    assert taken == ["0-00000", other, "0-00001"]


def test_what_is_still_being_written_is_no_request(station: Station) -> None:
    (station.requests / ".half.part").write_text("{")
    (station.requests / ".hidden.json").write_text("{")
    (station.requests / "old.refused").write_text("{")
    folder = RequestFolder(station)
    assert folder.pending() == waiting_requests(station) == []
    assert folder.is_empty()


def test_answers_say_whether_a_request_was_taken_or_why_not(root: Path, station: Station) -> None:
    drop_photo(root.parent, "x.png")
    submit = BulkSubmitRequest(
        name="job", recipe="denoise", roots=(root.parent / "inbox",), at=time.time()
    )
    taken, refused = leave(station, submit), leave(station, BulkResumeRequest(name="job"))
    assert answer_to(station, taken) is None
    assert run_once(root).done == 1
    assert answer_to(station, taken) == requests.Answer(state="taken")
    assert answer_to(station, refused) == requests.Answer(
        state="refused", reason="bulk job 'job' is not paused"
    )
    assert list(station.requests.glob("*.json")) == []


def test_the_daemon_checks_again_what_the_command_checks(root: Path, station: Station) -> None:
    roots = (station.archive,)
    request_id = leave(
        station, BulkSubmitRequest(name="job", recipe="denoise", roots=roots, at=1.0)
    )
    run_once(root)
    answer = answer_to(station, request_id)
    assert answer is not None and answer.state == "refused"
    assert "where results go, lie in each other" in answer.reason


@pytest.mark.parametrize(
    ("name", "why"), [("missing", "no such file or folder"), ("empty", "it holds nothing")]
)
def test_the_daemon_refuses_a_bulk_job_without_anything_to_restore(
    root: Path, station: Station, name: str, why: str
) -> None:
    (root.parent / "empty").mkdir()
    roots = (root.parent / name,)
    request_id = leave(
        station, BulkSubmitRequest(name="job", recipe="denoise", roots=roots, at=1.0)
    )
    run_once(root)
    answer = answer_to(station, request_id)
    assert answer is not None and answer.state == "refused"
    assert f"{root.parent / name}: {why}" in answer.reason


def test_a_bulk_job_whose_share_is_stale_waits_and_holds_up_nothing(
    root: Path, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    exists = Path.exists

    def stale(self: Path) -> bool:
        if self.name == "share":
            raise OSError(errno.ESTALE, "Stale file handle", str(self))
        return exists(self)

    monkeypatch.setattr(Path, "exists", stale)
    roots = (root.parent / "share",)
    request_id = leave(
        station, BulkSubmitRequest(name="job", recipe="denoise", roots=roots, at=1.0)
    )
    drop_photo(root, "denoise/a.png")
    summary = run_once(root)
    assert (summary.done, summary.held_up) == (1, "")
    assert answer_to(station, request_id) == requests.Answer(state="taken")
    assert "is its disk mounted?" in summary.waiting[0].what


def test_roots_inside_others_are_left_out_by_the_daemon_too(root: Path, station: Station) -> None:
    drop_photo(root.parent, "scans/x.png")
    outer = root.parent / "inbox"
    roots = (outer / "scans", outer)
    leave(station, BulkSubmitRequest(name="job", recipe="denoise", roots=roots, at=1.0))
    run_once(root)
    assert [bulk.paths for bulk in read_bulk(station)] == [(str(outer),)]


@pytest.mark.parametrize("recipe", ["a\0", "../denoise", "Denoise\n", "a" * 65])
def test_a_recipe_that_no_recipe_can_be_called_is_refused(station: Station, recipe: str) -> None:
    content = {"kind": "bulk_submit", "name": "job", "recipe": recipe, "roots": ["/a"], "at": 1}
    station.requests.joinpath("1.json").write_text(json.dumps(content))
    assert RequestFolder(station).pending() == []
    assert station.requests.joinpath("1.refused").exists()


def test_a_hundred_thousand_roots_are_refused_at_once(station: Station) -> None:
    roots = ["/a"] * 100_000
    content = {"kind": "bulk_submit", "name": "job", "recipe": "denoise", "roots": roots, "at": 1}
    station.requests.joinpath("1.json").write_text(json.dumps(content))
    assert RequestFolder(station).pending() == []
    answer = answer_to(station, "1")
    assert answer is not None and "at most 10000 items" in answer.reason


def test_who_follows_a_job_that_is_refused_is_told_why(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def leave_and_run(station: Station, request: Request) -> str:
        request_id = leave(station, request)
        run_once(root)
        return request_id

    monkeypatch.setattr(bulk_command, "leave", leave_and_run)
    monkeypatch.setattr(bulk_command, "check_roots", lambda own, paths: tuple(paths))
    command = ["--station", str(root), "submit", str(root), "--recipe", "denoise", "--follow"]
    assert exit_code(command) == 64
    assert "lie in each other" in capsys.readouterr().err


def test_a_bug_in_the_handling_of_one_request_does_not_end_the_loop(
    root: Path, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OverflowError("too large")

    monkeypatch.setattr(RetryTaker, "take", broken)
    request_id = leave(station, RetryRequest(paths=(station.inbox / "a.png",)))
    drop_photo(root, "denoise/b.png")
    assert run_once(root) == RunSummary(done=1)
    answer = answer_to(station, request_id)
    assert answer is not None and "too large" in answer.reason


def test_a_request_that_the_file_system_holds_up_waits_for_the_next_run(
    root: Path, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop_photo(root.parent, "x.png")
    submit = BulkSubmitRequest(
        name="job", recipe="denoise", roots=(root.parent / "inbox",), at=time.time()
    )
    request_id = leave(station, submit)

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "somewhere")

    drop_photo(root, "denoise/a.png")
    with monkeypatch.context() as patch, capture_logs() as log:
        patch.setattr(BulkManager, "_submit", refuse)
        assert run_once(root) == RunSummary(done=1)
    assert [entry["event"] for entry in log].count("bulk_held_up") == 1
    assert answer_to(station, request_id) is None
    assert run_once(root) == RunSummary(done=1)
    assert answer_to(station, request_id) == requests.Answer(state="taken")


def test_a_request_that_can_neither_be_read_nor_moved_is_refused_once(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / ".restored/requests/odd.json").write_text("nonsense")
    real = Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if path.parent.name == "requests":
            raise PermissionError(errno.EPERM, "Operation not permitted", str(path))
        return real(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    drop_photo(root, "denoise/a.png")
    with capture_logs() as log:
        assert run_once(root) == RunSummary(done=1)
    assert [entry["event"] for entry in log].count("request_refused") == 1


def test_a_request_is_kept_while_the_process_has_no_file_handle_left(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(station, BulkPauseRequest(name="job"))
    folder = RequestFolder(station)
    with monkeypatch.context() as patch:
        patch.setattr(
            os, "open", lambda *_, **__: (_ for _ in ()).throw(OSError(errno.EMFILE, "many"))
        )
        assert folder.pending() == []
        assert not folder.is_empty()
    assert len(folder.pending()) == 1


def test_answers_and_what_was_set_aside_go_after_a_week(station: Station) -> None:
    folder = RequestFolder(station)
    (station.requests / "old.json").write_text("nonsense")
    (station.requests / "new.json").write_text("nonsense")
    assert folder.pending() == []
    week = 7 * 86400
    half = station.requests / ".half.part"
    half.write_text("{")
    for path in (station.answers / "old.json", station.requests / "old.refused", half):
        os.utime(path, (time.time() - week - 60, time.time() - week - 60))
    folder.prune(time.time())
    assert [path.name for path in station.answers.iterdir()] == ["new.json"]
    assert [path.name for path in station.requests.iterdir()] == ["new.refused"]


def test_a_request_for_which_no_space_is_left_names_its_folder_and_leaves_nothing(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("daemon.intake.requests.os.fchmod", full)
    with pytest.raises(OSError, match="No space left") as caught:
        leave(station, RedoRequest(rows=(1,)))
    assert caught.value.filename == str(station.requests)
    assert caught.value.errno == errno.ENOSPC
    assert list(station.requests.iterdir()) == []


def test_whoever_of_the_group_asks_first_leaves_the_daemon_its_folder(station: Station) -> None:
    station.requests.rmdir()  # as in a station that an older version made
    station.state.chmod(0o2775)
    before = os.umask(0o077)
    try:
        leave(station, RedoRequest(rows=(1,)))
    finally:
        os.umask(before)
    (request,) = station.requests.iterdir()
    assert stat.S_IMODE(station.requests.stat().st_mode) == 0o2775
    assert stat.S_IMODE(request.stat().st_mode) == 0o664


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
@pytest.mark.parametrize("made_before", [True, False])
def test_what_root_asks_for_is_the_daemons_own_users_to_take_and_remove(
    root: Path, station: Station, *, made_before: bool
) -> None:
    if not made_before:
        station.requests.rmdir()
    for path in (root, *root.rglob("*")):
        os.chown(path, 65534, 65534)
    leave(station, BulkPauseRequest(name="job"))
    (request,) = station.requests.iterdir()
    for path in (station.requests, request):
        assert (path.stat().st_uid, path.stat().st_gid) == (65534, 65534)
        assert path.stat().st_mode & stat.S_IRUSR
    run_once(root)
    assert list(station.requests.glob("*.json")) == []


@pytest.mark.parametrize("mode", [0o755, 0o2775])
def test_a_daemon_makes_the_folder_as_open_as_the_stations_state_is(
    root: Path, station: Station, mode: int
) -> None:
    station.requests.rmdir()
    station.state.chmod(mode)
    run_once(root)
    assert stat.S_IMODE(station.requests.stat().st_mode) == mode


def older(station: Station, folder: str, name: str, content: object) -> Path:
    path = station.state / folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_what_an_older_version_left_is_taken_at_the_start(root: Path, station: Station) -> None:
    scans = root.parent / "inbox"
    drop_photo(root.parent, "a.png")
    rest = json.dumps({"recipe": "denoise", "at": 1.0, "starts_at": 0.0, "roots": [str(scans)]})
    older(station, "bulk", "00000000000000000001-aa.json", ["submit", "job", rest])
    older(station, "bulk", "00000000000000000002-bb.json", ["pause", "job", rest])
    older(station, "redo", "000000000000-cc.json", [1, "x"])
    older(station, "retry", "dd.json", [str(station.inbox / "denoise/b.png")])
    with capture_logs() as log:
        run_once(root)
    for folder in ("bulk", "redo", "retry"):
        assert not (station.state / folder).exists()
    events = [entry["event"] for entry in log]
    assert events.count("bulk_submitted") == events.count("bulk_paused") == 1
    assert "request_refused" not in events
    answers = {path.name for path in station.answers.iterdir()}
    assert answers == {
        "00000000000000000001-aa.json",
        "00000000000000000002-bb.json",
        "000000000000-cc.json",
        "dd.json",
    }


def test_a_crash_while_older_requests_are_taken_over_loses_none(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for calls in range(12):
        station = find_station(root)
        request_id = f"{calls:020}-aa"
        older(station, "bulk", f"{request_id}.json", ["pause", "job", "{}"])
        child = os.fork()
        if child == 0:
            cut_off_after(calls, monkeypatch)
            take_over(station)
            os._exit(0)
        os.waitpid(child, 0)
        take_over(station)
        assert [pending.id for pending in waiting_requests(station)] == [request_id]
        (station.requests / f"{request_id}.json").unlink()


@pytest.mark.parametrize(
    ("folder", "content"),
    [
        ("retry", "no JSON"),
        ("retry", [1]),
        ("redo", {"rows": [1]}),
        ("redo", "[" * 200_000),
        ("bulk", ["submit"]),
        ("bulk", ["explode", "job", "{}"]),
        ("bulk", ["submit", "job", "[" * 200_000]),
    ],
)
def test_what_is_no_request_of_an_older_version_is_set_aside(
    root: Path, station: Station, folder: str, content: object
) -> None:
    path = older(station, folder, "a.json", content)
    drop_photo(root, "denoise/a.png")
    with capture_logs() as log:
        assert run_once(root) == RunSummary(done=1)
    assert [entry["event"] for entry in log].count("request_refused") == 1
    assert [left.name for left in path.parent.iterdir()] == ["a.refused"]
