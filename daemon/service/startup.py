"""Start of a daemon on its station: its folders, the open ledger, the lock."""

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from typing import TextIO, TypeVar

import structlog

from daemon.config.settings import Settings
from daemon.config.station import Station
from daemon.config.station_setup import (
    group_errors_explained,
    group_id,
    make_request_folders,
    set_umask,
)
from daemon.jobs.access import Access
from daemon.jobs.ledger.writer import Ledger
from daemon.service.events import EventQueue
from daemon.system.disk_probe import DiskProbe
from daemon.system.disk_space import is_no_space
from daemon.system.errors import BusyError, ConfigError, LedgerError, PassingError
from daemon.system.files import AWAY, make_folder, shown
from daemon.system.mounts import MountWatch, is_network_path

_log = structlog.get_logger()

T = TypeVar("T")

LOCKED_S = 600.0
"""Seconds a daemon that starts waits for a ledger that another program has locked."""


def prepare(station: Station, settings: Settings) -> Access:
    """Make the folders a daemon needs; returns who may read what it writes.

    Raises:
        ConfigError: The ledger would lie on network storage, or the group is unknown.
        AccessError: This user may not give files to the group.
    """
    set_umask(settings)
    if is_network_path(station.state):
        raise ConfigError(
            f"{shown(station.state)}: the ledger may not lie on network storage; "
            f"set state_dir in {shown(station.settings_file)} to a local folder"
        )
    access = Access(int(settings.file_mode, 8), group_id(settings))
    with group_errors_explained(settings):
        for folder in (station.work, station.staged, station.logs):
            make_folder(folder, access.group)
        try:
            if not DiskProbe().answers(station.outbox):
                raise OSError(errno.ETIMEDOUT, "its disk does not answer")
            if MountWatch(station.mounts).is_unmounted(station.outbox):
                raise OSError(errno.ENODEV, "its disk is not mounted any more")
            make_folder(station.outbox, access.group)
        except OSError as error:  # results wait for it, as they do later
            if error.errno not in AWAY:
                raise
            _log.warning("outbox_away", folder=shown(station.outbox), why=error.strerror)
        make_request_folders(station, settings, access.group)
        if access.group is not None:
            os.chown(station.state, -1, access.group)
            station.state.chmod(station.state.stat().st_mode | 0o2050)
    return access


def open_ledger(station: Station, access: Access) -> Ledger:
    """Open the ledger for writing; the group may read it."""
    try:
        ledger = Ledger(station.ledger)
    except ConfigError as error:
        if error.__cause__ is not None and is_no_space(error.__cause__):
            raise PassingError(f"{error}; free some space") from error
        raise
    if access.group is not None:
        for path in station.state.glob("ledger.sqlite3*"):
            os.chown(path, -1, access.group)
    return ledger


def is_daemon_running(station: Station) -> bool:
    """Whether a daemon seems to run on the station: its lock names a process that is alive."""
    try:
        os.kill(int(station.lock.read_text()), 0)
    except PermissionError:
        return True
    except (OSError, ValueError):
        return False
    return True


def when_unlocked(step: Callable[[], T], events: EventQueue, beat: Callable[[], None]) -> T:
    """Do what needs the ledger at the start; wait while another program, such as a backup, has it.

    Args:
        step: What to do; it can be done again after it failed.
        events: SIGTERM and SIGINT end the wait.
        beat: Called about once a second.

    Raises:
        LedgerError: The ledger stayed locked for `LOCKED_S`, or a signal came.
    """
    until = time.monotonic() + LOCKED_S
    said = False
    while True:
        try:
            return step()
        except LedgerError as error:
            if not error.locked:
                raise
            if not said:
                _log.warning("ledger_locked", why=str(error), waits_s=LOCKED_S)
                said = True
            beat()
            if events.take(1.0).stop or time.monotonic() >= until:
                raise


class StationLock:
    """The lock that one daemon holds on its station; made by `only_daemon`."""

    def __init__(self, station: Station) -> None:
        """Take the lock.

        Raises:
            BusyError: Another daemon holds it.
        """
        self._station = station
        self._file = self._taken()

    def check(self) -> None:
        """Take the lock anew if somebody removed or replaced its file.

        Raises:
            BusyError: Another daemon was started meanwhile; this one must end.
            OSError: The file cannot be made.
        """
        mine = os.fstat(self._file.fileno())
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(mine, self._station.lock.stat()):
                return
        _log.warning("lock_removed", path=shown(self._station.lock))
        file = self._taken()
        self._file.close()
        self._file = file

    def close(self) -> None:
        """Let go of the lock; its file names no process any more."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._file.fileno(), 0)
        self._file.close()

    def _taken(self) -> TextIO:
        station = self._station
        with contextlib.ExitStack() as closing:
            file = closing.enter_context(station.lock.open("a+"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                file.seek(0)
                raise BusyError(
                    f"{shown(station.root)}: another daemon (process {file.read().strip() or '?'}) "
                    "works on this station; stop it first, or use another station"
                ) from error
            with contextlib.suppress(OSError):  # a full disk keeps the number out, not the lock
                os.ftruncate(file.fileno(), 0)
                os.write(file.fileno(), f"{os.getpid()}\n".encode())
            closing.pop_all()
            return file


@contextlib.contextmanager
def only_daemon(station: Station) -> Iterator[StationLock]:
    """Hold the station's lock until the block ends.

    Raises:
        BusyError: Another daemon holds it.
    """
    with contextlib.closing(StationLock(station)) as lock:
        yield lock
