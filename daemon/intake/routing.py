"""Which recipe the folder of a file in an inbox asks for."""

from collections.abc import Mapping

from daemon.config.error_messages import suggestion
from daemon.config.recipe import Recipe
from daemon.intake.arrivals import Arrival


def named_recipe(arrival: Arrival, recipes: Mapping[str, Recipe]) -> str | None:
    """Name of the recipe that the folder of an arrival asks for; None where [match] decides.

    There may be no recipe of that name. Below the station's inbox, a sub-folder that is not named
    after a recipe is just a folder, unless its name is close to a recipe's: a misspelt name must
    not send photographs to another recipe.
    """
    if arrival.folder.recipe is not None:
        return arrival.folder.recipe
    if len(arrival.relative.parts) < 2:
        return None
    name = arrival.relative.parts[0]
    return name if name in recipes or suggestion(name, list(recipes)) else None


def is_below_recipe(arrival: Arrival) -> bool:
    """Whether an arrival lies in a sub-folder of its recipe's folder, which may hold a pair."""
    return len(arrival.relative.parts) > (2 if arrival.folder.recipe is None else 1)
