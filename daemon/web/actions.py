"""What people may ask for on the page: each is a request to the daemon, or files in an inbox."""

import time
from collections.abc import Sequence
from pathlib import Path

from daemon.bulk.status import pending, read_bulk
from daemon.bulk.submission import check_name, check_roots
from daemon.config.recipe import recipe_named
from daemon.config.settings import Settings
from daemon.config.station import Station
from daemon.config.station_setup import known_recipes
from daemon.intake.requests import (
    BulkCancelRequest,
    BulkPauseRequest,
    BulkRequest,
    BulkResumeRequest,
    BulkRetryRequest,
    BulkSubmitRequest,
    PauseRequest,
    ResumeRequest,
    leave,
)
from daemon.intake.retry import retry_failed
from daemon.jobs.failure_reasons import has_reason
from daemon.service.component_settings import inbox_folders
from daemon.system.clock import local_zone, wall
from daemon.system.errors import ConfigError, UsageError
from daemon.system.files import real_path, shown
from daemon.web.jobs import NotFoundError, reading_jobs

BULK_ACTIONS = ("pause", "resume", "cancel", "retry")


def retry_job(station: Station, settings: Settings, row: int) -> str:
    """Put a failed photograph back into its inbox; returns where it is.

    Raises:
        NotFoundError: There is no such job, or it does not lie in failed/ any more.
        UsageError, ConfigError: It cannot be put back, and why.
        OSError: The file system refuses.
    """
    with reading_jobs(station) as jobs:
        failed_to = jobs.job(row).failed_to
    if failed_to is None or not has_reason(failed_to):
        raise NotFoundError(f"job {row} is not among the failed ones any more")
    folders = inbox_folders(station, settings)
    retried = retry_failed(station, folders, known_recipes(station), [failed_to])
    if retried.left:
        raise ConfigError("\n".join(retried.left))
    return shown(retried.moved[0].name)


def retry_all(station: Station, settings: Settings) -> int:
    """Put all failed photographs back, but those of bulk jobs; returns how many.

    Raises:
        ConfigError: The reason of one cannot be read; the others went back.
        OSError: The file system refuses.
    """
    folders = inbox_folders(station, settings)
    retried = retry_failed(station, folders, known_recipes(station), [])
    if retried.left:
        raise ConfigError("\n".join(retried.left))
    return len(retried.moved)


def pause(station: Station, *, paused: bool) -> str:
    """Pause the station, or end that; returns the id of the request."""
    return leave(station, PauseRequest() if paused else ResumeRequest())


def submit_bulk(
    station: Station, settings: Settings, name: str, recipe: str, folders: Sequence[str]
) -> str:
    """Submit folders as a bulk job; returns the id of the request.

    Args:
        station: The station.
        settings: Its settings; `web_roots` says below which folders all must lie.
        name: Name of the bulk job; "" makes one up.
        recipe: Name of its recipe.
        folders: Absolute paths.

    Raises:
        UsageError, ConfigError: It cannot be submitted, and why.
    """
    chosen = recipe_named(recipe, known_recipes(station))
    own = (station.root, *(watch.outbox for watch in settings.watch))
    paths = [_allowed_folder(folder, settings.web_roots) for folder in folders if folder.strip()]
    if not paths:
        raise UsageError("name at least one folder")
    roots = check_roots(own, paths)
    now = time.time()
    called = name.strip() or f"{chosen.name}-{wall(now, local_zone()):%Y-%m-%d-%H%M%S}"
    check_name(called)
    if called in [*(one.name for one in read_bulk(station)), *pending(station)]:
        raise UsageError(f"a bulk job is called {called!r} already; choose another name")
    return leave(station, BulkSubmitRequest(name=called, recipe=chosen.name, roots=roots, at=now))


def control_bulk(station: Station, name: str, action: str) -> str:
    """Pause, resume, cancel or retry a bulk job; returns the id of the request.

    Raises:
        NotFoundError: There is no such bulk job.
    """
    if name not in [*(one.name for one in read_bulk(station)), *pending(station)]:
        raise NotFoundError(f"no bulk job is called {name[:100]!r}")
    request: BulkRequest
    match action:
        case "pause":
            request = BulkPauseRequest(name=name)
        case "resume":
            request = BulkResumeRequest(name=name)
        case "cancel":
            request = BulkCancelRequest(name=name)
        case "retry":
            request = BulkRetryRequest(name=name, at=time.time())
        case _:
            raise NotFoundError(f"bulk jobs know {', '.join(BULK_ACTIONS)}")
    return leave(station, request)


def _allowed_folder(text: str, roots: Sequence[Path]) -> Path:
    """A folder that somebody names on the page, which must lie below one of the settings' roots.

    Raises:
        UsageError: It does not.
    """
    path = Path(text.strip())
    if not path.is_absolute() or "\0" in text:
        raise UsageError(f"{text[:200]!r}: write the whole path of a folder, from / on")
    real = real_path(path)
    if not any(real.is_relative_to(real_path(root)) for root in roots):
        named = ", ".join(shown(root) for root in roots) or "none yet"
        raise UsageError(
            f"{shown(path)} lies below no folder of the setting web_roots, which names those that "
            f"may be submitted here: {named}"
        )
    return real
