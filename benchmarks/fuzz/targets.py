"""What is fuzzed: every reader of what the project did not write, or wrote and reads again.

Each function calls readers as the project does, and raises `BrokenPromiseError` where what they
return cannot be right.
"""

import contextlib
import math
import os
import shutil
import struct
import unicodedata
from pathlib import Path

from benchmarks.fuzz import mutations, seeds
from benchmarks.fuzz.oracle import BrokenPromiseError, Target
from daemon.checkpoints.digests import read_digests
from daemon.checkpoints.library import REVISIONS, Checkpoint, read_revisions
from daemon.checkpoints.parameter_count import parameter_counts
from daemon.checkpoints.traits import PRIOR_TRAITS, traits_of
from daemon.config.recipe import read_recipe
from daemon.config.settings import load_settings
from daemon.config.station import Station
from daemon.intake import older_requests
from daemon.intake.requests import RequestFolder, answer_to, waiting_requests
from daemon.jobs import companions
from daemon.jobs.failure_reasons import is_foreign
from daemon.jobs.time_estimates import job_time_of, pace_of
from daemon.photo import Limits, Photo, is_truncated, read_header
from daemon.photo.file_names import is_photo_name
from daemon.photo.isobmff import is_heif_truncated, read_heif_info
from daemon.photo.jpeg_data import last_scan, read_frame, without_scans
from daemon.photo.output_formats import OUTPUTS
from daemon.photo.picture import Header
from daemon.photo.png_chunks import colour_tags, read_chunks, without_pixels
from daemon.photo.prompts import read_prompt_file
from daemon.photo.reading import read_picture
from daemon.photo.tiff_directory import read_directory, read_layout
from daemon.photo.tiff_fields import parse_block
from daemon.photo.writing import write_picture
from daemon.service.status_publisher import read_trouble, read_workers
from daemon.system.errors import ConfigError, PhotoError
from daemon.system.files import fit_name
from daemon.system.json_files import read_json
from daemon.system.mounts import MountWatch
from daemon.system.text import printable, same_name

LIMITS = Limits(max_file_mb=1, max_input_megapixels=1, max_output_megapixels=4)
"""Sizes that are read; what is larger is refused, and must be so before it takes memory."""

