"""Set-up of stations: make one, open one, find its recipes.

All of it works whether a daemon is running or not, and imports nothing heavy, so that commands
answer at once.
"""

import contextlib
import errno
import json
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from daemon.config.daemon_environment import read_environment
from daemon.config.recipe import SHIPPED_RECIPES, Recipe, load_recipes, read_recipe, recipe_named
from daemon.config.settings import Settings, config_folder, load_settings
from daemon.config.settings_template import settings_template
from daemon.config.station import Station
from daemon.system.errors import AccessError, CannotWriteError, ConfigError
from daemon.system.files import NO_SPACE, make_folder, shown


def make_station(root: Path) -> Station:
    """Make what a station lacks; what is there already stays as it is.

    Raises:
        ConfigError: The settings are wrong.
        CannotWriteError: A file is in the way, or the file system refuses to write.
        AccessError: This process may not give files to the setting's group.
    """
    station, settings = open_station(root, for_daemon=True)
    group = group_id(settings)
    set_umask(settings)
    try:
        with group_errors_explained(settings):
            _make(station, group, settings)
    except (FileExistsError, NotADirectoryError) as error:
        raise CannotWriteError(f"{error.filename}: a file is where a folder must be") from error
    except OSError as error:
        if isinstance(error, PermissionError):
            raise
        place = shown(error.filename or root)  # a write names no file
        remedy = "; free some space" if error.errno in NO_SPACE else ""
        raise CannotWriteError(f"{place}: {error.strerror}{remedy}") from error
    return station


def set_umask(settings: Settings) -> None:
    """Set the umask of this process: nobody else writes what it makes, whatever is shared."""
    os.umask(int(settings.umask, 8) | 0o022)


@contextlib.contextmanager
def shared_umask(settings: Settings) -> Iterator[None]:
    """Let others write into the folders that are made meanwhile, as the setting `umask` says.

    With the units a chmod cannot do it: their sandbox forbids one that keeps the set-group-ID bit.
    """
    before = os.umask(int(settings.umask, 8))
    try:
        yield
    finally:
        os.umask(before)


@contextlib.contextmanager
def group_errors_explained(settings: Settings) -> Iterator[None]:
    """Explain what is wrong if files cannot be given to the group that the settings name.

    Raises:
        AccessError: This process may not give files to that group.
    """
    try:
        yield
    except OSError as error:
        # Not permitted, or unknown in this user namespace.
        if settings.group is None or error.errno not in (errno.EPERM, errno.EINVAL):
            raise
        raise AccessError(
            f"{shown(error.filename)}: may not be given to the group {settings.group!r}, which the "
            "setting `group` names; the user must be its member. The sandbox of the systemd units "
            "forbids it to everybody: leave `group` unset there, and set Group= in a drop-in"
        ) from error


def open_station(root: Path, *, for_daemon: bool = False) -> tuple[Station, Settings]:
    """The station in a folder, which need not exist yet, and its settings.

    Args:
        root: The folder.
        for_daemon: Only this process's environment counts, not that which the daemon had.

    Raises:
        ConfigError: The settings are wrong.
    """
    root = root.absolute()
    if os.path.lexists(root) and not root.is_dir():
        raise ConfigError(f"{shown(root)}: not a folder; a station is the folder that `init` makes")
    recorded = {} if for_daemon else read_environment(root)
    config = config_folder(root, recorded).absolute()
    settings = load_settings(config / "restored.toml", recorded)
    state, logs = settings.state_dir or root / ".restored", settings.logs_dir or root / "logs"
    return Station(root, state.absolute(), logs.absolute(), config), settings


def find_station(root: Path, *, for_daemon: bool = False) -> Station:
    """The station in a folder, which must have been made; arguments as `open_station`.

    Raises:
        ConfigError: There is none.
    """
    station, settings = open_station(root, for_daemon=for_daemon)
    if not station.state.is_dir():
        if settings.state_dir is not None:
            raise ConfigError(
                f"{shown(station.state)}: no such folder, though state_dir in "
                f"{shown(station.settings_file)} names it; correct that or mount its disk, or "
                f"`restored init {root}` makes it"
            )
        raise ConfigError(f"{root} is not a station; `restored init {root}` makes one")
    return station


