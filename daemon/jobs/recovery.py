"""Crash recovery: what a daemon finds at its start that the one before it did not finish.

The ledger says how far each job had come. Leases are taken back, claims and publications that had
begun are finished, and what belongs to no job is cleared away. No original is ever removed.
"""

import contextlib
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from daemon.config.station import InboxFolder, Station
from daemon.jobs.accounting import Delivered
from daemon.jobs.failure_reasons import Reason
from daemon.jobs.ledger.entries import ClaimedFile, ClaimedFiles
from daemon.jobs.ledger.writer import Ledger
from daemon.jobs.publisher import Publisher
from daemon.jobs.staging import Staging
from daemon.jobs.worker_deaths import halves
from daemon.system.disk_space import is_no_space
from daemon.system.errors import LedgerError, PassingError
from daemon.system.files import shown
from daemon.system.json_files import clear_parts
from daemon.system.shared_folder import copy_part

_log = structlog.get_logger()

_LOST = Reason("found in the work folder with no entry in the ledger")

_WORK_NUMBERS = re.compile(r"^\d+-\d+-(?=.)")
"""What the claimer puts before the name of a file in the work folder."""

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
        crashes: Times a job alone may be in flight while the daemon is killed, before it lets
            others go first.
    """

    station: Station
    ledger: Ledger
    staging: Staging
    publisher: Publisher
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
            self._give_up_lost_originals(now)
            delivered = self.publisher.finish(now)
            self.staging.discard_all()
            for folder in (self.station.state, self.station.answers):
                clear_parts(folder)
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

    def _give_up_lost_originals(self, now: float) -> None:
        """Have the publisher move files to failed/lost/ that the ledger does not know."""
        known = self.ledger.claimed_paths()
        known |= {copy_part(path) for path in known}  # the claim copies it anew
        folder = InboxFolder(
            self.station.inbox,
            None,
            self.station.outbox,
            self.station.failed,
            self.station.archive,
        )
        claims = []
        for group in self.station.work.iterdir():
            for path in group.iterdir() if group.is_dir() else ():
                found = path.lstat()
                if path in known or not stat.S_ISREG(found.st_mode):
                    continue
                _log.warning("lost_original", photo=shown(path.name))
                name = Path("lost", _WORK_NUMBERS.sub("", path.name))
                file = ClaimedFile("photo", name, path, found.st_size, found.st_mtime_ns)
                claims.append(ClaimedFiles(folder, name.stem, (file,)))
            with contextlib.suppress(OSError):
                group.rmdir()
        entries = self.ledger.intend([("", claim, _LOST) for claim in claims])
        self.ledger.queue([(entry.row, entry.claim, _LOST) for entry in entries], now)