_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode categories that must not reach a terminal: what steers it, and what is no text."""

_NOW = 1_800_000_000.0


def _headers(content: bytes, scratch: Path) -> None:
    """What is read of every dropped file before it is queued."""
    path = _file(scratch / "photo.jpg", content)
    is_truncated(path)
    header = read_header(path, LIMITS)
    if not (header.width >= 1 and header.height >= 1 and header.megapixels <= 1):
        raise BrokenPromiseError("a header beyond the limits")


def _parts(content: bytes, scratch: Path) -> None:
    """The parts that header readers are made of, one by one, each with its own errors."""
    path = _file(scratch / "photo.jpg", content)
    with path.open("rb") as file:
        read_frame(file)
        last_scan(file)
        if not without_scans(file).startswith(b"\xff\xd8"):
            raise BrokenPromiseError("a JPEG without its scans that is no JPEG")
        chunks = list(read_chunks(file))
        colour_tags(chunks, None, is_adobe_rgb=False)
        without_pixels(chunks)
        with contextlib.suppress(struct.error):
            layout = read_layout(file)
            if layout is not None:
                directory = read_directory(file, layout, layout.first)
                for tag in directory.fields:
                    directory.numbers(file, tag)
        is_heif_truncated(file, len(content))
        with contextlib.suppress(ValueError, IndexError, struct.error, PhotoError):
            read_heif_info(file, path.name)
    with contextlib.suppress(ValueError, struct.error):
        parse_block(content)


def _decoders(content: bytes, scratch: Path) -> None:
    """A photograph is decoded as the worker does it; its header must have told its size."""
    path = _file(scratch / "photo.jpg", content)
    picture = read_picture(_photo(path), LIMITS)
    header = read_header(path, LIMITS)
    sides, said = sorted(picture.pixels.shape[:2]), sorted((header.width, header.height))
    cropped = header.format in ("AVIF", "HEIF") and math.prod(sides) < math.prod(said)
    if sides != said and not cropped:
        raise BrokenPromiseError("a picture of another size than its header says")


def _results(content: bytes, scratch: Path) -> None:
    """What a photograph carries is written with its result, in every format."""
    try:
        picture = read_picture(_photo(_file(scratch / "photo.jpg", content)), LIMITS)
    except PhotoError:
        return
    for output in OUTPUTS:
        write_picture(picture, scratch / f"result{output.suffix}", format=output.name, quality=90)


def _side_files(content: bytes, scratch: Path) -> None:
    """Masks and colour hints."""
    path = _file(scratch / "photo.png", seeds.pictures()[0])
    side = _file(scratch / "photo.mask.png", content)
    header = read_header(path, LIMITS)
    photo = Photo(path, path.name, "0", header, mask=side, hints=side)
    picture = read_picture(photo, LIMITS)
    if picture.mask is None or picture.hints is None or picture.hints.shape[2] != 4:
        raise BrokenPromiseError("a mask or hints that are none")


def _requests(content: bytes, scratch: Path) -> None:
    """Requests of people: read or set aside with an answer, never more."""
    station = _station(scratch)
    for folder in (station.requests, *(station.state / name for name in ("retry", "redo", "bulk"))):
        folder.mkdir(parents=True, exist_ok=True)
        _file(folder / "0.json", content)
    waiting_requests(station)
    folder_of_daemon = RequestFolder(station)
    pending = folder_of_daemon.pending()
    answer = answer_to(station, "0")
    if len(pending) == (answer is not None):
        raise BrokenPromiseError("a request that was neither read nor refused")
    if answer is not None and not answer.reason:
        raise BrokenPromiseError("a request that was refused without a reason")
    for one in pending:
        folder_of_daemon.take(one)
    older_requests.take_over(station)
    folder_of_daemon.pending()
    for name in ("requests", "answers", "retry", "redo", "bulk"):
        shutil.rmtree(station.state / name, ignore_errors=True)


def _recipes(content: bytes, scratch: Path) -> None:
    """Recipes, and what the scheduler and the sorter ask of one that is valid."""
    recipe = read_recipe(_file(scratch / "recipe.toml", content))
    recipe.mismatch("photo.jpg", 1.0)
    if len(recipe.digest) != 64:
        raise BrokenPromiseError("a recipe without a digest")
    schedule = recipe.schedule
    if schedule.next_opening(_NOW) < _NOW or schedule.next_firing(_NOW) <= _NOW:
        raise BrokenPromiseError("a schedule that goes back")
    schedule.last_firing(_NOW)


def _settings(content: bytes, scratch: Path) -> None:
    """A station's settings."""
    load_settings(_file(scratch / "restored.toml", content))


def _prompts(content: bytes, scratch: Path) -> None:
    """Prompt files, as text and as TOML."""
    for suffix in (".txt", ".toml"):
        path = _file(scratch / f"prompt{suffix}", content)
        is_truncated(path)
        with contextlib.suppress(*((PhotoError,) if suffix == ".txt" else ())):
            prompts = read_prompt_file(path, path.name)
            if not all(prompt.text.strip() for prompt in prompts.prompts):
                raise BrokenPromiseError("a prompt without text")


def _names(content: bytes, scratch: Path) -> None:
    """Names of photographs, side files, companions and halves, of any bytes."""
    names = [os.fsdecode(line) for line in content.split(b"\n") if line and b"/" not in line]
    names = list(dict.fromkeys(name for name in names if "\0" not in name))[:64]
    sides, beside = companions.SideFiles(names), companions.Companions(names)
    found: list[str] = []
    for name in names:
        is_photo_name(name)
        same_name(name)
        if any(unicodedata.category(one) in _UNSEEN for one in printable(name)):
            raise BrokenPromiseError("a printable name that cannot be printed")
        if len(os.fsencode(fit_name(name))) > 255:
            raise BrokenPromiseError("a name that does not fit")
        found += beside.of(name)
        for role in companions.ROLES:
            companions.side_name(name, role)
            found += sides.all_of(name, role)
    pairs = companions.by_name(names)
    halves = [name for pair in pairs for name in (pair.first, pair.second)]
    if len(halves) != len(set(halves)):
        raise BrokenPromiseError("a photograph in two pairs")
    for name in names[:4]:
        other = companions.other_half(name, [one for one in names if one != name])
        found += [] if other is None else [other]
    companions.without_side_files([scratch / name for name in names], companions.ROLES)
    if not {*found, *halves} <= {*names}:
        raise BrokenPromiseError("a name that was not given")


