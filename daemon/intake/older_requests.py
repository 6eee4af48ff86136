"""Requests that an older version left in its three folders, taken over when the daemon starts.

There each kind of request had a form of its own: `retry/` held lists of paths, `redo/` lists of
rows, `bulk/` a word, a name and the rest as JSON in a string.
"""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from daemon.config.station import Station
from daemon.intake.requests import (
    BulkCancelRequest,
    BulkPauseRequest,
    BulkResumeRequest,
    BulkRetryRequest,
    BulkSubmitRequest,
    RedoRequest,
    Request,
    RetryRequest,
    leave_as,
)
from daemon.system.files import shown
from daemon.system.json_files import read_json

_log = structlog.get_logger()


def take_over(station: Station) -> None:
    """Leave each older request anew, in today's form, and remove it; ids stay as they were."""
    for name, read in (("retry", _retry), ("redo", _redo), ("bulk", _bulk)):
        folder = station.state / name
        for path in sorted(folder.glob("*.json")):
            _take_over(station, path, read)
        with contextlib.suppress(OSError):  # there is none, or something set aside is left in it
            folder.rmdir()


def _take_over(station: Station, path: Path, read: Callable[[Any], Request]) -> None:
    try:
        request = read(read_json(path))
    except Exception as error:  # a parser of what anybody may have put there raises what it likes
        aside = path.with_suffix(".refused")
        with contextlib.suppress(OSError):
            path.rename(aside)
        why = repr(error).encode("utf-8", "backslashreplace").decode()[:500]
        _log.warning("request_refused", request=shown(aside), why=why)
        return
    leave_as(station, request, path.stem)
    with contextlib.suppress(OSError):  # it is taken over again at the next start, and counts once
        path.unlink()


def _retry(content: Any) -> Request:  # noqa: ANN401  # JSON of any shape
    return RetryRequest(paths=tuple(content))


def _redo(content: Any) -> Request:  # noqa: ANN401
    return RedoRequest(rows=tuple(row for row in content if isinstance(row, int)))


def _bulk(content: Any) -> Request:  # noqa: ANN401
    what, name, rest = content
    values = json.loads(rest)
    match what:
        case "submit":
            return BulkSubmitRequest(
                name=name,
                recipe=values["recipe"],
                roots=tuple(values["roots"]),
                at=values["at"],
                starts_at=values["starts_at"],
            )
        case "pause":
            return BulkPauseRequest(name=name)
        case "resume":
            return BulkResumeRequest(name=name)
        case "cancel":
            return BulkCancelRequest(name=name)
        case "retry":
            return BulkRetryRequest(name=name, at=values["at"])
    raise ValueError(f"{what!r} is asked of no bulk job")
