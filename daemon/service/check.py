"""Checks a station: settings, recipes, models, folders, device. Nothing on disk is changed."""

import os
import queue
import time

from daemon.checkpoints.library import Library, adapter_file
from daemon.config.model_reference import SHIPPED
from daemon.config.recipe import Recipe
from daemon.config.settings import Settings
from daemon.config.station import Station
from daemon.config.station_setup import known_recipes
from daemon.executors import make_executor
from daemon.executors.shares import distinct_devices
from daemon.messages.reports import Report, WorkerDied, WorkerReady
from daemon.messages.tasks import Cluster
from daemon.models.registry import Placement, load_model
from daemon.photo.content_credentials import check_signing
from daemon.restorers.registry import check_clip, check_models
from daemon.service.component_settings import compute_of, signing_of, unknown_watch_recipes
from daemon.system.errors import ConfigError, RestoredError
from daemon.system.files import shown
from daemon.system.mounts import is_network_path

_WORKER_START_S = 600.0
"""Seconds within which a worker must be ready."""


def problems(station: Station, settings: Settings) -> list[str]:
    """Everything that keeps the station from working, one line each, with what would fix it."""
    found: list[str] = []
    recipes: tuple[Recipe, ...] = ()
    try:
        recipes = known_recipes(station)
    except ConfigError as error:
        found += str(error).splitlines()
    if recipes:
        unknown = unknown_watch_recipes(settings, recipes, time.time())
        found += [f"{shown(notice.path)}: {notice.what}" for notice in unknown]
    try:
        check_clip(recipes, settings.clip_model, Library(settings.models_dir))
    except ConfigError as error:
        found.append(str(error))
    found += _settings_problems(settings)
    found += _folder_problems(station, settings)
    try:
        check_signing(signing_of(settings))
    except ConfigError as error:
        return [*found, *str(error).splitlines()]  # without it no executor can be told anything
    if settings.executor == "ray":
        return [*found, *_cluster_problems(station, recipes, settings)]
    if (why := _worker_problem(settings)) is not None:
        return [*found, why]  # what keeps a worker from starting would keep this process, too
    return [*found, *_model_problems(recipes, settings)]


def model_lines(station: Station, settings: Settings) -> list[str]:
    """One line for each model that recipes name, with its memory; what ships is left out."""
    from daemon.engine.hardware import model_budget, pick_device
    from daemon.models.memory import bytes_on_device

    compute = compute_of(settings)
    if compute.cluster is not None:
        return []  # it is for the cluster's machines to say
    device = pick_device(distinct_devices(compute)[0])
    budget = (compute.model_bytes or model_budget(device)) / 1e9
    lines = []
    for reference in sorted({m for recipe in known_recipes(station) for m in recipe.models}):
        if reference not in SHIPPED and adapter_file(reference) is None:
            checkpoint = Library(settings.models_dir).checkpoint(reference)
            placement = Placement(checkpoint, device, compute.options)
            size = bytes_on_device(placement, as_pipeline=False) / 1e9
            what = f"{reference}: {checkpoint.traits.description}, {size:.2f} GB on {device}"
            alone = ", more than model_memory_mb allows: alone" if size > budget else ""
            lines.append(f"{what} of {budget:.1f} GB for models{alone}")
    return lines


def _settings_problems(settings: Settings) -> list[str]:
    """Problems of settings that are right one by one and not together."""
    kept_gb, least_mb = settings.keep_free_gb, settings.min_free_mb
    if kept_gb is None or kept_gb * 1000 > least_mb:
        return []
    return [
        f"keep_free_gb is {kept_gb:g} GB, not more than min_free_mb, {least_mb:g} MB: intake stops "
        "before originals are removed; raise keep_free_gb"
    ]


def _folder_problems(station: Station, settings: Settings) -> list[str]:
    found = []
    watched = [folder for watch in settings.watch for folder in (watch.path, watch.outbox)]
    own = (station.inbox, station.outbox, station.failed, station.archive, station.logs)
    for folder in (*own, station.state, *watched):
        if not folder.is_dir():
            found.append(f"{shown(folder)}: no such folder; make it")
        elif not os.access(folder, os.W_OK | os.X_OK):
            found.append(f"{shown(folder)}: cannot write there; fix its owner or mode")
    if is_network_path(station.state):
        found.append(f"{shown(station.state)}: on network storage; set state_dir to a local folder")
    return found


def _worker_problem(settings: Settings) -> str | None:
    """Why a worker process does not start on this machine, in its own words; None if it does."""
    reports: queue.SimpleQueue[Report] = queue.SimpleQueue()
    executor = make_executor("process", compute_of(settings), reports.put)
    executor.start()
    try:
        while True:
            match reports.get(timeout=_WORKER_START_S):
                case WorkerReady():
                    return None
                case WorkerDied(reason=reason):
                    return reason
    except queue.Empty:
        return f"a worker process did not start within {_WORKER_START_S / 60:g} minutes"
    finally:
        executor.stop(0)


def _cluster_problems(
    station: Station, recipes: tuple[Recipe, ...], settings: Settings
) -> list[str]:
    """Problems of the cluster's machines, which are all asked."""
    from daemon.executors.cluster.survey import problems as ask_machines

    library = Library(settings.models_dir)
    try:
        check_models(recipes, library)
    except ConfigError as error:
        return str(error).splitlines()
    cluster = compute_of(settings).cluster or Cluster()
    named = _named_models(recipes, settings)
    return ask_machines(cluster, named, settings.models_dir, station.staged)


def _named_models(recipes: tuple[Recipe, ...], settings: Settings) -> list[str]:
    """References of all models that recipes and settings name, in order."""
    named = {model for recipe in recipes for model in recipe.models}
    return sorted(named | ({settings.clip_model} if settings.clip_model else set()))


def _model_problems(recipes: tuple[Recipe, ...], settings: Settings) -> list[str]:
    """Problems of the devices, and of loading every model that a recipe names onto the first."""
    from daemon.engine.hardware import pick_device

    found: list[str] = []
    devices: list[str] = []
    for choice in distinct_devices(compute_of(settings)):
        try:
            devices.append(pick_device(choice))
        except RestoredError as error:
            found.append(str(error))
    if not devices:
        return found
    library = Library(settings.models_dir)
    options = compute_of(settings).options
    try:
        check_models(recipes, library)
    except ConfigError as error:
        return [*found, *str(error).splitlines()]
    named = [m for m in _named_models(recipes, settings) if adapter_file(m) is None]
    for reference in named:
        try:
            load_model(Placement(library.checkpoint(reference), devices[0], options))
        except (RestoredError, OSError, ValueError, RuntimeError) as error:
            found.append(f"model {reference!r}: {error}")
    return found
