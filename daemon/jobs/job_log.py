"""The job log: one file a day, with one line of JSON for each finished job.

A crash may repeat a line but loses none. Nothing that must be right depends on the log.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path

import structlog

from daemon.jobs.record import utc
from daemon.system.files import shown
from daemon.system.text import json_text

_log = structlog.get_logger()


class JobLog:
    """Appends to the files of one folder; a line that cannot be written is only a warning.

    Attributes:
        folder: Where they lie.
        lost: Lines that could not be written, since the last one that could.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lost = 0

    def append(self, content: Mapping[str, object], now: float) -> None:
        """Append one line to the day's file; `now` in UTC seconds since the epoch."""
        day = datetime.fromtimestamp(now, UTC).strftime("%Y%m%d")
        path = self.folder / f"jobs-{day}.jsonl"
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(json_text({"at": utc(now), **content}) + "\n")
        except OSError as error:
            self.lost += 1
            _log.warning("job_log_not_written", path=shown(path), why=str(error), lost=self.lost)
        else:
            self.lost = 0


def days(logs: Path) -> list[tuple[date, Path]]:
    """The files of the job log, each with its day, the oldest first; other files are left out."""
    found = []
    for path in logs.glob("jobs-????????.jsonl"):
        try:
            day = datetime.strptime(path.stem.removeprefix("jobs-"), "%Y%m%d").date()
        except ValueError:
            continue
        found.append((day, path))
    return sorted(found)
