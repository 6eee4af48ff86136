"""The report of a bulk job: Markdown and a contact sheet for people, JSON for programs.

It is made from the ledger, which is only read, and the records beside the results. It decodes
photographs, so it runs in a process of its own; a photograph that cannot be read is left out of
the sheet.
"""

import contextlib
import errno
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from statistics import median, quantiles
from typing import TypeVar

import structlog

from daemon.bulk.report_folder import report_title
from daemon.jobs.ledger import bulk as bulk_rows
from daemon.jobs.ledger.bulk import BulkCounts, BulkJob
from daemon.jobs.ledger.entries import Entry
from daemon.jobs.ledger.reader import LedgerReader
from daemon.jobs.publication import read_record, record_path
from daemon.jobs.record import utc
from daemon.photo import Limits, Photo, read_header
from daemon.photo.contact_sheet import Row, draw_sheet
from daemon.system.clock import date_in_words, local_zone
from daemon.system.files import make_folder, shown
from daemon.system.json_files import read_json
from daemon.system.text import json_text, printable

_log = structlog.get_logger()

_FILES = ("report.json", "report.md", "contact-sheet.jpg")

_MAX_REPORT_BYTES = 1 << 30
"""Largest earlier report in bytes: it names all failures of a million photographs."""

_SHEET_ROWS = 12
"""Photographs on the sheet, evenly spread over the job."""

_PANEL_PX = 1024
"""Longer side of what is kept of each photograph until the sheet is drawn."""

_MAX_RECORDS = 1000
"""Records read for the timings, evenly spread over the job."""

_MAX_NAMED = 200
"""Files that each list of the Markdown names; the JSON names all failures."""

_MAX_NOTED = 1000
"""Photographs whose notes the JSON names; each record has its own."""

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class _EndedPhoto:
    """A photograph that has ended, and its result."""

    entry: Entry
    result: Path | None


@dataclass(frozen=True)
class _NoteText:
    kind: str
    note: str


@dataclass(frozen=True)
class _FailedPhoto:
    photo: str
    why: str


@dataclass(frozen=True)
class _PassedOverFile:
    path: str
    why: str


@dataclass(frozen=True)
class _NotedPhoto:
    """A photograph whose result has notes, each with its kind."""

    photo: str
    notes: tuple[_NoteText, ...]


@dataclass(frozen=True)
class _Notes:
    """Notes of the results; the first `_MAX_NOTED` photographs are named.

    Attributes:
        results: How many have notes.
        kinds: By kind of note, how many of them have one.
        told: The same in words; "" for none.
        photos: The photographs.
    """

    results: int
    kinds: dict[str, int]
    told: str
    photos: tuple[_NotedPhoto, ...]


@dataclass(frozen=True)
class _Counts:
    """How many photographs are where (see `BulkCounts`), and how many files were passed over."""

    queued: int
    in_flight: int
    done: int
    skipped: int
    failed: int
    taken_off: int
    found: int
    passed_over: int


@dataclass(frozen=True)
class _Timings:
    """How long the job took; seconds of one photograph are those of its record.

    Attributes:
        took_s: From the first folder looked at until the end.
        per_hour: Photographs restored in an hour; None where none of it was timed.
        records_read: Records that the two numbers below were taken from.
        median_s: Median seconds of a photograph.
        p95_s: Seconds that 95 % of the photographs took at most.
    """

    took_s: float
    per_hour: float | None
    records_read: int
    median_s: float | None
    p95_s: float | None


@dataclass(frozen=True)
class _Report:
    """The outcome of a bulk job; the fields are the keys of report.json. Times are ISO 8601."""

    name: str
    recipe: str
    paths: tuple[str, ...]
    cancelled: bool
    submitted: str
    began: str | None
    ended: str
    counts: _Counts
    timings: _Timings
    notes: _Notes
    failed: tuple[_FailedPhoto, ...]
    passed_over: tuple[_PassedOverFile, ...]