def group_id(settings: Settings) -> int | None:
    """Number of the group that shares the station, if the settings name one.

    Raises:
        ConfigError: This system has no such group.
    """
    if settings.group is None:
        return None
    import grp  # not on every system

    try:
        return grp.getgrnam(settings.group).gr_gid
    except KeyError as error:
        raise ConfigError(
            f"restored.toml: group is {settings.group!r}, which this system does not have; "
            "`getent group` lists those it has"
        ) from error


def known_recipes(station: Station | None) -> tuple[Recipe, ...]:
    """The shipped recipes and the station's own; of two with one name the station's.

    Raises:
        ConfigError: A recipe is wrong.
    """
    return load_recipes(
        [SHIPPED_RECIPES] if station is None else [SHIPPED_RECIPES, station.recipes]
    )


def recipe_files(station: Station) -> frozenset[tuple[str, int, int, int]]:
    """The state of the files that `known_recipes` reads: it differs once one has changed."""
    found = set()
    for folder in (SHIPPED_RECIPES, station.recipes):
        for path in folder.glob("*.toml"):
            with contextlib.suppress(OSError):
                status = path.stat()
                state = (status.st_mtime_ns, status.st_size, status.st_ino)
                found.add((str(path), *state))
    return frozenset(found)


def recipe_for(reference: str, station: Station | None = None) -> Recipe:
    """Find the recipe that a person names.

    Args:
        reference: A recipe's name, or the path of a .toml file.
        station: The station whose recipes are known as well as the shipped ones.

    Raises:
        ConfigError: There is no such recipe, or it is wrong.
    """
    if reference.endswith(".toml"):
        return read_recipe(Path(reference))
    return recipe_named(reference, known_recipes(station))


def make_request_folders(station: Station, settings: Settings, group: int | None) -> None:
    """Make the folders of requests and of answers; the group, if there is one, may leave requests.

    Without a group those may who may drop photographs, by the setting `umask`; in a station that an
    older version made, those who may write into its state.
    """
    is_new = not station.requests.exists()
    make_folder(station.answers, group)
    with shared_umask(settings):
        make_folder(station.requests, group)
    mode = wanted = stat.S_IMODE(station.requests.stat().st_mode)
    if is_new:
        wanted |= station.state.stat().st_mode & 0o2070
    if group is not None:
        os.chown(station.requests, -1, group)
        wanted |= 0o2070
    if wanted != mode:
        station.requests.chmod(wanted)


def make_inboxes(
    station: Station, recipes: Iterable[Recipe], settings: Settings, group: int | None
) -> None:
    """Make the inbox folders that recipes lack; the group, if there is one, may write there.

    Args:
        station: The station.
        recipes: Its recipes.
        settings: Its settings.
        group: Number of the group that shares the station.
    """
    with shared_umask(settings):
        for recipe in recipes:
            make_folder(station.inbox / recipe.name, group)
    if group is not None:
        _share_inboxes(station, group)


def _share_inboxes(station: Station, group: int) -> None:
    """Let the group drop photographs, also into inboxes that are older than the setting."""
    for folder in (station.inbox, *station.inbox.iterdir()):
        if folder.is_dir() and not folder.is_symlink():
            os.chown(folder, -1, group)
            folder.chmod(folder.stat().st_mode | 0o2070)


def _write_if_missing(path: Path, text: str, group: int | None) -> None:
    if path.exists():
        return
    try:
        path.write_text(text)
    except OSError:  # a full disk: half a file would count as there the next time
        path.unlink(missing_ok=True)
        raise
    if group is not None:
        os.chown(path, -1, group)


def _make(station: Station, group: int | None, settings: Settings) -> None:
    make_folder(station.root, group)
    if station.config == station.root:  # another folder is the administrator's
        _write_if_missing(station.settings_file, settings_template(), group)
        make_folder(station.recipes, group)
    make_inboxes(station, known_recipes(station), settings, group)
    for folder in (
        *(station.outbox, station.failed, station.archive, station.logs),
        *(station.work, station.staged),
    ):
        make_folder(folder, group)
    make_request_folders(station, settings, group)
    mark = json.dumps({"format": 1}) + "\n"
    _write_if_missing(station.state / "station.json", mark, group)
