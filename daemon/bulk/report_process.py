"""Processes that write the reports of bulk jobs, so that the daemon decodes no photograph.

A report whose process was killed is written at the next start of the daemon.
"""

import contextlib
import multiprocessing
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import structlog

from daemon.bulk.report import write_report
from daemon.bulk.report_folder import report_folder
from daemon.config.station import Station
from daemon.jobs.access import Access
from daemon.jobs.ledger.bulk import BulkJob
from daemon.photo import Limits
from daemon.system import logging as log
from daemon.system.files import shown

_log = structlog.get_logger()


def _write(request: tuple[Path, str, Path, Limits, int | None], told: Connection) -> None:
    """Write a report; the main function of the process.

    Args:
        request: What `write_report` takes.
        told: Gets why it could not be written, as UTF-8; nothing where it was.
    """
    log.configure()
    _, name, folder, *_ = request
    try:
        write_report(*request)
    except OSError as error:
        why = f"{shown(error.filename or folder)}: {error.strerror or error}"
    except Exception as error:
        _log.exception("bulk_report_failed", bulk=name)
        why = f"{type(error).__name__}: {error}"
    else:
        why = ""
    told.send_bytes(why.encode("utf-8", "backslashreplace"))


@dataclass(frozen=True)
class Reported:
    """A report that was written, or could not be.

    Attributes:
        folder: Folder of the report, None if it could not be written.
        text: The same in words.
    """

    folder: Path | None
    text: str


@dataclass(frozen=True)
class _Writing:
    """A report that is being written; `told` says in the end why it could not be."""

    process: BaseProcess
    told: Connection

    def outcome(self) -> str:
        """Why the report could not be written, or "" if it was; its process has ended."""
        with contextlib.suppress(EOFError, OSError):
            if self.told.poll():
                return self.told.recv_bytes().decode()
        return f"the process that writes it ended with {self.process.exitcode}"


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
        self._writing: dict[str, _Writing] = {}

    def report(self, bulk: BulkJob) -> Reported | None:
        """Have a report written; None while its process runs, so call again."""
        folder = report_folder(self._station, bulk.name)
        writing = self._writing.get(bulk.name)
        if writing is None:
            writing = self._writing[bulk.name] = self._start(bulk.name, folder)
        if writing.process.exitcode is None:
            return None
        why = writing.outcome()
        self.stop(bulk.name)
        if not why:
            return Reported(folder, f"report in {shown(folder)}")
        what = "correct that; then `restored bulk retry NAME` has the report written"
        _log.warning("bulk_report_failed", bulk=bulk.name, why=why, what_to_do=what)
        return Reported(None, f"no report: {why}")

    def _start(self, name: str, folder: Path) -> _Writing:
        told, teller = multiprocessing.Pipe(duplex=False)
        request = (self._station.ledger, name, folder, self._limits, self._access.group)
        spawn = multiprocessing.get_context("spawn")
        process = spawn.Process(target=_write, args=(request, teller), daemon=True)
        process.start()
        teller.close()
        return _Writing(process, told)

    def stop(self, name: str) -> None:
        """Stop writing the report of this job."""
        writing = self._writing.pop(name, None)
        if writing is not None:
            writing.process.kill()
            writing.process.join()
            writing.told.close()

    def close(self) -> None:
        """Stop writing all reports."""
        for name in list(self._writing):
            self.stop(name)
