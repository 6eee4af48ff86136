"""The settings of each component of a daemon, as plain values drawn from the station's settings."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from daemon.config.recipe import Recipe
from daemon.config.settings import Settings
from daemon.config.station import InboxFolder, Notice, Station
from daemon.messages.tasks import Cluster, Compute, ModelOptions
from daemon.photo import Limits
from daemon.photo.content_credentials import Signing
from daemon.system.errors import ConfigError
from daemon.system.files import alternative, shown
from daemon.system.mounts import is_network_path

if TYPE_CHECKING:
    from daemon.service.monitoring.monitor import MonitorSettings


def station_folders(station: Station, settings: Settings) -> tuple[Path, ...]:
    """Every folder that photographs come from or go to."""
    folders = (
        path
        for inbox in inbox_folders(station, settings)
        for path in (inbox.path, inbox.outbox, inbox.archive, inbox.failed)
    )
    return tuple(dict.fromkeys(folders))


def inbox_folders(station: Station, settings: Settings) -> tuple[InboxFolder, ...]:
    """The station's own inbox and the watched folders outside it."""
    inbox = InboxFolder(
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
        for name in [_unique_name(watch.path, taken=names[:number])]
    )
    return (inbox, *watched)


def unknown_watch_recipes(
    settings: Settings, recipes: Sequence[Recipe], now: float
) -> tuple[Notice, ...]:
    """Watched folders whose recipe is not there; `now` in UTC seconds since the epoch."""
    names = {recipe.name for recipe in recipes}
    return tuple(
        Notice(
            watch.path,
            f"no recipe is named {shown(watch.recipe)!r}; nothing in this watched folder is "
            "restored until there is one",
            now,
        )
        for watch in settings.watch
        if watch.recipe not in names
    )


def _unique_name(folder: Path, *, taken: Sequence[str]) -> str:
    """Name of a watched folder in failed/ and archive/; another one may have the same name."""
    if folder.name not in taken:
        return folder.name
    return alternative(folder.name, hashlib.sha256(os.fsencode(folder)).hexdigest()[:8])


def limits_of(settings: Settings) -> Limits:
    """Limits beyond which a photograph is rejected."""
    return Limits(
        settings.max_file_mb, settings.max_input_megapixels, settings.max_output_megapixels
    )


def monitor_settings(settings: Settings) -> "MonitorSettings":
    """Settings of monitoring: what is served, and who gets messages.

    Raises:
        ConfigError: An address for messages is wrong, or apprise is not installed.
    """
    from daemon.service.monitoring.monitor import MonitorSettings
    from daemon.service.monitoring.notifier import read_addresses

    urls = [url.get_secret_value() for url in settings.notify]
    return MonitorSettings(
        port=settings.metrics_port,
        interface=settings.metrics_address,
        addresses=read_addresses(urls, settings.notify_file),
        quiet_s=settings.notify_quiet_s,
        failures_per_hour=settings.notify_failures_per_hour,
    )


def signing_of(settings: Settings) -> Signing | None:
    """With what results are signed, or None.

    Raises:
        ConfigError: One of certificate and key is missing.
    """
    certificate, key = settings.c2pa_certificate, settings.c2pa_key
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        said, other = ("c2pa_key", "c2pa_certificate")[:: 1 if certificate is None else -1]
        raise ConfigError(f"{said} needs {other}; set it, or leave {said} out")
    return Signing(certificate, key)


def executor_of(settings: Settings) -> str:
    """Name of the executor that the settings ask for, an entry of EXECUTORS."""
    if settings.executor == "ray":
        return "ray"
    return "process" if settings.devices == "auto" else "pool"


def _worker_devices(settings: Settings) -> tuple[str, ...]:
    """Devices with a worker each, as in `Compute.devices`."""
    match settings.devices:
        case "auto":
            return ()
        case "all":
            return ("all",)
        case devices:
            return devices


def _cluster_of(settings: Settings) -> Cluster | None:
    if settings.executor != "ray":
        return None
    return Cluster(
        settings.ray_address,
        settings.ray_workers,
        settings.ray_gpus_per_worker,
        shared_files=settings.files == "shared",
    )


def compute_of(settings: Settings) -> Compute:
    """How an executor may use this machine.

    Raises:
        ConfigError: Results can only half be signed.
    """
    memory = settings.memory_mb * 2**20 if settings.memory_mb else None
    models = settings.model_memory_mb * 2**20 if settings.model_memory_mb else None
    return Compute(
        device=settings.device,
        threads=settings.threads,
        memory_bytes=memory,
        limits=limits_of(settings),
        models_dir=settings.models_dir,
        model_bytes=models,
        options=ModelOptions(
            settings.dtype, settings.offload, settings.compile, settings.attention
        ),
        signing=signing_of(settings),
        devices=_worker_devices(settings),
        cluster=_cluster_of(settings),
    )
