"""The whole product as a user runs it: `restored`, its worker process, the shipped network."""

import grp
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from daemon.jobs.ledger.reader import LedgerReader
from daemon.system.errors import ConfigError
from tests.support.daemon_process import (
    DEADLINE_S,
    RESTORED,
    drop_picture,
    photograph,
    running,
    worker_of,
)
from tests.support.fakes import everything_below
from tests.support.waiting import wait_for


def restored(
    root: Path, *arguments: str, expect: int = 0, **environment: str
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [RESTORED, "--station", root, *arguments],
        capture_output=True, text=True, timeout=280, check=False,
        env=os.environ | {"RESTORED_SETTLE_S": "0"} | environment,
    )  # fmt: skip
    assert done.returncode == expect, done.stderr
    return done


@pytest.fixture
def root(tmp_path: Path) -> Path:
    subprocess.run([RESTORED, "init", tmp_path / "station"], check=True, capture_output=True)
    return tmp_path / "station"


def records(root: Path) -> list[Path]:
    return sorted(root.glob("outbox/**/*.json"))


def assert_whole(root: Path, originals: dict[str, bytes]) -> None:
    """Every photograph has one result with one record, and lies once in the archive."""
    found = sorted(p.relative_to(root / "outbox") for p in (root / "outbox").rglob("*.png"))
    assert found == sorted(Path(name).with_suffix(".png") for name in originals)
    for path in (root / "outbox").rglob("*.png"):
        with Image.open(path) as picture:
            picture.load()
        record = json.loads(path.with_name(f"{path.name}.json").read_text())
        assert record["outputs"][0]["file"] == path.name
    assert everything_below(root / "archive") == originals
    assert everything_below(root / ".restored" / "work") == {}
    assert everything_below(root / ".restored" / "staged") == {}
    assert everything_below(root / "inbox") == {}
    assert everything_below(root / "failed") == {}


def leased(root: Path) -> int:
    try:
        ledger = LedgerReader(root / ".restored" / "ledger.sqlite3")
    except ConfigError:  # it is being made
        return 0
    try:
        return len(ledger.in_state("leased"))
    finally:
        ledger.close()


def test_every_recipe_restores_a_real_photograph(root: Path) -> None:
    grey = photograph(64, 160).convert("L")
    drop_picture(root, "colorize/a.png", grey)
    drop_picture(root, "denoise/a.png", photograph(64))
    drop_picture(root, "super-resolve/a.png", photograph(48, 200))
    drop_picture(root, "restyle/a.png", photograph(64, 100))
    drop_picture(root, "old-photo/a.png", grey.resize((48, 48)))
    drop_picture(root, "interpolate/pair-a.png", photograph(48))
    drop_picture(root, "interpolate/pair-b.png", photograph(48, 300))
    restored(root, "once")
    names = {str(path.relative_to(root / "outbox")) for path in records(root)}
    assert names == {
        "colorize/a.png.json", "denoise/a.png.json", "super-resolve/a.png.json",
        "restyle/a.png.json", "old-photo/a.png.json", "interpolate/pair.webp.json",
    }  # fmt: skip
    with Image.open(root / "outbox/colorize/a.png") as colour:
        assert colour.mode == "RGB"
        assert colour.convert("L").tobytes() == grey.tobytes()
    with Image.open(root / "outbox/super-resolve/a.png") as large:
        assert large.size == (96, 96)
    with Image.open(root / "outbox/old-photo/a.png") as old:
        assert (old.size, old.mode) == ((96, 96), "RGB")
    with Image.open(root / "outbox/interpolate/pair.webp") as film:
        assert film.n_frames == 9  # type: ignore[attr-defined]
    status = json.loads(restored(root, "status", "--json").stdout)
    assert status, "status tells something"


def test_a_dropped_photograph_is_restored_and_sigterm_ends_the_daemon_cleanly(root: Path) -> None:
    with running(root) as process:
        drop_picture(root, "denoise/one.png", photograph(64))
        wait_for(lambda: len(records(root)) == 1, "the first result")
        for number in range(4):
            drop_picture(root, f"super-resolve/{number}.png", photograph(64, number))
        wait_for(lambda: leased(root) > 0, "work in flight")
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 0
    assert leased(root) == 0
    restored(root, "once")
    assert len(records(root)) == 5


def test_kill_minus_nine_of_the_daemon_at_many_moments_loses_nothing(root: Path) -> None:
    originals = {}
    for number in range(24):
        name = f"denoise/{number % 3}/{number}.png"
        originals[name] = drop_picture(root, name, photograph(64, 10 * number)).read_bytes()
    for moment_s in (0.4, 0.7, 1.0, 1.5):
        with running(root) as process:
            time.sleep(moment_s)
            process.kill()
    for _ in range(2):
        published = len(records(root))
        with running(root) as process:
            wait_for(lambda n=published: len(records(root)) > n, "a result")  # type: ignore[misc]
            process.kill()
    restored(root, "once")
    assert_whole(root, originals)


def kill_at_work(root: Path, process: subprocess.Popen[bytes]) -> None:
    """Kill the worker while the ledger says that it has photographs in flight."""
    killed, worker = False, None

    def try_once() -> bool:
        nonlocal killed, worker
        worker = worker_of(process)
        if worker is not None and leased(root):
            os.kill(worker, signal.SIGSTOP)
            time.sleep(0.3)  # what it has reported is recorded meanwhile
            killed = leased(root) > 0
            os.kill(worker, signal.SIGKILL if killed else signal.SIGCONT)
        return killed

    wait_for(try_once, "a worker at work")
    wait_for(lambda: worker_of(process) != worker, "its end")