def write_report(ledger: Path, name: str, folder: Path, limits: Limits, group: int | None) -> None:
    """Write the report of a bulk job: report.md, report.json and contact-sheet.jpg.

    Args:
        ledger: The station's.
        name: The bulk job.
        folder: Made if need be; what an earlier report left there is replaced.
        limits: Photographs beyond them are not drawn.
        group: Id of the group of new folders, None for the process's own.

    Raises:
        OSError: It cannot be written, or what lies there is not this job's.
    """
    make_folder(folder, group)
    _refuse_other_files(folder, name)
    view = LedgerReader(ledger)
    try:
        bulk = bulk_rows.find(view, name)
        if bulk is None:
            return
        counts = bulk_rows.counts(view, bulk)
        rows, lost = (bulk_rows.ended_rows(view, name, state) for state in ("done", "failed"))
        failed = [
            _FailedPhoto(shown(entry.claim.files[0].path), _why_of(entry))
            for entry, _ in bulk_rows.ended_entries(view, lost)
        ]
        # Whole rows of all that is done would be gigabytes where there are a million.
        sample = _spread(rows, _MAX_RECORDS)
        done = [_EndedPhoto(*one) for one in bulk_rows.ended_entries(view, sample)]
        notes = _notes(view, name)
    finally:
        view.close()
    report = _report(bulk, counts, (failed, notes), _seconds(done))
    # First, because it says whose the others are.
    _write(folder / "report.json", json_text(asdict(report), indent=2) + "\n")
    drawn = _draw(_spread(done, _SHEET_ROWS), folder / "contact-sheet.jpg", limits)
    _write(folder / "report.md", _markdown(report, drawn=drawn))


def _why_of(entry: Entry) -> str:
    """Why a photograph failed, without its name, which stands beside it."""
    return str(entry.reason).removeprefix(f"{entry.photo_name}: ")


def _refuse_other_files(folder: Path, name: str) -> None:
    """Refuse to write over anything but an earlier report of the same job.

    Raises:
        FileExistsError: The folder is a link, or holds such files that no report of the job is.
    """
    if folder.is_symlink():
        raise FileExistsError(errno.EEXIST, "it is a link", str(folder))
    taken = [path for path in (folder / file for file in _FILES) if os.path.lexists(path)]
    if not taken:
        return
    earlier: object = None
    with contextlib.suppress(Exception):  # whatever is wrong with it, it is no report
        earlier = read_json(folder / "report.json", _MAX_REPORT_BYTES)
    if not isinstance(earlier, dict) or earlier.get("name") != name:
        raise FileExistsError(errno.EEXIST, "it is no report of this bulk job", str(taken[0]))


def _report(
    bulk: BulkJob,
    counts: BulkCounts,
    said: tuple[Sequence[_FailedPhoto], _Notes],
    seconds: Sequence[float],
) -> _Report:
    failed, notes = said
    took_s = max(0.0, bulk.ended_at - bulk.began_at) if bulk.began_at else 0.0
    return _Report(
        name=bulk.name,
        recipe=bulk.recipe,
        paths=tuple(shown(root) for root in bulk.roots),
        cancelled=bulk.cancelled,
        submitted=utc(bulk.submitted_at),
        began=utc(bulk.began_at) if bulk.began_at else None,
        ended=utc(bulk.ended_at),
        counts=_Counts(**asdict(counts), found=counts.found, passed_over=bulk.passed_over),
        timings=_Timings(
            took_s=round(took_s, 1),
            per_hour=round(3600 * counts.done / took_s, 1) if took_s else None,
            records_read=len(seconds),
            median_s=round(median(seconds), 2) if seconds else None,
            p95_s=round(quantiles(seconds, n=20)[-1], 2) if len(seconds) > 1 else None,
        ),
        notes=notes,
        failed=tuple(failed),
        passed_over=tuple(_PassedOverFile(path, why) for path, why in bulk.notes),
    )


def _notes(view: LedgerReader, name: str) -> _Notes:
    counts = view.note_counts(name)
    noted = view.notes(bulk_rows.noted_rows(view, name, _MAX_NOTED))
    photos = tuple(
        _NotedPhoto(
            shown(entry.claim.files[0].path),
            tuple(_NoteText(note.kind.value, str(note)) for note in noted[entry.row]),
        )
        for entry in view.entries(list(noted))
    )
    kinds = {kind.value: number for kind, number in counts.kinds}
    return _Notes(counts.results, kinds, counts.describe(), photos)


