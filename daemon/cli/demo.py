"""The demo: damaged photographs through every shipped recipe, with a table and a contact sheet.

It drops them into a station and restores them as any other run does.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.table import Table

from daemon.cli.context import say
from daemon.cli.demo_photos import DemoPhoto, demo_photos, psnr
from daemon.config.settings import Settings
from daemon.config.station import Station
from daemon.jobs.ledger.entries import QueueCount
from daemon.photo.contact_sheet import Row, draw_sheet
from daemon.service.daemon import Daemon
from daemon.system import logging as log

SHEET = "contact-sheet.png"
"""File name of the contact sheet in the station's folder."""

_CAVEAT = (
    "Colours are a guess: skin, sky and wood come out, a red cup stays grey; look at the sheet. "
    "Seconds count from reading to writing while the others share the processor."
)
_SHOWN_FRAMES = (3, 5)
"""Frames of a sequence that the sheet shows."""


@dataclass(frozen=True)
class DemoResult:
    """A photograph and its result, None if it failed; PSNR in dB where the truth is known."""

    photo: DemoPhoto
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
) -> tuple[DemoResult, ...]:
    """Drop the photographs, restore them, draw the sheet.

    Args:
        station: An existing station; what is in it stays.
        settings: Its settings.
        progress: Called about once a second with how many jobs are in which state.
        executor: Name of an entry of EXECUTORS.
    """
    chosen = demo_photos()
    for photo in chosen:
        _drop(station, photo)
    with (station.logs / "demo.log").open("a", encoding="utf-8") as stream:
        log.configure(stream, console=False)
        with Daemon.open(station, settings, executor=executor, progress=progress) as daemon:
            daemon.once()
        log.configure()
    found = tuple(_result_of(station, photo) for photo in chosen)
    rows = [_row(one) for one in found if one.result is not None]
    if rows:
        draw_sheet(rows).save(station.root / SHEET)
    return found


def print_table(found: tuple[DemoResult, ...], to: Console) -> None:
    """Print recipes, times and PSNR as a table."""
    table = Table("file", "recipe", "seconds", "PSNR in", "PSNR out")
    for one in found:
        photo = one.photo
        seconds = f"{one.seconds:.1f}" if one.result else "failed"
        numbers = (_decibels(one.psnr_in), _decibels(one.psnr_out))
        table.add_row(photo.files[0][0], photo.recipe, seconds, *numbers)
    to.print(table)
    say(_CAVEAT, to)


def _decibels(value: float | None) -> str:
    return "" if value is None else f"{value:.2f} dB"


def _drop(station: Station, photo: DemoPhoto) -> None:
    folder = station.inbox / photo.recipe
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in photo.files:
        part = folder / f"{name}.part"
        part.write_bytes(content)
        part.replace(folder / name)


def _result_of(station: Station, photo: DemoPhoto) -> DemoResult:
    """The newest result made from exactly these files."""
    wanted = {hashlib.sha256(content).hexdigest() for _, content in photo.files}
    newest: tuple[str, Path, float] | None = None
    for path in (station.outbox / photo.recipe).glob("*.json"):
        record = json.loads(path.read_text())
        if {one["sha256"] for one in record["inputs"]} != wanted:
            continue
        found = (record["at"], path.with_suffix(""), record["seconds"])
        newest = max(found, newest or found)
    if newest is None or not newest[1].exists():
        return DemoResult(photo)
    _, result, seconds = newest
    if photo.truth is None:
        return DemoResult(photo, result, seconds)
    with Image.open(result) as after:
        out = psnr(after, photo.truth)
    return DemoResult(photo, result, seconds, psnr(photo.before, photo.truth), out)


def _row(one: DemoResult) -> Row:
    photo, result = one.photo, one.result
    label = f"{photo.recipe}   {photo.files[0][0]}   {one.seconds:.1f} s"
    if result is None:
        return Row(label, ())
    if photo.recipe == "interpolate":
        with Image.open(result) as sequence:
            return Row(label, (("before", photo.before), ("between", _strip(sequence))))
    with Image.open(result) as after:
        panels = (
            ("before " + _decibels(one.psnr_in), photo.before),
            ("after " + _decibels(one.psnr_out), after.copy()),
        )
    return Row(label, panels if photo.truth is None else (*panels, ("truth", photo.truth)))


def _strip(sequence: Image.Image) -> Image.Image:
    """Two frames from between the ends, side by side."""
    frames = []
    for index in _SHOWN_FRAMES:
        sequence.seek(min(index, getattr(sequence, "n_frames", 1) - 1))
        frames.append(sequence.convert("RGB"))
    strip = Image.new("RGB", (sum(frame.width for frame in frames), frames[0].height))
    for index, frame in enumerate(frames):
        strip.paste(frame, (index * frame.width, 0))
    return strip
