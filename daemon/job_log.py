"""The job log: one file a day, one line for each finished job.

Comes in: what became of a job. Goes out: a line of JSON, and what the lines say of how long jobs
took. A crash may repeat a line, never lose one; nothing that must be right depends on them.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import structlog

from daemon.estimate import Sample
from daemon.files import shown
from daemon.models import Library
from daemon.recipe import Recipe
from daemon.record import utc

_log = structlog.get_logger()
_SAMPLES = 500
"""The latest so many jobs are asked: a machine's pace changes with its load and its drivers."""

_TAIL_BYTES = 8 << 20


class JobLog:
    """Appends to the files of one folder; a line that cannot be written stops nothing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def append(self, content: Mapping[str, object], now: float) -> None:
        """Append one line to the day's file; `now` in UTC seconds since the epoch."""
        day = datetime.fromtimestamp(now, UTC).strftime("%Y%m%d")
        path = self._folder / f"jobs-{day}.jsonl"
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"at": utc(now), **content}) + "\n")
        except OSError as error:
            _log.warning("job_log_not_written", path=shown(path), why=str(error))


def days(logs: Path) -> list[tuple[date, Path]]:
    """The files of the job log with their days, the oldest first; other files are left out."""
    found = []
    for path in logs.glob("jobs-????????.jsonl"):
        try:
            day = datetime.strptime(path.stem.removeprefix("jobs-"), "%Y%m%d").date()
        except ValueError:
            continue
        found.append((day, path))
    return sorted(found)


def samples(logs: Path, recipe: Recipe, library: Library) -> list[Sample]:
    """What the latest jobs of this very recipe with these very weights took, the newest first.

    Only those on the device of the newest count: another is faster or slower.

    Args:
        logs: Folder of the job log.
        recipe: What is to be done.
        library: Where its models lie.
    """
    pinned, weights = library.resolved(recipe)
    wanted = (pinned.digest, dict(zip(pinned.models, weights, strict=True)))
    found: list[Sample] = []
    device = None
    for line in _newest_first(logs):
        if (line.get("recipe_digest"), line.get("models")) != wanted:
            continue
        device = line.get("device") if device is None else device
        sample = sample_of(line)
        if sample is None or line.get("device") != device:
            continue
        found.append(sample)
        if len(found) == _SAMPLES:
            break
    return found


def sample_of(record: Mapping[str, Any]) -> Sample | None:
    """What a record says of its job's time, or None if it is no whole record."""
    try:
        timing = record["timing"]
        photos = [given for given in record["inputs"] if given["role"] == "photo"]
        pixels = sum(photo["width"] * photo["height"] for photo in photos)
        host_s = timing["decode_s"] + timing["encode_s"]
        if timing.get("calls") == 0:  # nothing was waited for
            host_s += timing["restore_s"]
        return Sample(pixels / 1e6, float(timing["device_s"]), float(host_s))
    except (KeyError, TypeError, ValueError):
        return None


def _newest_first(logs: Path) -> Iterator[Mapping[str, Any]]:
    left = _TAIL_BYTES
    for _, path in reversed(days(logs)):
        try:
            with path.open("rb") as file:
                size = file.seek(0, 2)
                file.seek(max(0, size - left))
                lines = file.read(left).splitlines()
        except OSError:
            continue
        left -= size
        for line in reversed(lines):
            try:
                content = json.loads(line)
            except ValueError:  # cut off by a crash, or by where reading began
                continue
            if isinstance(content, dict):
                yield content
        if left <= 0:
            return