def _markdown(report: _Report, *, drawn: bool) -> str:
    counts, timings = report.counts, report.timings
    submitted, ended = _local(report.submitted), _local(report.ended)
    began = f"began {_local(report.began)}" if report.began else "never begun"
    how = "was cancelled" if report.cancelled else "ended"
    lines = [
        report_title(report.name),
        "",
        f"Recipe `{report.recipe}`, submitted {submitted}, {began}, {how} {ended}.",
        "",
        *(f"- {_plain(path)}" for path in report.paths),
        "",
        "| found | restored | there already | failed | taken off | passed over |",
        "|---|---|---|---|---|---|",
        f"| {counts.found} | {counts.done} | {counts.skipped} | {counts.failed} "
        f"| {counts.taken_off} | {counts.passed_over} |",
        "",
    ]
    if timings.median_s is not None:
        lines += [
            f"It took {timings.took_s:.0f} s, {timings.per_hour:.0f} photographs an hour. "
            f"One took {timings.median_s} s (median of {timings.records_read}; they share "
            f"the device), 95 % of them at most {timings.p95_s or timings.median_s} s.",
            "",
        ]
    if report.notes.told:
        lines += [f"{report.notes.told}.", ""]
    if drawn:
        lines += ["![Before and after, a sample](contact-sheet.jpg)", ""]
    lines += _listed("Failed", [(one.photo, one.why) for one in report.failed], counts.failed)
    noted = [(one.photo, "; ".join(n.note for n in one.notes)) for one in report.notes.photos]
    lines += _listed("Notes", noted, report.notes.results)
    passed_over = [(one.path, one.why) for one in report.passed_over]
    lines += _listed("Passed over", passed_over, counts.passed_over)
    return "\n".join(lines)


def _local(instant: str) -> str:
    """An instant in ISO 8601 as people read it here: "2026-11-28 22:00 CET"."""
    return date_in_words(datetime.fromisoformat(instant).timestamp(), local_zone())


def _listed(title: str, files: Sequence[tuple[str, str]], number: int) -> list[str]:
    """A section that names files with the reason, and says how many more there are."""
    if not files:
        return []
    named = [f"- {_plain(path)}: {_plain(why)}" for path, why in files[:_MAX_NAMED]]
    more = number - len(named)
    return [f"## {title}", "", *named, *([f"- and {more} more"] if more > 0 else []), ""]


def _plain(text: str) -> str:
    """Text as one line of code, which no character of a file name can end."""
    line = printable(" ".join(text.split())).replace("`", "'")
    return f"`{line}`"


def _seconds(done: Sequence[_EndedPhoto]) -> list[float]:
    found = []
    for one in done:
        if one.result is None or not one.entry.fence:
            continue
        with contextlib.suppress(Exception):  # others may write to the outbox
            found.append(float(read_record(record_path(one.result))["seconds"]))
    return found


def _draw(done: Sequence[_EndedPhoto], target: Path, limits: Limits) -> bool:
    """Draw the sheet; says whether anything could be drawn."""
    rows = [row for one in done if (row := _row(one, limits)) is not None]
    try:
        if rows:
            draw_sheet(rows).save(target, quality=88)
    except Exception as error:  # the report tells what was done, with a sheet or without
        _log.warning("sheet_not_drawn", path=shown(target), why=f"{type(error).__name__}: {error}")
        return False
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
    except Exception as error:  # a sheet without it is worth more than no report
        name = shown(one.entry.claim.files[0].relative)
        _log.warning("not_on_sheet", photo=name, why=f"{type(error).__name__}: {error}")
        return None
    return Row(shown(one.entry.claim.files[0].relative), tuple(panels))


def _spread(ended: Sequence[_Item], number: int) -> list[_Item]:
    """Pick at most so many of them, evenly spread."""
    if len(ended) <= number:
        return list(ended)
    return [ended[index * len(ended) // number] for index in range(number)]


def _write(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8", errors="backslashreplace")
    part.replace(path)
