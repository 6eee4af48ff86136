"""Notices of a daemon: what waits for somebody, and why; for the status and the end of a run."""

import time
from collections.abc import Sequence

from daemon.config.recipe import Recipe
from daemon.config.station import Notice
from daemon.jobs.publisher import waiting_in_words
from daemon.service.component_settings import station_folders, unknown_watch_recipes
from daemon.service.components import Components
from daemon.system.files import shown
from daemon.system.logging import lost_lines


def notices(
    parts: Components, recipes: Sequence[Recipe], *, at_once: bool = False
) -> tuple[Notice, ...]:
    """List what waits for somebody, and why.

    Args:
        parts: The daemon's components.
        recipes: The recipes as they are now.
        at_once: Include files that may still settle or be joined by themselves.
    """
    now, utc = time.monotonic(), time.time()
    root = parts.station.root
    why = why_no_work(parts, utc)
    unmounted = _unmounted(parts, utc)
    gone = {notice.path for notice in unmounted}
    found = (
        *parts.inbox.notices(now, at_once=at_once),
        *parts.sorter.waiting(now, at_once=at_once),
        *parts.claimer.notices(),
        *parts.publisher.notices(),
        *parts.bulk_manager.notices(recipes),
        *((Notice(root, why, utc),) if why else ()),
        *(
            Notice(root, f"worker {one.name} ({one.device}) is missing: {one.hopeless}", utc)
            for one in parts.dispatcher.workers.lost
        ),
        *(Notice(root, held.describe(), held.since) for held in parts.outcomes.holds.held),
        *unknown_watch_recipes(parts.settings, recipes, utc),
        *_lost_log(parts),
    )
    return (*(notice for notice in found if notice.path not in gone), *unmounted)


def why_no_work(parts: Components, now: float) -> str:
    """Why no photograph can be restored now, or ""; `now` in UTC seconds since the epoch."""
    no_process = parts.dispatcher.workers.why_none or parts.reader.why_no_reader
    return no_process or parts.outcomes.deaths.why_waiting(now)


def why_hopeless(parts: Components) -> str:
    """Why waiting for a process of this daemon leads nowhere, or ""."""
    no_process = parts.dispatcher.workers.why_none or parts.reader.why_no_reader
    return no_process or parts.outcomes.deaths.why_hopeless


def _unmounted(parts: Components, utc: float) -> tuple[Notice, ...]:
    """Folders whose disks were there before, in this run or an earlier one."""
    found = []
    for folder in station_folders(parts.station, parts.settings):
        if parts.publisher.mounts.is_unmounted(folder):
            waiting = parts.publisher.waiting_for(folder)
            what = f"{waiting_in_words(waiting)} for it" if waiting else "what belongs there waits"
            remedy = f"If it is not to come back, remove {shown(parts.station.mounts)}"
            found.append(Notice(folder, f"its disk is not mounted; {what}. {remedy}", utc))
    return tuple(found)


def _lost_log(parts: Components) -> tuple[Notice, ...]:
    lost = lost_lines()
    if lost is None:
        return ()
    what = f"the log cannot be written, {lost.lines} lines are lost: {lost.why}"
    return (Notice(parts.station.root, what, lost.since),)
