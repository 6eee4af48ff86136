"""TODO."""

from collections.abc import Mapping

from daemon.config.recipe import Recipe
from daemon.config.validation import suggestion
from daemon.intake.arrivals import Arrival


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
    return name if name in recipes or suggestion(name, list(recipes)) else None


def is_below_recipe(arrival: Arrival) -> bool:
    """Whether an arrival lies in a sub-folder of its recipe's folder, which may hold one pair."""
    return len(arrival.relative.parts) > (2 if arrival.folder.recipe is None else 1)
