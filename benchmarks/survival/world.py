"""The world of a run: a station, watched folders on two file systems, and what must not change.

Below the world's folder:

- `station/` on a disk of its own, with `outbox/` and `archive/` on another one
- `scans/`, `kept/` and `gone/`: watched folders whose originals are archived, left and deleted
- `collections/`: photographs that bulk jobs restore where they lie
- `guarded/`: what nobody may touch
- `disks/`: where the disks are really mounted, so that what is on them outlives an "unmount"
"""

import contextlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.survival.invariant import Originals, Places
from daemon.config.station import Station
from daemon.config.station_setup import find_station, make_station

_FILLER = ".filler"

STATION_MB, OTHER_MB = 512, 128
"""Sizes of the two disks in megabytes (MiB) unless a run needs more."""

SETTINGS = """\
settle_s = 0.2
settle_polled_s = 0.5
arriving_s = 1
rescan_s = 2
retry_s = 0.2
drain_s = 2
stall_s = 20
min_free_mb = 2
max_file_mb = 20
memory_mb = 512
device = "cpu"
threads = 1
{more}
[[watch]]
path = "{world}/scans"
recipe = "unfade"
outbox = "{world}/scans-results"

[[watch]]
path = "{world}/kept"
recipe = "quick"
outbox = "{world}/kept-results"
originals = "leave"

[[watch]]
path = "{world}/gone"
recipe = "unfade"
outbox = "{world}/gone-results"
originals = "delete"
polled = true
"""
"""Settings with which little time is spent on waiting."""

WINDOWS = [f"{hour:02}:00-{hour:02}:20" for hour in range(0, 24, 2)]
"""Hours in which the photographs of the recipe `night` may start."""

QUICK = """\
[[steps]]
kind = "denoise"
mode = "gaussian"
sigma = {sigma}
steps = 1
"""
"""The recipe that is changed while the daemon runs."""

RECIPES = {
    "quick": QUICK.format(sigma=10),
    "mend": '[[steps]]\nkind = "inpaint"\nsteps = 1\n',
    "tint": '[[steps]]\nkind = "colorize"\nsteps = 1\n',
    "twice": '[[steps]]\nkind = "super-resolve"\nsteps = 1\n',
    "morph": '[[steps]]\nkind = "interpolate"\nframes = 3\nsteps = 1\n',
    "night": f'[schedule]\nwindow = {WINDOWS}\n[[steps]]\nkind = "unfade"\n',
}
"""Recipes of one network call or none, by name."""

PICTURE = """\
[[steps]]
kind = "generate"
model = "{model}"
steps = 1
size = [64, 64]
"""
"""The recipe of prompt files, for a tiny pipeline of random weights."""

CLEARED = """\
keep_archive_days = 0.05
keep_logs_days = 1
keep_ledger_days = 0.1
"""
"""Settings with which housekeeping removes within hours what it ever removes."""


@dataclass(frozen=True)
class Disk:
    """A folder that is mounted from a disk and can be taken away from it.

    Attributes:
        point: Where it is seen.
        backing: The same folder on the disk itself.
        mounted: Whether `point` is a mount; otherwise it is `backing` itself.
    """

    point: Path
    backing: Path
    mounted: bool

    def fill(self) -> None:
        """Leave no byte free."""
        block = 8 << 20
        with (
            contextlib.suppress(OSError),  # it is full already
            (self.backing / _FILLER).open("ab", buffering=0) as file,
        ):
            while block >= 512:
                try:
                    file.write(b"\0" * block)
                except OSError:
                    block //= 2

    def empty(self) -> None:
        """Give back what `fill` took."""
        (self.backing / _FILLER).unlink(missing_ok=True)

    def set_read_only(self, *, read_only: bool) -> bool:
        """Let nobody write to it, or let them again; False if a writer has it open."""
        mode = "ro" if read_only else "rw"
        return _mount("-o", f"remount,bind,{mode}", self.backing, self.point)

    def unmount(self) -> None:
        """Take it away; an empty folder is left in its place."""
        subprocess.run(["umount", "--lazy", self.point], check=True)

    def mount(self) -> None:
        """Put it back; nothing is done if it is there."""
        if self.mounted and not self.point.is_mount():
            _mount("--bind", self.backing, self.point)


