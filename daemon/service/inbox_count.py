"""How many photographs lie in the inboxes, counted by whoever asks: a daemon may be paused or gone.

Only names are judged, as the sorter judges them before it reads a header.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from daemon.config.recipe import Recipe
from daemon.config.station import InboxFolder
from daemon.intake.arrivals import Arrival
from daemon.intake.routing import named_recipe
from daemon.intake.scanner import folders_not_entered, walk_files
from daemon.jobs.companions import side_of
from daemon.jobs.ledger.reader import LedgerReader
from daemon.photo.file_names import is_photo_name

_LONGEST_S = 2.0
"""Seconds after which the count ends: a share that answers slowly must not hold up a status."""


@dataclass(frozen=True)
class InboxCount:
    """Photographs in the inboxes that no daemon has taken yet.

    Attributes:
        by_recipe: How many, by the recipe that their folders name; "" where none is named.
        whole: All were counted; otherwise there are at least so many.
    """

    by_recipe: Mapping[str, int]
    whole: bool


def count_inboxes(
    folders: Sequence[InboxFolder], recipes: Sequence[Recipe], ledger: LedgerReader | None
) -> InboxCount:
    """Count the photographs in some inboxes.

    Args:
        folders: The inboxes.
        recipes: The recipes, as far as they can be read.
        ledger: Knows which originals were left in their place; None before the first run.
    """
    until = time.monotonic() + _LONGEST_S
    known = {recipe.name: recipe for recipe in recipes}
    found: Counter[str] = Counter()
    for folder in folders:
        root = str(folder.path.absolute())
        kept_out = folders_not_entered(folder, folders)
        for relative, status in walk_files(root, "", kept_out):
            if time.monotonic() > until:
                return InboxCount(found, whole=False)
            if isinstance(status, str) or not status.st_size:
                continue
            arrival = Arrival(folder, Path(relative), status.st_size, status.st_mtime_ns)
            recipe = named_recipe(arrival, known) or ""
            if _is_photo(arrival.relative.name, known.get(recipe)):
                found[recipe] += not _was_taken(arrival, ledger)
    return InboxCount(found, whole=True)


def _is_photo(name: str, recipe: Recipe | None) -> bool:
    if side_of(name) is not None:
        return False
    return is_photo_name(name) or (recipe is not None and name.lower().endswith(recipe.suffixes))


def _was_taken(arrival: Arrival, ledger: LedgerReader | None) -> bool:
    if ledger is None or arrival.folder.originals != "leave":
        return False
    return ledger.was_taken(arrival.path, arrival.size_bytes, arrival.mtime_ns)
