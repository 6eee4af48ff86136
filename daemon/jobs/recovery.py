"""Crash recovery: what a daemon finds at its start that the one before it did not finish.

The ledger says how far each job had come. Leases are taken back, claims and publications that had
begun are finished, and what belongs to no job is cleared away. No original is ever removed.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from daemon.config.station import Station
from daemon.jobs.access import Access
from daemon.jobs.accounting import Delivered
from daemon.jobs.ledger.entries import ClaimedFile
from daemon.jobs.ledger.writer import Ledger
from daemon.jobs.originals import reject
from daemon.jobs.publisher import Publisher
from daemon.jobs.record import RETRY_HINT
from daemon.jobs.staging import Staging
from daemon.jobs.worker_deaths import halves
from daemon.system.disk_space import is_no_space
from daemon.system.errors import LedgerError, PassingError
from daemon.system.files import shown
from daemon.system.json_files import clear_parts

_log = structlog.get_logger()

_WAIT_S, _LONGEST_WAIT_S = 10.0, 300.0
"""Seconds that a photograph waits which was alone at many ends of the daemon; doubled each time."""


@dataclass(frozen=True)
class CrashRecovery:
    """Recovers one station, before anything new is started there.

    Attributes:
        station: Its folders.
        ledger: Says how far each job had come.
        staging: The folders that leases left behind.
        publisher: Finishes publications.
        access: Who may read what goes to failed/.
        crashes: Times a job alone may be in flight while the daemon is killed, before it lets
            others go first.
    """

    station: Station
    ledger: Ledger
    staging: Staging
    publisher: Publisher
    access: Access
    crashes: int

    def run(self, finish_claims: Callable[[float], None], now: float) -> Delivered:
        """Finish or take back whatever was interrupted.

        Args:
            finish_claims: Finishes what was half claimed, at a time in UTC seconds.
            now: UTC seconds since the epoch.

        Raises:
            PassingError: The disk is too full for that.
        """
        try:
            self._take_leases_back(now)
            finish_claims(now)
            delivered = self.publisher.finish(now)
            self.staging.discard_all()
            for folder in (self.station.state, self.station.answers):
                clear_parts(folder)
            self._set_lost_originals_aside()
        except (LedgerError, OSError) as error:
            if is_no_space(error):
                root = shown(self.station.root)
                raise PassingError(f"{root}: {error}; free some space, then start again") from error
            raise
        return delivered

    def _take_leases_back(self, now: float) -> None:
        """Queue again what was in flight; what was in flight twice may be the cause.

        The daemon decodes nothing, and nobody can tell a photograph that ends the machine from a
        person who does: none fails for it. One that was alone again and again lets others go first.
        """
        leased = self.ledger.in_state("leased")
        for entry in leased:
            self.staging.discard(entry.fence)
            if not entry.crashes:
                self.ledger.requeue(entry.row, crash=1)
        again = [entry for entry in leased if entry.crashes]
        crashes = again[0].crashes + 1 - self.crashes if len(leased) == len(again) == 1 else 0
        wait_s = min(_LONGEST_WAIT_S, _WAIT_S * 2 ** (crashes - 1)) if crashes > 0 else 0.0
        if again:
            rows = [entry.row for entry in again]
            self.ledger.suspect(halves(rows), crash=1, not_before=now + wait_s if wait_s else 0)

    def _set_lost_originals_aside(self) -> None:
        """A file in the work folder that the ledger does not know goes to failed/lost/."""
        known = self.ledger.claimed_paths()
        why = {
            "why": "found in the work folder with no entry in the ledger",
            "what_to_do": RETRY_HINT,
        }
        lost = self.station.failed / "lost"
        for group in self.station.work.iterdir():
            for path in group.iterdir() if group.is_dir() else ():
                if path not in known:
                    _log.warning("lost_original", photo=shown(path.name))
                    try:
                        found = path.stat()
                        file = ClaimedFile(
                            "photo", Path(path.name), path, found.st_size, found.st_mtime_ns
                        )
                        reject([file], lost, group.name, why, self.access)
                    except OSError as error:  # failed/ may be away; the next start tries again
                        if is_no_space(error):
                            raise
                        _log.warning("original_not_moved", photo=path.name, why=str(error))
            with contextlib.suppress(OSError):
                group.rmdir()
