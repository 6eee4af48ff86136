"""Where the report of a bulk job lies, and whether what lies there is one.

People may put files of their own into reports/, also under the name of a bulk job.
"""

import contextlib
from pathlib import Path

from daemon.config.station import Station
from daemon.system.files import fit_name, open_regular
from daemon.system.text import printable


def report_folder(station: Station, name: str) -> Path:
    """The folder of a bulk job's report, which need not be there."""
    return station.reports / fit_name(name)


def report_title(name: str) -> str:
    """First line of the report of a bulk job, by which it is known."""
    return f"# Bulk job {printable(name)}"


def written_report(station: Station, name: str) -> Path | None:
    """The report of a bulk job; None if there is none, or something else has its name."""
    path = report_folder(station, name) / "report.md"
    title = report_title(name).encode("utf-8", "backslashreplace") + b"\n"
    with contextlib.suppress(OSError), open_regular(path) as file:
        if not path.parent.is_symlink() and file.read(len(title)) == title:
            return path
    return None
