"""The report of a bulk job: what became of it, for people (Markdown, a sheet) and programs (JSON).

Comes in: a station's ledger, read only, and the records beside the results. Goes out: report.md,
report.json and contact-sheet.jpg in a folder. Runs in a process of its own, since it decodes
photographs; whatever of them cannot be read is left out of the sheet.
"""

import contextlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any, TypeVar

from daemon.jobs.ledger import bulk as bulk_rows
from daemon.jobs.ledger.bulk import BulkCounts, BulkJob
from daemon.jobs.ledger.entries import Entry
from daemon.jobs.ledger.reader import LedgerReader
from daemon.jobs.outbox import record_path
from daemon.jobs.record import utc
from daemon.photo import Limits, Photo, read_header
from daemon.photo.contact_sheet import Row, draw_sheet
from daemon.system.errors import PhotoError
from daemon.system.files import make_folder, shown

_SHEET = 12
"""Photographs on the sheet, evenly spread over the job."""

_PANEL_PX = 1024
"""Longer side of what is kept of each photograph until the sheet is drawn."""

_TIMED = 1000
"""Records that are read for the timings, evenly spread."""

_NAMED = 200
"""Failures that the Markdown names; the JSON names all."""


_Some = TypeVar("_Some")


@dataclass(frozen=True)
class _EndedPhoto:
    """A photograph that has ended, and its result."""

    entry: Entry
    result: Path | None


def write_report(ledger: Path, name: str, folder: Path, limits: Limits, group: int | None) -> None:
    """Write the report of a bulk job.

    Args:
        ledger: The station's.
        name: The job.
        folder: Made if need be; what an earlier report left there is replaced.
        limits: Photographs beyond them are not drawn.
        group: Id of the group of new folders, None for the process's own.

    Raises:
        OSError: It cannot be written.
    """
    make_folder(folder, group)
    view = LedgerReader(ledger)
    try:
        bulk = bulk_rows.named(view, name)
        if bulk is None:
            return
        numbers = bulk_rows.counts(view, bulk)
        rows, lost = (bulk_rows.ended_rows(view, name, state) for state in ("done", "failed"))
        failed = [
            {"photo": shown(entry.claim.files[0].path), "why": entry.reason}
            for entry, _ in bulk_rows.ended_entries(view, lost)
        ]
        # Whole rows of all that is done would be gigabytes where there are a million.
        done = [_EndedPhoto(*one) for one in bulk_rows.ended_entries(view, _spread(rows, _TIMED))]
    finally:
        view.close()
    drawn = _draw(_spread(done, _SHEET), folder / "contact-sheet.jpg", limits)
    content = _content(bulk, numbers, failed, _seconds(done))
    _write(folder / "report.json", json.dumps(content, indent=2) + "\n")
    _write(folder / "report.md", _markdown(content, drawn=drawn))


def _content(
    bulk: BulkJob, numbers: BulkCounts, failed: Sequence[dict[str, str]], seconds: Sequence[float]
) -> dict[str, Any]:
    took_s = max(0.0, bulk.ended_at - bulk.began_at) if bulk.began_at else 0.0
    return {
        "name": bulk.name,
        "recipe": bulk.recipe,
        "paths": [shown(root) for root in bulk.roots],
        "cancelled": bulk.cancelled,
        "submitted": utc(bulk.submitted_at),
        "began": utc(bulk.began_at) if bulk.began_at else None,
        "ended": utc(bulk.ended_at),
        "counts": asdict(numbers) | {"found": numbers.found, "passed_over": bulk.passed_over},
        "timings": {
            "took_s": round(took_s, 1),
            "per_hour": round(3600 * numbers.done / took_s, 1) if took_s else None,
            "records_read": len(seconds),
            "median_s": round(median(seconds), 2) if seconds else None,
            "p95_s": round(quantiles(seconds, n=20)[-1], 2) if len(seconds) > 1 else None,
        },
        "failed": list(failed),
        "passed_over": [{"path": path, "why": why} for path, why in bulk.notes],
    }


def _markdown(content: dict[str, Any], *, drawn: bool) -> str:
    counts, timings = content["counts"], content["timings"]
    began = f"began {content['began']}" if content["began"] else "never begun"
    how = "was cancelled" if content["cancelled"] else "ended"
    lines = [
        f"# Bulk job {content['name']}",
        "",
        f"Recipe `{content['recipe']}`, submitted {content['submitted']}, "
        f"{began}, {how} {content['ended']}.",
        "",
        *(f"- {_plain(path)}" for path in content["paths"]),
        "",
        "| found | restored | there already | failed | taken off | passed over |",
        "|---|---|---|---|---|---|",
        f"| {counts['found']} | {counts['done']} | {counts['skipped']} | {counts['failed']} "
        f"| {counts['taken_off']} | {counts['passed_over']} |",
        "",
    ]
    if timings["median_s"] is not None:
        lines += [
            f"It took {timings['took_s']:.0f} s, {timings['per_hour']:.0f} photographs an hour. "
            f"One took {timings['median_s']} s (median of {timings['records_read']}; they share "
            f"the device), 95 % of them at most {timings['p95_s'] or timings['median_s']} s.",
            "",
        ]
    if drawn:
        lines += ["![Before and after, a sample](contact-sheet.jpg)", ""]
    lines += _listed("Failed", content["failed"], "photo", counts["failed"])
    lines += _listed("Passed over", content["passed_over"], "path", counts["passed_over"])
    return "\n".join(lines)


def _listed(title: str, rows: Sequence[dict[str, str]], key: str, number: int) -> list[str]:
    if not rows:
        return []
    named = [f"- {_plain(row[key])}: {_plain(row['why'])}" for row in rows[:_NAMED]]
    more = number - len(named)
    return [f"## {title}", "", *named, *([f"- and {more} more"] if more > 0 else []), ""]


def _plain(text: str) -> str:
    """Text as one line of code, which no character of a file name can end."""
    line = " ".join(text.split()).replace("`", "'")
    return f"`{line}`"


def _seconds(done: Sequence[_EndedPhoto]) -> list[float]:
    found = []
    for one in done:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            if one.result is not None and one.entry.fence:
                record = json.loads(record_path(one.result).read_text("utf-8"))
                found.append(float(record["seconds"]))
    return found


def _draw(done: Sequence[_EndedPhoto], target: Path, limits: Limits) -> bool:
    """Draw the sheet; says whether anything could be drawn."""
    rows = [row for one in done if (row := _row(one, limits)) is not None]
    if rows:
        draw_sheet(rows).save(target, quality=88)
    return bool(rows)


def _row(one: _EndedPhoto, limits: Limits) -> Row | None:
    from PIL import Image

    from daemon.photo.reading import read_picture, to_eight_bits

    panels = []
    try:
        for caption, path in (("before", one.entry.claim.files[0].path), ("after", one.result)):
            if path is None:
                return None
            header = read_header(path, limits)
            pixels = read_picture(Photo(path, path.name, "", header), limits).pixels
            panel = Image.fromarray(to_eight_bits(pixels))
            panel.thumbnail((_PANEL_PX, _PANEL_PX))  # two dozen whole scans are gigabytes
            panels.append((caption, panel))
    except (PhotoError, OSError):
        return None
    return Row(shown(one.entry.claim.files[0].relative), tuple(panels))


def _spread(ended: Sequence[_Some], number: int) -> list[_Some]:
    """At most so many of them, evenly spread."""
    if len(ended) <= number:
        return list(ended)
    return [ended[index * len(ended) // number] for index in range(number)]


def _write(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8", errors="backslashreplace")
    part.replace(path)
