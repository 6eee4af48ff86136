"""TODO."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from daemon.config.setup import open_station
from daemon.jobs.ledger.writer import Ledger
from daemon.service.daemon import Daemon, RunSummary
from tests.support.fakes import everything_below

PATIENT = {"settle_s": 0, "retry_s": 0, "min_free_mb": 0, "arriving_s": 0, "drain_s": 1}


def set_up(root: Path, **settings: object) -> None:
    lines = [f"{key} = {json.dumps(value)}" for key, value in (PATIENT | settings).items()]
    (root / "restored.toml").write_text("\n".join(lines))


def drop(root: Path, name: str, colour: str = "red", size: int = 8) -> bytes:
    path = root / "inbox" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (size, size), colour).save(path, format="PNG")
    return path.read_bytes()


def once(root: Path) -> RunSummary:
    station, settings = open_station(root)
    return Daemon(station, settings, executor="fake").once()


def no_leftovers(root: Path) -> None:
    assert everything_below(root / ".restored" / "work") == {}
    assert everything_below(root / ".restored" / "staged") == {}


def results(root: Path) -> dict[str, bytes]:
    found = everything_below(root / "outbox")
    for name in found:
        if not name.endswith(".json"):
            assert f"{name}.json" in found, f"{name} has no record"
    return {name: content for name, content in found.items() if not name.endswith(".json")}


_CUT = ("link", "unlink", "rename", "mkdir", "fsync", "chmod")


def _cut_off_after(calls: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """End this process at the given file system call or commit, as a power cut would."""
    left = calls

    def dying(real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            nonlocal left
            left -= 1
            if left < 0:
                os._exit(137)
            return real(*args, **kwargs)

        return call

    for name in _CUT:
        monkeypatch.setattr(os, name, dying(getattr(os, name)))
    for name in ("intend", "queue", "lease", "intend_publication", "publish", "fail", "end"):
        monkeypatch.setattr(Ledger, name, dying(getattr(Ledger, name)))


def schedule(root: Path, name: str, *lines: str) -> None:
    step = '[[steps]]\nkind = "denoise"\n'
    (root / f"recipes/{name}.toml").write_text("\n".join(["[schedule]", *lines, step]))