def _records(content: bytes, scratch: Path) -> None:
    """Files that the project wrote and reads again, after anything has happened to them."""
    station = _station(scratch)
    for path in (station.loaded_models, station.trouble, station.mounts):
        _file(path, content)
    read_workers(station)
    read_trouble(station)
    MountWatch(station.mounts)
    _file(station.state / "answers" / "0.json", content)
    answer_to(station, "0")
    is_foreign(_file(scratch / "a.jpg.error.json", content), origin="/x/a.jpg")
    read_digests(_file(scratch / "digests.json", content))
    _file(scratch / REVISIONS, content)
    read_revisions(scratch)
    try:
        line = read_json(scratch / "digests.json")
    except Exception:  # a parser raises what it likes
        return
    job_time = job_time_of(line) if isinstance(line, dict) else None
    pace = pace_of([] if job_time is None else [job_time])
    if pace is not None and not math.isfinite(pace.device.over([1.0])):
        raise BrokenPromiseError("a pace without end")


def _checkpoints(content: bytes, scratch: Path) -> None:
    """Configurations of checkpoints that people bring, and the header of their weights."""
    places = (
        *("model_index.json", "unet/config.json", "vae/config.json"),
        *("scheduler/scheduler_config.json", "unet/weights.safetensors"),
    )
    folder = scratch / "checkpoint"
    shutil.rmtree(folder, ignore_errors=True)
    for place, part in zip(places, content.split(b"\0"), strict=False):
        header = struct.pack("<Q", len(part)) + part
        _file(folder / place, header if place.endswith("safetensors") else part)
    weights = folder / places[-1]
    traits = None
    with contextlib.suppress(ConfigError):
        traits = traits_of(folder)
    if traits is not None and not (traits.side_px >= 1 and traits.channels >= 1):
        raise BrokenPromiseError("a checkpoint without size")
    if weights.exists():
        parameter_counts(Checkpoint("x", folder, traits or PRIOR_TRAITS))


def _file(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def _photo(path: Path) -> Photo:
    return Photo(path, path.name, "0", Header("JPEG", 1, 1, "RGB"))


def _station(scratch: Path) -> Station:
    (scratch / "state").mkdir(exist_ok=True)
    return Station(scratch, scratch / "state", scratch / "logs", scratch)


_PHOTO = (PhotoError,)
_CONFIG = (ConfigError,)

TARGETS = {
    target.name: target
    for target in (
        Target("headers", _headers, _PHOTO, seeds.headers, mutations.picture),
        Target("parts", _parts, (), seeds.headers, mutations.picture),
        Target("decoders", _decoders, _PHOTO, seeds.headers, mutations.picture, 5.0, 1024),
        Target("results", _results, _PHOTO, seeds.pictures, mutations.picture, 10.0, 1024),
        Target("side-files", _side_files, _PHOTO, seeds.pictures, mutations.picture, 5.0, 1024),
        Target("requests", _requests, (), seeds.requests, mutations.json_files),
        Target("recipes", _recipes, _CONFIG, seeds.recipes, mutations.toml, 2.0),
        Target("settings", _settings, _CONFIG, seeds.settings, mutations.toml),
        Target("prompts", _prompts, _PHOTO, seeds.prompts, mutations.toml),
        Target("names", _names, (), seeds.names, mutations.lines),
        Target("records", _records, (), seeds.records, mutations.json_files),
        Target("checkpoints", _checkpoints, _CONFIG, seeds.checkpoints, mutations.json_files),
    )
}
"""Every target by its name."""
