"""The Python interface: `from daemon import restore`, the same engine in the caller's process.

Pictures come as files, arrays or Pillow images, and go the way of `restored apply`: what it
refuses, notes and records is the same. `docs/python.md` shows it.
"""

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from daemon.config.key_descriptions import toml_value
from daemon.config.recipe import Recipe
from daemon.config.settings import Settings, load_settings
from daemon.config.station_setup import find_station, open_station, recipe_for
from daemon.config.step_changes import changes_of_keys, with_step_changes
from daemon.jobs.publication import record_path
from daemon.photo import Photo, read_header
from daemon.photo.reading import read_picture
from daemon.service.apply import Applied, Working, follow
from daemon.service.apply_plan import ApplyOptions
from daemon.service.component_settings import compute_of
from daemon.system.errors import PhotoError, UsageError

Given = str | Path | NDArray[np.generic] | Image.Image
"""A picture: a file, an array (H, W) or (H, W, 3) of uint8 or uint16 in sRGB, or a Pillow image."""

_RECIPE = "restore"


@dataclass(frozen=True)
class RestoredPicture:
    """What became of one picture.

    Attributes:
        given: The picture as it was given.
        pixels: The result, upright and in sRGB, (H, W, 3), uint8 or uint16; None if it failed.
        content: The file of the result as `restored apply` writes it, metadata included.
        record: What was done, as in the record beside a result; empty if it failed.
        notes: What a person should know.
        error: Why it failed; "" if it did not.
    """

    given: Given
    pixels: NDArray[np.generic] | None
    content: bytes = b""
    record: Mapping[str, object] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    error: str = ""

    def save(self, path: str | Path) -> None:
        """Write the file of the result; one that exists stays.

        Raises:
            FileExistsError: There is one of this name.
        """
        with Path(path).open("xb") as file:
            file.write(self.content)


def restore(
    picture: Given,
    recipe: str = _RECIPE,
    *,
    station: str | Path | None = None,
    device: str | None = None,
    seed: int | None = None,
    **keys: object,
) -> RestoredPicture:
    """Restore one picture; for several, `restore_each` loads the networks once.

    Args:
        picture: The picture; side files count if it is a file.
        recipe: Name of a recipe, or a TOML file.
        station: Folder of a station whose recipes and settings count.
        device: "cpu", "cuda:0" and so on; None takes that of the settings.
        seed: Seed of the noise; None derives it from the picture.
        keys: Keys of steps for this call, such as `realism=0.5`.

    Raises:
        PhotoError: The picture is refused.
        ConfigError, UsageError: Recipe, settings or keys are wrong.
    """
    each = restore_each([picture], recipe, station=station, device=device, seed=seed, **keys)
    (done,) = (event for event in each if isinstance(event, RestoredPicture))
    if done.error:
        raise PhotoError("", done.error)
    return done


def restore_each(
    pictures: Iterable[Given],
    recipe: str = _RECIPE,
    *,
    station: str | Path | None = None,
    device: str | None = None,
    seed: int | None = None,
    **keys: object,
) -> Iterator[RestoredPicture | Working]:
    """Restore pictures, as many at a time as the machine takes; arguments as `restore`.

    Yields:
        What became of each, as soon as it is known, in any order; in between, that work goes on.
    """
    chosen, settings = _recipe_and_settings(recipe, station, keys)
    compute = compute_of(settings)
    if device is not None:
        compute = replace(compute, device=device)
    with tempfile.TemporaryDirectory(prefix="restored-") as scratch:
        folder = Path(scratch)
        files = {_as_file(one, folder, number): one for number, one in enumerate(pictures)}
        given = {path.name: one for path, one in files.items()}
        options = ApplyOptions(folder / "out", seed=seed, record=True, clip=settings.clip_model)
        for event in follow(chosen, list(files), options, compute):
            if isinstance(event, Working):
                yield event
            else:
                yield _told(event, given, settings)


def _recipe_and_settings(
    name: str, station: str | Path | None, keys: Mapping[str, object]
) -> tuple[Recipe, Settings]:
    if station is None:
        where, settings = None, load_settings()
    else:
        where, settings = open_station(find_station(Path(station)).root)
    recipe = recipe_for(name, where)
    if recipe.photos > 1:
        raise UsageError(f"recipe {recipe.name} takes pairs; use `restored apply`")
    changes = [
        change
        for key, value in keys.items()
        for change in changes_of_keys(recipe, {key: toml_value(value)})
    ]
    return with_step_changes(recipe, changes), settings


def _as_file(given: Given, folder: Path, number: int) -> Path:
    """A file of a picture: its own, or a lossless one in the folder."""
    if isinstance(given, str | Path):
        return Path(given).absolute()
    path = folder / f"{number:06}.png"
    if isinstance(given, Image.Image):
        given.save(path)
        return path
    if given.dtype not in (np.uint8, np.uint16) or given.ndim not in (2, 3):
        raise UsageError(
            f"the array has shape {given.shape} of {given.dtype}; "
            "give (H, W) or (H, W, 3) of uint8 or uint16"
        )
    import imagecodecs

    path.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(given)))
    return path


def _told(done: Applied, given: Mapping[str, Given], settings: Settings) -> RestoredPicture:
    source = given[done.photo.name]
    if done.result is None:
        return RestoredPicture(source, None, error=done.why)
    limits = compute_of(settings).limits
    header = read_header(done.result, limits)
    record = json.loads(record_path(done.result).read_text("utf-8"))
    digest = record["outputs"][0]["sha256"]
    picture = read_picture(Photo(done.result, done.result.name, digest, header), limits)
    return RestoredPicture(
        source,
        picture.pixels,
        done.result.read_bytes(),
        record,
        tuple(map(str, done.notes)),
    )
