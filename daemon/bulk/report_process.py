"""Processes that write the reports of bulk jobs, so that the daemon decodes no photograph.

A report whose process was killed is written at the next start of the daemon.
"""

import multiprocessing
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import structlog

from daemon.bulk.report import write_report
from daemon.config.station import Station
from daemon.jobs.access import Access
from daemon.jobs.ledger.bulk import BulkJob
from daemon.photo import Limits
from daemon.system import logging as log
from daemon.system.files import fit_name, shown

_log = structlog.get_logger()


def _write(ledger: Path, name: str, folder: Path, limits: Limits, group: int | None) -> None:
    """Write a report; the main function of the process."""
    log.configure()
    write_report(ledger, name, folder, limits, group)


@dataclass(frozen=True)
class Reported:
    """A report that was written, or could not be.

    Attributes:
        folder: Folder of the report, None if it could not be written.
        text: The same in words.
    """

    folder: Path | None
    text: str


class ReportProcesses:
    """One process for each report; owned by the daemon's loop."""

    def __init__(self, station: Station, access: Access, limits: Limits) -> None:
        """Write the reports of one station.

        Args:
            station: Its folders.
            access: Who may read the reports.
            limits: Photographs beyond them are not drawn.
        """
        self._station = station
        self._access = access
        self._limits = limits
        self._processes: dict[str, BaseProcess] = {}

    def report(self, bulk: BulkJob) -> Reported | None:
        """Have a report written; None while its process runs, so call again."""
        folder = self._station.reports / fit_name(bulk.name)
        process = self._processes.get(bulk.name)
        if process is None:
            spawn = multiprocessing.get_context("spawn")
            arguments = (self._station.ledger, bulk.name, folder, self._limits, self._access.group)
            process = spawn.Process(target=_write, args=arguments, daemon=True)
            process.start()
            self._processes[bulk.name] = process
        if process.exitcode is None:
            return None
        code = process.exitcode
        self.stop(bulk.name)
        if code == 0:
            return Reported(folder, f"report in {shown(folder)}")
        what = f"make the folder writable, then submit or retry: {shown(folder)}"
        _log.warning("bulk_report_failed", bulk=bulk.name, exit_code=code, what_to_do=what)
        return Reported(None, f"no report, since {shown(folder)} could not be written")

    def stop(self, name: str) -> None:
        """Stop writing the report of this job."""
        process = self._processes.pop(name, None)
        if process is not None:
            process.kill()
            process.join()

    def close(self) -> None:
        """Stop writing all reports."""
        for name in list(self._processes):
            self.stop(name)