def test_kill_minus_nine_of_the_worker_loses_nothing(root: Path) -> None:
    def drop_four(first: int) -> None:
        for number in range(first, first + 4):
            drop_picture(root, f"restyle/{number}.png", photograph(128, 10 * number))

    with running(root) as process:
        drop_four(0)
        for count in (1, 4):
            wait_for(lambda c=count: len(records(root)) >= c, "results")  # type: ignore[misc]
            drop_four(4 if count == 1 else 8)
            kill_at_work(root, process)
        wait_for(lambda: len(records(root)) == 12, "all results")
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 0
    originals = everything_below(root / "archive")
    assert len(originals) == 12
    assert_whole(root, originals)


def test_the_worker_does_not_outlive_a_killed_daemon(root: Path) -> None:
    drop_picture(root, "denoise/a.png", photograph(64))
    with running(root) as process:
        wait_for(lambda: bool(records(root)), "a result, so that the worker waits for more")
        worker = worker_of(process)
        assert worker is not None
        process.kill()
        wait_for(lambda: not Path(f"/proc/{worker}/maps").exists(), "the worker's end")


def test_a_second_daemon_is_refused_with_exit_code_75(root: Path) -> None:
    with running(root):
        wait_for((root / ".restored" / "lock").exists, "the lock")
        wait_for(lambda: (root / ".restored" / "ledger.sqlite3").exists(), "the ledger")
        done = restored(root, "once", expect=75)
        assert "another daemon" in done.stderr


def test_a_bulk_job_outlives_daemons_that_are_killed(root: Path, tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    for number in range(8):
        path = scans / f"box-{number % 3}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        photograph(96, 20 * number).save(path)
    (scans / "box-1/broken.jpg").write_bytes(b"\xff\xd8\xff no photograph")
    before = everything_below(scans)
    restored(root, "submit", str(scans), "--recipe", "denoise", "--name", "all of it")
    for least in (1, 3):
        with running(root) as process:
            wait_for(lambda least=least: len(records(root)) >= least, "results")  # type: ignore[misc]
            process.kill()
            process.wait()
    with running(root):
        followed = restored(root, "bulk", "show", "all of it", "--follow", expect=65)
    assert "all of it (denoise): ended, 8 of 9 done, 1 failed" in followed.stdout
    found = {path.relative_to(root / "outbox/denoise/scans") for path in records(root)}
    assert found == {Path(f"box-{n % 3}/{n}.png.json") for n in range(8)}
    assert everything_below(scans) == before
    said = json.loads((root / "reports/all of it/report.json").read_text())
    assert (said["counts"]["done"], said["counts"]["failed"]) == (8, 1)
    with Image.open(root / "reports/all of it/contact-sheet.jpg") as sheet:
        assert sheet.height > 8 * 96
    assert everything_below(root / ".restored" / "staged") == {}


ASK_AS_ANOTHER_USER = """
import os, pathlib, sys
import daemon.config.station_setup
from daemon.cli.main import exit_code
daemon.config.station_setup.SHIPPED_RECIPES = pathlib.Path(sys.argv[1], "recipes")  # not root's
ask = ["--station", sys.argv[1], "status", "--json"]
exit_code(ask)  # loads every module: the other user may not read where Python lies
print("as another user", flush=True)
os.setgroups([int(sys.argv[2])])
os.setgid(65534)
os.setuid(65534)
sys.exit(exit_code(ask))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_another_user_of_the_group_reads_the_status_while_the_daemon_runs() -> None:
    group = next(g for g in grp.getgrall() if g.gr_gid not in (0, 65534))
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        root = Path(folder) / "station"
        shared = {"RESTORED_GROUP": group.gr_name, "RESTORED_UMASK": "0027"}
        subprocess.run(
            [RESTORED, "init", root], check=True, capture_output=True, env=os.environ | shared
        )
        drop_picture(root, "denoise/a.png", photograph(64))
        with running(root, **shared):
            wait_for(lambda: bool(records(root)), "a result")
            command = [sys.executable, "-c", ASK_AS_ANOTHER_USER, str(root), str(group.gr_gid)]
            asked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert asked.returncode == 0, asked.stderr
    answer = json.loads(asked.stdout.partition("as another user")[2])
    assert [(row["recipe"], row["done"]) for row in answer["recipes"]] == [("denoise", 1)]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False).returncode:
        pytest.skip("only root may mount a small file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_stops_claiming_and_freeing_it_lets_work_go_on(small_disk: Path) -> None:
    root = small_disk / "station"
    subprocess.run([RESTORED, "init", root], check=True, capture_output=True)
    originals = {}
    for number in range(8):
        name = f"super-resolve/{number}.png"
        originals[name] = drop_picture(root, name, photograph(64, 20 * number)).read_bytes()
    ballast = small_disk / "ballast"
    room = shutil.disk_usage(small_disk).free - 350_000
    ballast.write_bytes(b"\0" * max(0, room))
    with running(root, RESTORED_MIN_FREE_MB="0.1", RESTORED_RETRY_S="0.5") as process:
        wait_for(lambda: "disk_full" in (root / "run.log").read_text(), "the warning")
        assert process.poll() is None
        ballast.unlink()
        wait_for(lambda: len(records(root)) == 8, "all results")
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 0
    assert_whole(root, originals)


def test_apply_cleans_up_on_sigterm(tmp_path: Path) -> None:
    before = tmp_path / "before.png"
    photograph(480).resize((1920, 1920)).save(before)
    (tmp_path / "out").mkdir()
    command = [str(RESTORED), "apply", "denoise", str(before), "-o", str(tmp_path / "out")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        wait_for(lambda: any((tmp_path / "out").iterdir()), "the scratch folder")
        process.terminate()
        assert process.wait(DEADLINE_S) == 143
    assert list((tmp_path / "out").iterdir()) == []
