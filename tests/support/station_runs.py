"""Runs of a station in this process, with the fake executor: drop, run, look at the outbox."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from daemon.config.station_setup import open_station
from daemon.jobs.ledger.writer import Ledger
from daemon.service.daemon import Daemon, RunSummary
from tests.support.fakes import everything_below

NO_WAITS = {"settle_s": 0, "retry_s": 0, "min_free_mb": 0, "arriving_s": 0, "drain_s": 1}
"""Settings with which a run never waits for time to pass."""


def write_settings(root: Path, **settings: object) -> None:
    """Write restored.toml: `NO_WAITS` and these."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in (NO_WAITS | settings).items()]
    (root / "restored.toml").write_text("\n".join(lines))


def write_scheduled_recipe(root: Path, name: str, *schedule: str) -> None:
    """Write a recipe that denoises, with these lines as its [schedule]."""
    step = '[[steps]]\nkind = "denoise"\n'
    (root / f"recipes/{name}.toml").write_text("\n".join(["[schedule]", *schedule, step]))


def drop_photo(root: Path, name: str, colour: str = "red", size: int = 8) -> bytes:
    """Save a plain PNG in the inbox, whatever its suffix says; returns its bytes."""
    path = root / "inbox" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (size, size), colour).save(path, format="PNG")
    return path.read_bytes()


@contextlib.contextmanager
def open_daemon(root: Path, *, executor: str = "fake") -> Iterator[Daemon]:
    """A daemon on the station in `root`."""
    station, settings = open_station(root, for_daemon=True)
    with Daemon.open(station, settings, executor=executor) as daemon:
        yield daemon


def run_once(root: Path, *, executor: str = "fake") -> RunSummary:
    """Restore what is there."""
    with open_daemon(root, executor=executor) as daemon:
        return daemon.once()


def assert_no_leftovers(root: Path) -> None:
    """Nothing is left between the inbox and the outbox."""
    assert everything_below(root / ".restored" / "work") == {}
    assert everything_below(root / ".restored" / "staged") == {}


def published_results(root: Path) -> dict[str, bytes]:
    """The results in the outbox by relative path; every one has its record.

    Sidecars are none; each is named by the record of its result.
    """
    found = everything_below(root / "outbox")
    records = {name: json.loads(found[name]) for name in found if name.endswith(".json")}
    sidecars = {
        str(Path(name).with_name(one["file"]))
        for name, record in records.items()
        for one in record.get("sidecars", ())
    }
    results = found.keys() - records.keys() - sidecars
    for name in results:
        assert f"{name}.json" in found, f"{name} has no record"
    return {name: content for name, content in found.items() if name in results}


def ended_by_kill(run: Callable[[], object]) -> bool:
    """Run something in a child process; whether that ended as one that is killed ends."""
    child = os.fork()
    if child == 0:
        try:
            run()
        except BaseException:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, 137), code
    return code == 137


_CALLS = ("link", "unlink", "rename", "mkdir", "fsync", "chmod")


def cut_off_after(calls: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """End this process at a file system call or commit, as a power cut would; `calls` succeed."""
    left = calls

    def dying(real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            nonlocal left
            left -= 1
            if left < 0:
                os._exit(137)
            return real(*args, **kwargs)

        return call

    for name in _CALLS:
        monkeypatch.setattr(os, name, dying(getattr(os, name)))
    for name in ("intend", "queue", "lease", "intend_publication", "publish", "fail", "end"):
        monkeypatch.setattr(Ledger, name, dying(getattr(Ledger, name)))
