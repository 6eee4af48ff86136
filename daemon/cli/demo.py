"""The demo: photographs through the shipped recipes, with a table and a contact sheet.

All recipes but `restore` take part. It drops the photographs into a station and restores them as
any other run does.
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
from daemon.photo.contact_sheet import Row, draw_grid
from daemon.service.daemon import Daemon
from daemon.system import logging as log
from daemon.system.errors import BusyError

SHEET = "contact-sheet.png"
"""File name of the contact sheet in the station's folder."""

_CAVEAT = (
    "Colours are a guess: skin, fur and wood come out, an orange suit turns brown; look at the "
    "sheet. Old prints have no truth, and so no PSNR. "
    "Seconds count from reading to writing while the others share the processor."
)
_SEQUENCE = "interpolate"
_PANEL = (190, 154)
"""Width and height of a picture on the sheet, in pixels: ten cells fit 1,600 x 1,000."""

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

    Raises:
        BusyError: Something, such as a full disk, kept photographs from being restored.
    """
    chosen = demo_photos()
    for photo in chosen:
        _drop(station, photo)
    with (station.logs / "demo.log").open("a", encoding="utf-8") as stream:
        log.configure(stream, console=False)
        with Daemon.open(station, settings, executor=executor, progress=progress) as daemon:
            summary = daemon.once()
        log.configure()
    if summary.held_up:
        raise BusyError(f"nothing more was started: {summary.held_up}")
    found = tuple(_result_of(station, photo) for photo in chosen)
    cells = _cells(found)
    if cells:
        draw_grid(cells, _PANEL).save(station.root / SHEET)
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


def _cells(found: tuple[DemoResult, ...]) -> list[Row]:
    """One cell for each recipe with both photographs, or for each pair that is interpolated."""
    done = [one for one in found if one.result is not None]
    recipes = dict.fromkeys(one.photo.recipe for one in done if one.photo.recipe != _SEQUENCE)
    cells = []
    for recipe in recipes:
        both = [one for one in done if one.photo.recipe == recipe]
        label = "   ".join([recipe, *(f"{one.photo.name} {one.seconds:.1f} s" for one in both)])
        cells.append(Row(label, tuple(panel for one in both for panel in _before_after(one))))
    return cells + [_sequence(one) for one in done if one.photo.recipe == _SEQUENCE]


def _before_after(one: DemoResult) -> tuple[tuple[str, Image.Image], ...]:
    with _opened(one) as after:
        return (
            (f"before {_decibels(one.psnr_in)}", one.photo.before),
            (f"after {_decibels(one.psnr_out)}", after.copy()),
        )


def _sequence(one: DemoResult) -> Row:
    """The first picture, two frames from between, and the second picture."""
    both = one.photo.before
    middle = both.width // 2
    first = both.crop((0, 0, middle, both.height))
    second = both.crop((middle, 0, both.width, both.height))
    panels = [("first", first)]
    with _opened(one) as frames:
        for index in _SHOWN_FRAMES:
            frames.seek(min(index, getattr(frames, "n_frames", 1) - 1))
            panels.append((f"frame {index}", frames.convert("RGB")))
    label = f"{_SEQUENCE}   {one.photo.name} {one.seconds:.1f} s"
    return Row(label, (*panels, ("second", second)))


def _opened(one: DemoResult) -> Image.Image:
    if one.result is None:
        raise ValueError(f"{one.photo.name} has no result")
    return Image.open(one.result)