class World:
    """All folders of a run; made by `make_world`."""

    def __init__(self, root: Path, *, mounts: bool, cleared: bool = False) -> None:
        self.root = root
        self.mounts = mounts
        self.originals: Originals = "cleared" if cleared else "archive"
        self.station_root = root / "station"
        self.guarded = root / "guarded"
        self.collections = root / "collections"
        self.watched = tuple(root / name for name in ("scans", "kept", "gone"))
        self.log = root / "daemon.log"
        disks = root / "disks"
        self.station_disk = Disk(self.station_root, disks / "a/station", mounts)
        other = ("outbox", "archive", "scans")
        points = (self.station_root / "outbox", self.station_root / "archive", root / "scans")
        self.disks = {
            name: Disk(point, disks / "b" / name, mounts)
            for name, point in zip(other, points, strict=True)
        }

    @property
    def station(self) -> Station:
        """The station."""
        return find_station(self.station_root)

    @property
    def places(self) -> Places:
        """Where photographs and results may be."""
        station = self.station
        results = tuple(self.root / f"{watched.name}-results" for watched in self.watched)
        return Places(
            inboxes=(station.inbox, *self.watched, self.collections),
            work=station.work,
            archives=(station.archive,),
            failed=station.failed,
            outboxes=(station.outbox, *results),
        )

    def heal(self) -> None:
        """End every fault of the disks."""
        for disk in self.disks.values():
            disk.mount()
            if self.mounts:
                disk.set_read_only(read_only=False)
            disk.empty()
        self.station_disk.empty()


def make_world(
    root: Path, *, mounts: bool, size: int = 1, cleared: bool = False, prompts: bool = False
) -> World:
    """Make the folders, the station and the disks.

    Args:
        root: An empty folder.
        mounts: Whether this process may mount; otherwise everything is in folders.
        size: How many times as large the disks are as usual.
        cleared: Housekeeping removes archived originals, old rows and logs.
        prompts: Make a tiny pipeline and a recipe for prompt files.
    """
    world = World(root, mounts=mounts, cleared=cleared)
    for folder in (root / "disks/a", root / "disks/b"):
        folder.mkdir(parents=True)
    if mounts:
        _mount("-t", "tmpfs", "-o", f"size={STATION_MB * size}m", "tmpfs", root / "disks/a")
        _mount("-t", "tmpfs", "-o", f"size={OTHER_MB * size}m", "tmpfs", root / "disks/b")
    for disk in (world.station_disk, *world.disks.values()):
        disk.backing.mkdir(parents=True)
        disk.point.mkdir(parents=True, exist_ok=True)
        disk.mount()
    (world.station_root / "recipes").mkdir()
    for name, text in RECIPES.items():
        (world.station_root / "recipes" / f"{name}.toml").write_text(text)
    if prompts:
        model = _make_pipeline(root / "models")
        (world.station_root / "recipes/picture.toml").write_text(PICTURE.format(model=model))
    text = SETTINGS.format(world=root, more=CLEARED if cleared else "")
    (world.station_root / "restored.toml").write_text(text)
    for folder in (*world.watched, world.collections, world.guarded / "album"):
        folder.mkdir(parents=True, exist_ok=True)
    make_station(world.station_root)
    _guard(world.guarded)
    return world


def remove_world(world: World) -> None:
    """Unmount the disks and remove all folders."""
    points = [disk.point for disk in world.disks.values()]
    points += [world.station_root, world.root / "disks/a", world.root / "disks/b"]
    for point in points if world.mounts else ():
        subprocess.run(["umount", "--lazy", point], check=False, stderr=subprocess.DEVNULL)
    shutil.rmtree(world.root, ignore_errors=True)


def _mount(*arguments: str | Path) -> bool:
    done = subprocess.run(["mount", *arguments], check=False, stderr=subprocess.DEVNULL)
    return done.returncode == 0


def _make_pipeline(folder: Path) -> Path:
    """A Stable Diffusion pipeline of random weights; imports diffusers."""
    from tests.support.tiny_pipelines import save_stable

    return save_stable(folder / "stable")


def _guard(folder: Path) -> None:
    """Fill the guarded tree: names that attract writers, links, modes."""
    for name in ("secret.txt", "photo.png.json", "photo.png.error.json", "album/report.md"):
        (folder / name).write_text(f"the user's own {name}\n")
    (folder / "ledger.sqlite3").write_bytes(b"SQLite format 3\0" + b"not really")
    (folder / "link.jpg").symlink_to("secret.txt")
    os.chmod(folder / "secret.txt", 0o600)  # noqa: PTH101
