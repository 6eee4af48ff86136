"""Back a station up into a folder, and make a station of a backup.

The ledger is copied first, by SQLite's own backup, then folders in the direction in which
photographs travel: what moves on meanwhile is copied twice, and a daemon may be at work.
`backup.json` is written last; a folder without it is no backup.
"""

import contextlib
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from daemon import __version__
from daemon.config.station import Station
from daemon.config.station_setup import make_station, open_station
from daemon.jobs.ledger.reader import LedgerReader
from daemon.service.startup import is_daemon_running
from daemon.system.errors import BusyError, CannotWriteError, ConfigError
from daemon.system.files import shown
from daemon.system.json_files import read_json, write_whole

_MARK = "backup.json"
_LEDGER = "ledger.sqlite3"
_SETTINGS = "restored.toml"


class _Mark(BaseModel):
    """What a backup says of itself.

    Attributes:
        station: The station's folder, whose paths the ledger names.
        restored: Version of the program.
        at: When it was complete, UTC seconds since the epoch.
        archive: Whether it holds archive/ and outbox/.
    """

    station: Path
    restored: str
    at: float
    archive: bool


@dataclass(frozen=True)
class BackupSummary:
    """What was copied: files and their bytes, the ledger apart."""

    files: int = 0
    bytes: int = 0


def back_up(station: Station, target: Path, *, archive: bool) -> BackupSummary:
    """Copy a station into a folder that is empty or not there yet.

    Args:
        station: The station; a daemon may be at work on it.
        target: The folder.
        archive: Copy archive/ and outbox/ too: all originals and results.

    Raises:
        CannotWriteError: The folder holds something.
        OSError: A file cannot be read or written.
    """
    if target.exists() and any(target.iterdir()):
        raise CannotWriteError(f"{shown(target)} is not empty; name a new folder")
    target.mkdir(parents=True, exist_ok=True)
    if station.ledger.exists():
        with contextlib.closing(LedgerReader(station.ledger)) as ledger:
            ledger.back_up(target / _LEDGER)
    copied = BackupSummary()
    for name, folder in _folders(station, archive=archive).items():
        copied = _copy_tree(folder, target / name, copied)
    if station.settings_file.exists():
        copied = _copy_file(station.settings_file, target / _SETTINGS, copied)
    mark = _Mark(station=station.root, restored=__version__, at=time.time(), archive=archive)
    write_whole(target / _MARK, mark.model_dump(mode="json"))
    return copied


def restore_backup(source: Path, root: Path) -> BackupSummary:
    """Make a station of a backup, in a folder without one.

    Args:
        source: The backup.
        root: The station's folder; the one that was backed up, since the ledger names its paths.

    Raises:
        ConfigError: The folder is no backup, or one of another station.
        CannotWriteError: There is a ledger already.
        BusyError: A daemon is at work there.
    """
    try:
        mark = _Mark.model_validate(read_json(source / _MARK))
    except Exception as error:  # a parser may raise what it likes
        raise ConfigError(f"{shown(source)}: no complete backup; it has no {_MARK}") from error
    root = root.absolute()
    if mark.station != root:
        raise ConfigError(
            f"{shown(source)} is of {shown(mark.station)}, whose paths its ledger names; restore "
            "it there, then move the station (docs/operating.md, Move a station)"
        )
    root.mkdir(parents=True, exist_ok=True)
    copied = BackupSummary()
    settings = source / _SETTINGS
    if settings.exists() and not (open_station(root)[0].settings_file).exists():
        copied = _copy_file(settings, open_station(root)[0].settings_file, copied)
    station = open_station(root)[0]
    if is_daemon_running(station):
        raise BusyError(f"a daemon is at work on {shown(root)}; stop it first")
    if station.ledger.exists():
        raise CannotWriteError(f"{shown(station.ledger)} exists; move it away first")
    for name, folder in _folders(station, archive=mark.archive).items():
        copied = _copy_tree(source / name, folder, copied)
    if (source / _LEDGER).exists():
        station.state.mkdir(parents=True, exist_ok=True)
        copied = _copy_file(source / _LEDGER, station.ledger, copied)
    make_station(root)
    return copied


def _folders(station: Station, *, archive: bool) -> dict[str, Path]:
    """Folders by their names in a backup, in the direction in which photographs travel."""
    folders = {"inbox": station.inbox, "work": station.work}
    if archive:
        folders |= {"archive": station.archive, "failed": station.failed, "outbox": station.outbox}
    else:
        folders |= {"failed": station.failed}
    return folders | {
        "recipes": station.recipes,
        "logs": station.logs,
        "reports": station.reports,
    }


def _copy_tree(source: Path, target: Path, before: BackupSummary) -> BackupSummary:
    """Copy what is in a folder, links as links; what goes away meanwhile has moved on."""
    summary = before
    for folder, names, files in os.walk(source):
        place = target / Path(folder).relative_to(source)
        for name in ("", *names):
            made = place / name
            made.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                _copy_owner(Path(folder) / name, made)
                shutil.copystat(Path(folder) / name, made)
        for name in files:
            with contextlib.suppress(FileNotFoundError):
                summary = _copy_file(Path(folder) / name, place / name, summary)
    return summary


def _copy_file(source: Path, target: Path, before: BackupSummary) -> BackupSummary:
    shutil.copy2(source, target, follow_symlinks=False)
    _copy_owner(source, target)
    size = target.lstat().st_size
    return BackupSummary(before.files + 1, before.bytes + size)


def _copy_owner(source: Path, target: Path) -> None:
    """Give a copy the owner of its source; only root may, and for others all is their own."""
    status = source.lstat()
    with contextlib.suppress(PermissionError):
        os.chown(target, status.st_uid, status.st_gid, follow_symlinks=False)
