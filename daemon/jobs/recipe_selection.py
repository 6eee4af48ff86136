"""Recipe selection: which recipe a queued photograph goes to.

Where the content decides, features that were measured once are read from the ledger; those that are
missing must be measured first, by an executor. Nothing is decoded here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from daemon.config.content_features import Feature
from daemon.config.matching import missing_features, plain_inbox_order, route_by_content
from daemon.config.recipe import Recipe, recipe_named
from daemon.jobs.ledger.entries import ClaimedFile, Entry
from daemon.jobs.ledger.writer import Ledger
from daemon.system.files import shown


@dataclass(frozen=True)
class NeedsInspection:
    """Features of a photograph must be measured before its recipe is known.

    Attributes:
        file: The photograph.
        features: What to measure.
        clip: Reference of the CLIP model that scores likeness, pinned; "" without one.
        clip_digest: Its digest.
    """

    file: ClaimedFile
    features: tuple[Feature, ...]
    clip: str = ""
    clip_digest: str = ""


@dataclass(frozen=True)
class NoRecipe:
    """No recipe takes the photograph.

    Attributes:
        reason: Why not.
    """

    reason: str


Choice = Recipe | NeedsInspection | NoRecipe


def select_recipe(
    entry: Entry, recipes: Sequence[Recipe], ledger: Ledger, clip_digest: str
) -> Choice:
    """Find the recipe of a queued entry.

    Args:
        entry: The entry; its `recipe` is "" where the content decides.
        recipes: The recipes as they are now.
        ledger: Keeps what was measured before, and the choice.
        clip_digest: Digest of the CLIP model; "" without one.

    Raises:
        ConfigError: There is no recipe of that name any more.
    """
    if entry.recipe:
        recipe = recipe_named(entry.recipe, recipes)
        if entry.claim.folder.is_archive:
            return recipe  # [match] says what a recipe takes, and it took this once before
        return _checked(entry, recipe, ledger, clip_digest) if recipe.match.features else recipe
    (file,) = entry.claim.photos
    header = file.header
    if header is None:
        raise RuntimeError(f"job {entry.row} was queued without a header")
    answers = ledger.answers(file.digest, clip_digest=clip_digest)
    known = (file.relative.name, lambda: header.megapixels, plain_inbox_order(recipes), answers)
    if features := missing_features(*known):
        return NeedsInspection(file, features)
    route = route_by_content(*known, shown(file.relative))
    if route.recipe is None:
        return NoRecipe(route.refusal)
    ledger.choose(entry.row, route.recipe.name)
    return route.recipe


def _checked(entry: Entry, recipe: Recipe, ledger: Ledger, clip_digest: str) -> Choice:
    """The recipe that the folder names, if its conditions hold for every photograph."""
    for file in entry.claim.photos:
        answers = ledger.answers(file.digest, clip_digest=clip_digest)
        if missing := tuple(feature for feature in recipe.match.features if feature not in answers):
            return NeedsInspection(file, missing)
        if why := recipe.match.content_mismatch(answers):
            return NoRecipe(f"{shown(file.relative)}: recipe {recipe.name} refuses it: {why}")
    return recipe
