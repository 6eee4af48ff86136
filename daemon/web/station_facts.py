"""Facts about a station that no other part tells in numbers: its disks."""

import shutil
from dataclasses import dataclass

from daemon.config.station import Station
from daemon.system.files import shown


@dataclass(frozen=True)
class Disk:
    """A disk of the station.

    Attributes:
        folders: Names of the folders that lie on it.
        total_bytes: Its size.
        free_bytes: What is free.
    """

    folders: tuple[str, ...]
    total_bytes: int
    free_bytes: int

    @property
    def used_percent(self) -> int:
        """How much of it is used, in whole percent."""
        return round(100 * (1 - self.free_bytes / self.total_bytes)) if self.total_bytes else 0


def disks(station: Station) -> tuple[Disk, ...]:
    """The disks that the folders of a station lie on; those that are away are left out."""
    found: dict[int, tuple[list[str], int, int]] = {}
    for folder in (station.inbox, station.outbox, station.archive, station.failed, station.state):
        try:
            device, usage = folder.stat().st_dev, shutil.disk_usage(folder)
        except OSError:
            continue
        names, _, _ = found.setdefault(device, ([], usage.total, usage.free))
        names.append(shown(folder.name))
    return tuple(Disk(tuple(names), total, free) for names, total, free in found.values())
