"""Choosing: which recipe a claimed photograph goes to, where its content has a say.

Comes in: a queued entry, the recipes. Goes out: its recipe, what must be found out first, or why no
recipe takes it. What was found out once is read from the ledger; nothing is decoded here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from daemon.config.features import Feature
from daemon.config.matching import missing_features, route_by_content
from daemon.config.recipe import Recipe, recipe_named
from daemon.jobs.ledger.entries import ClaimedFile, Entry
from daemon.jobs.ledger.writer import Ledger
from daemon.system.files import shown


@dataclass(frozen=True)
class NeedsInspection:
    """These features of a photograph must be measured before its recipe is known.

    Attributes:
        file: The photograph.
        features: What is to be measured.
        clip: Reference of the CLIP model that answers for likeness, pinned; "" without one.
        clip_digest: Its digest.
    """

    file: ClaimedFile
    features: tuple[Feature, ...]
    clip: str = ""
    clip_digest: str = ""


@dataclass(frozen=True)
class NoRecipe:
    """No recipe takes the photograph, and why."""

    reason: str


Choice = Recipe | NeedsInspection | NoRecipe


def select_recipe(
    entry: Entry, recipes: Sequence[Recipe], ledger: Ledger, clip_digest: str
) -> Choice:
    """Find the recipe of a queued entry.

    Args:
        entry: As it was claimed: its folder named the recipe, or its content decides ("").
        recipes: The recipes as they are now.
        ledger: Remembers what was seen before.
        clip_digest: Digest of the CLIP model, "" without one.

    Raises:
        ConfigError: The recipe is not known any more.
    """
    if entry.recipe:
        recipe = recipe_named(entry.recipe, recipes)
        if entry.claim.folder.is_archive:
            return recipe  # [match] says what a recipe takes, and this it has taken long ago
        return _admitted(entry, recipe, ledger, clip_digest) if recipe.match.features else recipe
    (file,) = entry.claim.photos
    header = file.header
    if header is None:
        raise RuntimeError(f"job {entry.row} was queued without a header")
    in_order = sorted(recipes, key=lambda recipe: recipe.name)
    answers = ledger.answers(file.digest, clip_digest=clip_digest)
    seen = (file.relative.name, lambda: header.megapixels, in_order, answers)
    if features := missing_features(*seen):
        return NeedsInspection(file, features)
    route = route_by_content(*seen)
    if route.recipe is None:
        return NoRecipe(route.refusal)
    ledger.choose(entry.row, route.recipe.name)
    return route.recipe


def _admitted(entry: Entry, recipe: Recipe, ledger: Ledger, clip_digest: str) -> Choice:
    """The recipe that the folder names, if its conditions hold for every photograph."""
    for file in entry.claim.photos:
        answers = ledger.answers(file.digest, clip_digest=clip_digest)
        if missing := tuple(feature for feature in recipe.match.features if feature not in answers):
            return NeedsInspection(file, missing)
        if why := recipe.match.content_mismatch(answers):
            name = shown(file.relative.name)
            return NoRecipe(f"{name}: recipe {recipe.name} refuses it: {why}")
    return recipe
