"""The job log: one file a day, one line for each finished job.

Comes in: what became of a job. Goes out: a line of JSON. A crash may repeat a line, never lose one.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import structlog

from daemon.files import shown
from daemon.record import utc

_log = structlog.get_logger()


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
