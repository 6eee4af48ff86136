"""Marks that people paint: the photograph goes into an inbox once more, with its side file.

It is a copy: the original stays in the archive. Both lie in a folder of their own, so that no other
photograph takes the mark for its own, and the side file is there before the photograph is.
"""

import os
import secrets
from collections.abc import Iterator

from daemon.config.recipe import recipe_named
from daemon.config.station_setup import known_recipes
from daemon.jobs.companions import side_name
from daemon.system.errors import UsageError
from daemon.system.files import open_regular
from daemon.web.jobs import NotFoundError, PictureFile, reading_jobs
from daemon.web.site import Site
from daemon.web.uploads import PART_BYTES

_PNG = b"\x89PNG\r\n\x1a\n"
ROLES = ("mask", "hints")


def restore_marked(site: Site, row: int, role: str, recipe_name: str, side: bytes) -> str:
    """Put a photograph and its side file into the inbox of a recipe.

    Args:
        site: The site.
        row: Job of the photograph.
        role: "mask" or "hints".
        recipe_name: Recipe that reads such a side file.
        side: The side file, a PNG.

    Returns:
        The name of the photograph in the inbox.

    Raises:
        NotFoundError: The original is not there any more.
        UsageError: The recipe does not read it, or it is no PNG.
    """
    recipe = recipe_named(recipe_name, known_recipes(site.station))
    if role not in recipe.side_files or recipe.photos != 1:
        raise UsageError(f"recipe {recipe.name} reads no {role} of one photograph")
    if not side.startswith(_PNG):
        raise UsageError("a side file is a PNG")
    with reading_jobs(site.station) as jobs:
        file = jobs.picture(row, "original")
    folder = f"marked-{secrets.token_hex(4)}"
    begin, add = site.uploads.begin, site.uploads.add
    upload = begin(recipe, f"{folder}/{side_name(file.name, role)}", len(side))
    add(upload.id, 0, side)
    size, blocks = _read(file)
    upload = begin(recipe, f"{folder}/{file.name}", size)
    name, offset = None, 0
    for block in blocks:
        name = add(upload.id, offset, block)
        offset += len(block)
    if name is None:
        site.uploads.cancel(upload.id)
        raise NotFoundError("the original changed while it was read")
    return name


def _read(file: PictureFile) -> tuple[int, Iterator[bytes]]:
    """Size and blocks of a photograph's file."""
    try:
        opened = open_regular(file.path, file.beneath)
    except OSError as error:
        raise NotFoundError("the original is not there any more") from error

    def blocks() -> Iterator[bytes]:
        with opened:
            while block := opened.read(PART_BYTES):
                yield block

    return os.fstat(opened.fileno()).st_size, blocks()
