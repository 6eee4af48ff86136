"""Commands that restore in a station: run, once, demo."""

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from daemon.cli.context import SOME_FAILED, out, say, station_of
from daemon.cli.text_layout import FileMatter, matter_lines
from daemon.system import logging as log
from daemon.system.errors import BusyError, ConfigError
from daemon.system.files import as_text, shown


def run(context: typer.Context) -> None:
    """Watch the inboxes and restore what arrives, until stopped.

    Example: `RESTORED_STATION=/srv/photos restored run`
    """
    from daemon.cli.progress import show_progress
    from daemon.config.station_setup import open_station
    from daemon.service.daemon import Daemon
    from daemon.service.monitoring.systemd import systemd_notifier

    station, settings = open_station(station_of(context, for_daemon=True).root, for_daemon=True)
    log.set_level(settings.log_level)
    systemd = systemd_notifier(os.environ, settings.stall_s, settings.alive_file)
    with (
        show_progress() as progress,
        Daemon.open(station, settings, progress=progress, systemd=systemd) as daemon,
    ):
        daemon.run()


def once(context: typer.Context) -> int:
    """Restore what lies in the inboxes and exit; exit 65 if some failed. For cron and timers.

    Example: `restored --station photos once`
    """
    from daemon.cli.progress import show_progress
    from daemon.config.station_setup import known_recipes, open_station
    from daemon.jobs.timetable import opening_in_words
    from daemon.service.component_settings import unknown_watch_recipes
    from daemon.service.daemon import Daemon
    from daemon.service.monitoring.systemd import systemd_notifier

    station, settings = open_station(station_of(context, for_daemon=True).root, for_daemon=True)
    log.set_level(settings.log_level)
    systemd = systemd_notifier(os.environ, settings.stall_s, settings.alive_file)
    with (
        show_progress() as progress,
        Daemon.open(station, settings, progress=progress, systemd=systemd) as daemon,
    ):
        summary = daemon.once()
    waits = (FileMatter(as_text(notice.path), notice.what) for notice in summary.waiting)
    for line in matter_lines("waits", waits, out.width):
        say(line)
    for held in summary.held_back:
        say(f"waits: {held.describe(time.time())}")
    waiting = len(summary.waiting) + sum(held.jobs for held in summary.held_back)
    opening = opening_in_words(summary.held_back, time.time())
    idle = opening and not (summary.done or summary.failed)
    hours = f"; nothing may start before {opening}" if idle else ""
    say(f"{summary.done} restored, {summary.failed} failed, {waiting} waiting{hours}")
    if summary.held_up:
        raise BusyError(f"nothing more was started: {summary.held_up}")
    if summary.failed:
        return SOME_FAILED
    for notice in unknown_watch_recipes(settings, known_recipes(station), time.time()):
        raise ConfigError(f"{shown(notice.path)}: {notice.what}")
    return 0


def demo(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the station to make.")],
) -> int:
    """Restore damaged photographs with the shipped recipes; writes DIR/contact-sheet.png.

    Example: `restored demo demo-station`
    """
    from daemon.cli import demo as demos
    from daemon.cli.progress import show_progress
    from daemon.config.station_setup import make_station, open_station

    station = make_station(folder)
    with show_progress() as progress:
        found = demos.demo(station, open_station(folder, for_daemon=True)[1], progress)
    demos.print_table(found, out)
    say(shown(station.root / demos.SHEET))
    say(f"see each before and after in the browser: restored --station {shown(folder)} web")
    return SOME_FAILED if any(one.result is None for one in found) else 0
