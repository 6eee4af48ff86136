"""The demo: real photographs through every shipped recipe, by one command.

Comes in: a folder. Goes out: a station in it, a table, and a contact sheet. It uses the same
inboxes, worker process and outboxes as any other run.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.table import Table

from daemon.cli.demo_photos import Sample, psnr, samples
from daemon.config.settings import Settings
from daemon.config.station import Station
from daemon.jobs.ledger.entries import QueueCount
from daemon.photo.contact_sheet import Row, draw_sheet
from daemon.service.daemon import Daemon
from daemon.system import logging as log

SHEET = "contact-sheet.png"
WEAK = (
    "Not good yet on the shipped network: colour. It is muted and partly wrong; look at the sheet. "
    "Seconds count from reading to writing while the others share the processor."
)
_BETWEEN = (3, 5)


@dataclass(frozen=True)
class Finding:
    """A sample and what became of it; `result` is None where it failed."""

    sample: Sample
    result: Path | None = None
    seconds: float = 0.0
    psnr_in: float | None = None
    psnr_out: float | None = None


def demo(
    station: Station,
    settings: Settings,
    progress: Callable[[tuple[QueueCount, ...]], None] | None = None,
    *,
    executor: str = "process",
) -> tuple[Finding, ...]:
    """Drop the samples, restore until the inboxes are empty, draw the sheet.

    Args:
        station: A station that has been made; what is in it already stays.
        settings: Its settings.
        progress: Called about once a second with how many jobs are where.
        executor: Name of an entry of EXECUTORS.
    """
    chosen = samples()
    for sample in chosen:
        _drop(station, sample)
    with (station.logs / "demo.log").open("a", encoding="utf-8") as stream:
        log.configure(stream, console=False)
        with Daemon.open(station, settings, executor=executor, progress=progress) as daemon:
            daemon.once()
        log.configure()
    found = tuple(_finding(station, sample) for sample in chosen)
    rows = [_row(finding) for finding in found if finding.result is not None]
    if rows:
        draw_sheet(rows).save(station.root / SHEET)
    return found


def show(found: tuple[Finding, ...], out: Console) -> None:
    """Print the table."""
    table = Table("file", "recipe", "seconds", "PSNR in", "PSNR out")
    for finding in found:
        sample = finding.sample
        seconds = f"{finding.seconds:.1f}" if finding.result else "failed"
        numbers = (_decibels(finding.psnr_in), _decibels(finding.psnr_out))
        table.add_row(sample.files[0][0], sample.recipe, seconds, *numbers)
    out.print(table)
    out.print(WEAK)


def _decibels(value: float | None) -> str:
    return "" if value is None else f"{value:.2f} dB"


def _drop(station: Station, sample: Sample) -> None:
    folder = station.inbox / sample.recipe
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in sample.files:
        part = folder / f"{name}.part"
        part.write_bytes(content)
        part.replace(folder / name)


def _finding(station: Station, sample: Sample) -> Finding:
    """The newest result that was made from these very files."""
    wanted = {hashlib.sha256(content).hexdigest() for _, content in sample.files}
    newest: tuple[str, Path, float] | None = None
    for path in (station.outbox / sample.recipe).glob("*.json"):
        record = json.loads(path.read_text())
        if {one["sha256"] for one in record["inputs"]} != wanted:
            continue
        found = (record["at"], path.with_suffix(""), record["seconds"])
        newest = max(found, newest or found)
    if newest is None or not newest[1].exists():
        return Finding(sample)
    _, result, seconds = newest
    if sample.truth is None:
        return Finding(sample, result, seconds)
    with Image.open(result) as after:
        out = psnr(after, sample.truth)
    return Finding(sample, result, seconds, psnr(sample.before, sample.truth), out)


def _row(finding: Finding) -> Row:
    sample, result = finding.sample, finding.result
    label = f"{sample.recipe}   {sample.files[0][0]}   {finding.seconds:.1f} s"
    if result is None:
        return Row(label, ())
    if sample.recipe == "interpolate":
        with Image.open(result) as sequence:
            return Row(label, (("before", sample.before), ("between", _strip(sequence))))
    with Image.open(result) as after:
        panels = (
            ("before " + _decibels(finding.psnr_in), sample.before),
            ("after " + _decibels(finding.psnr_out), after.copy()),
        )
    return Row(label, panels if sample.truth is None else (*panels, ("truth", sample.truth)))


def _strip(sequence: Image.Image) -> Image.Image:
    """Two frames from between the ends, side by side."""
    frames = []
    for index in _BETWEEN:
        sequence.seek(min(index, getattr(sequence, "n_frames", 1) - 1))
        frames.append(sequence.convert("RGB"))
    strip = Image.new("RGB", (sum(frame.width for frame in frames), frames[0].height))
    for index, frame in enumerate(frames):
        strip.paste(frame, (index * frame.width, 0))
    return strip
