"""The processes that write reports of bulk jobs, one each, so that the daemon decodes nothing.

Comes in: bulk jobs whose photographs have all ended. Goes out: whether the report is there. A
process that was killed is begun anew at the next start.
"""

import multiprocessing
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import structlog

from daemon.bulk.report import write_report
from daemon.config.station import Station
from daemon.jobs.ledger.bulk import BulkJob
from daemon.jobs.outbox import Access
from daemon.photo import Limits
from daemon.system.files import fit_name, shown

_log = structlog.get_logger()


@dataclass(frozen=True)
class Reported:
    """How it went.

    Attributes:
        folder: Where the report is, None if it could not be written.
        told: The same for people.
    """

    folder: Path | None
    told: str


class ReportProcesses:
    """Owned and called by the daemon's loop."""

    def __init__(self, station: Station, access: Access, limits: Limits) -> None:
        """Write for one station.

        Args:
            station: Whose reports folder is written to.
            access: Who may read the reports.
            limits: Photographs beyond them are not drawn.
        """
        self._station = station
        self._access = access
        self._limits = limits
        self._processes: dict[str, BaseProcess] = {}

    def report(self, bulk: BulkJob) -> Reported | None:
        """Have a report written; None until that has ended, so ask again."""
        folder = self._station.reports / fit_name(bulk.name)
        process = self._processes.get(bulk.name)
        if process is None:
            spawn = multiprocessing.get_context("spawn")
            arguments = (self._station.ledger, bulk.name, folder, self._limits, self._access.group)
            process = spawn.Process(target=write_report, args=arguments, daemon=True)
            process.start()
            self._processes[bulk.name] = process
        if process.exitcode is None:
            return None
        code = process.exitcode
        self.stop(bulk.name)
        if code == 0:
            return Reported(folder, f"report in {shown(folder)}")
        what = f"see that it can be written to, then submit or retry: {shown(folder)}"
        _log.warning("bulk_report_failed", bulk=bulk.name, exit_code=code, what_to_do=what)
        return Reported(None, f"no report, since {shown(folder)} could not be written")

    def stop(self, name: str) -> None:
        """Write that of this job no further."""
        process = self._processes.pop(name, None)
        if process is not None:
            process.kill()
            process.join()

    def close(self) -> None:
        """Write none any further."""
        for name in list(self._processes):
            self.stop(name)
