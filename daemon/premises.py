"""The premises: what must be true of a station before a daemon works on it.

Comes in: a station and its settings. Goes out: its inbox folders, its ledger, the lock that keeps
a second daemon out.
"""

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from daemon.errors import BusyError, ConfigError, PassingError
from daemon.files import alternative, make_folder, shown
from daemon.job import Compute, Handling
from daemon.ledger import Ledger
from daemon.lookout import Outlook
from daemon.mounts import is_network_path
from daemon.notifying import read_addresses
from daemon.outbox import Access
from daemon.photo import Limits
from daemon.settings import Settings
from daemon.space import is_no_space
from daemon.station import InboxFolder, Station
from daemon.stationing import group_id, sharing


def prepare(station: Station, settings: Settings) -> Access:
    """Make the folders a daemon needs; says who may read what it writes.

    Raises:
        ConfigError: The ledger would lie on network storage, or the group is unknown.
        AccessError: Nothing may be given to the group.
    """
    os.umask(int(settings.umask, 8))
    if is_network_path(station.state):
        raise ConfigError(
            f"{shown(station.state)}: the ledger may not lie on network storage; "
            f"set state_dir in {shown(station.settings_file)} to a local folder"
        )
    access = Access(int(settings.file_mode, 8), group_id(settings))
    with sharing(settings):
        for folder in (station.work, station.staged, station.logs, station.outbox):
            make_folder(folder, access.group)
        if access.group is not None:
            os.chown(station.state, -1, access.group)
            station.state.chmod(station.state.stat().st_mode | 0o2050)
    return access


def open_ledger(station: Station, access: Access) -> Ledger:
    """Open the ledger for writing, readable for the group."""
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


def inbox_folders(station: Station, settings: Settings) -> tuple[InboxFolder, ...]:
    """The station's own inbox and the folders watched elsewhere."""
    own = InboxFolder(
        path=station.inbox,
        recipe=None,
        outbox=station.outbox,
        failed=station.failed,
        archive=station.archive,
        originals=settings.originals,
        polled=is_network_path(station.inbox),
    )
    names = [watch.path.name for watch in settings.watch]
    watched = (
        InboxFolder(
            path=watch.path,
            recipe=watch.recipe,
            outbox=watch.outbox,
            failed=station.failed / name,
            archive=station.archive / name,
            originals=watch.originals,
            polled=is_network_path(watch.path) if watch.polled == "auto" else watch.polled,
        )
        for number, watch in enumerate(settings.watch)
        for name in [_own_name(watch.path, taken=names[:number])]
    )
    return (own, *watched)


def _own_name(folder: Path, *, taken: Sequence[str]) -> str:
    """What a watched folder is called in failed/ and archive/, where others may be called alike."""
    if folder.name not in taken:
        return folder.name
    return alternative(folder.name, hashlib.sha256(os.fsencode(folder)).hexdigest()[:8])


def limits_of(settings: Settings) -> Limits:
    """What is refused, as plain values."""
    return Limits(
        settings.max_file_mb, settings.max_input_megapixels, settings.max_output_megapixels
    )


def is_daemon_there(station: Station) -> bool:
    """Whether a daemon seems to work on the station: its lock names a process that is alive."""
    try:
        os.kill(int(station.lock.read_text()), 0)
    except PermissionError:
        return True
    except (OSError, ValueError):
        return False
    return True


@contextlib.contextmanager
def only_daemon(station: Station) -> Iterator[None]:
    """Hold the station's lock.

    Raises:
        BusyError: Another daemon holds it.
    """
    with station.lock.open("a+") as file:
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
        yield


def outlook_of(settings: Settings) -> Outlook:
    """What of the work is shown to whom.

    Raises:
        ConfigError: An address for messages is wrong, or apprise is missing.
    """
    urls = [url.get_secret_value() for url in settings.notify]
    return Outlook(
        port=settings.metrics_port,
        interface=settings.metrics_address,
        addresses=read_addresses(urls, settings.notify_file),
        quiet_s=settings.notify_quiet_s,
        failures_per_hour=settings.notify_failures_per_hour,
    )


def compute_of(settings: Settings) -> Compute:
    """How an executor may use this machine, as plain values."""
    memory = settings.memory_mb * 2**20 if settings.memory_mb else None
    models = settings.model_memory_mb * 2**20 if settings.model_memory_mb else None
    return Compute(
        device=settings.device,
        threads=settings.threads,
        memory_bytes=memory,
        limits=limits_of(settings),
        models_dir=settings.models_dir,
        model_bytes=models,
        handling=Handling(settings.dtype, settings.offload, settings.compile, settings.attention),
    )
