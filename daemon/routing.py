"""Which recipe a file goes to, by where it lies, what it is called and how large it is.

Comes in: an arrival and the recipes. Goes out: a recipe, or why there is none. Reads no more of a
file than its header, and that only if its name does not settle the matter.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from daemon.files import shown
from daemon.recipe import Recipe
from daemon.station import Arrival
from daemon.validation import close_match

Megapixels = Callable[[], float]
"""Reads a file's size from its header, in millions of pixels; raises `PhotoError`."""


@dataclass(frozen=True)
class Route:
    """Where a photograph goes: `refusal` is why it goes to failed/, or ""."""

    recipe: Recipe | None
    refusal: str = ""


def named_recipe(arrival: Arrival, recipes: Mapping[str, Recipe]) -> str | None:
    """Name of the recipe that an arrival's folder asks for; None where [match] decides.

    There may be no such recipe. Below the station's inbox a sub-folder that bears no recipe's name
    is just a folder, unless its name is nearly one: a slip must not send photographs elsewhere.
    """
    if arrival.folder.recipe is not None:
        return arrival.folder.recipe
    if len(arrival.relative.parts) < 2:
        return None
    name = arrival.relative.parts[0]
    return name if name in recipes or close_match(name, list(recipes)) else None


def is_below_recipe(arrival: Arrival) -> bool:
    """Whether an arrival lies in a sub-folder of its recipe's folder, which may hold one pair."""
    return len(arrival.relative.parts) > (2 if arrival.folder.recipe is None else 1)


def route_to(recipe: Recipe, name: str, megapixels: Megapixels) -> Route:
    """Send a file to the recipe whose folder it lies in, unless its [match] refuses the file."""
    why = _refuses_name(recipe, name) or recipe.takes(name, megapixels())
    return Route(recipe, f"{shown(name)}: recipe {recipe.name} refuses it: {why}" if why else "")


def route_by_match(name: str, megapixels: Megapixels, recipes: Mapping[str, Recipe]) -> Route:
    """Send a file to the first recipe, in order of their names, whose [match] takes it."""
    needs: list[str] = []
    for recipe_name, recipe in sorted(recipes.items()):
        why: str | None
        if recipe.photos > 1:
            why = f"it takes pairs, from inbox/{recipe_name}/ only"
        else:
            why = _refuses_name(recipe, name) or recipe.takes(name, megapixels())
        if why is None:
            return Route(recipe)
        needs.append(f"{recipe_name}: {why}")
    reasons = "; ".join(needs) or "there are no recipes"
    return Route(None, f"no recipe matches {shown(name)}, because {reasons}")


def _refuses_name(recipe: Recipe, name: str) -> str | None:
    return recipe.takes(name, recipe.match.min_megapixels)
