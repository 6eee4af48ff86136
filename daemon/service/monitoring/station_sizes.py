"""Sizes of a station as gauges: bulk jobs, its archive, and free space; read at each scrape."""

import contextlib
import shutil
from collections.abc import Iterator

from daemon.config.station import Station
from daemon.jobs.ledger import bulk as bulk_rows
from daemon.jobs.ledger import originals as original_rows
from daemon.jobs.ledger.reader import LedgerReader
from daemon.system.disk_probe import DiskProbe
from daemon.system.errors import ConfigError, LedgerError

SIZES = {
    "bulk_jobs": "Bulk jobs that have not ended.",
    "bulk_open_photographs": "Photographs of those bulk jobs that were found and have not ended.",
    "bulk_failed_photographs": "Photographs of those bulk jobs that failed.",
    "archive_bytes": "Bytes of the originals in the archive.",
    "disk_free_bytes": "Bytes free on the disk of the ledger or the outbox, whichever has less.",
}
"""What each gauge says, by its name without `restored_`."""

_WAIT_S = 1.0
"""Seconds to wait for a disk: a share whose server is gone must not hold the page."""


class StationSizes:
    """Reads the sizes; any thread may do so."""

    def __init__(self, station: Station) -> None:
        self._station = station
        self._disks = DiskProbe(wait_s=_WAIT_S)

    def read(self) -> dict[str, float]:
        """The gauges by name; those that cannot be read are left out."""
        sizes = self._in_ledger()
        free = list(self._free_bytes())
        return sizes | ({"disk_free_bytes": float(min(free))} if free else {})

    def _in_ledger(self) -> dict[str, float]:
        try:
            view = LedgerReader(self._station.ledger)
        except (ConfigError, LedgerError):
            return {}
        try:
            counts = [bulk_rows.counts(view, bulk) for bulk in bulk_rows.unfinished(view)]
            return {
                "bulk_jobs": float(len(counts)),
                "bulk_open_photographs": float(sum(one.open for one in counts)),
                "bulk_failed_photographs": float(sum(one.failed for one in counts)),
                "archive_bytes": float(original_rows.size_bytes(view)),
            }
        except LedgerError:
            return {}
        finally:
            view.close()

    def _free_bytes(self) -> Iterator[int]:
        for folder in (self._station.state, self._station.outbox):
            if self._disks.answers(folder):
                with contextlib.suppress(OSError):
                    yield shutil.disk_usage(folder).free
