"""Which recipe a file goes to, by where it lies, what it is called, how large it is, what it shows.

Comes in: an arrival and the recipes. Goes out: a recipe, those whose conditions on the content must
be answered first, or why there is none. Reads no more of a file than its header, and that only if
its name does not settle the matter.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from daemon.config.features import Feature
from daemon.config.recipe import Recipe
from daemon.system.files import shown

Megapixels = Callable[[], float]
"""Reads a file's size from its header, in millions of pixels; raises `PhotoError`."""


@dataclass(frozen=True)
class Route:
    """Where a photograph goes.

    Attributes:
        recipe: The recipe; None where none takes it or its content must be looked at first.
        refusal: Why it goes to failed/, or "".
        candidates: The recipes that may take it, where its content decides.
    """

    recipe: Recipe | None
    refusal: str = ""
    candidates: tuple[Recipe, ...] = ()

    @property
    def side_files(self) -> tuple[str, ...]:
        """The side files that whichever recipe gets it may read."""
        recipes = self.candidates or ((self.recipe,) if self.recipe else ())
        return tuple(dict.fromkeys(role for recipe in recipes for role in recipe.side_files))

    @property
    def needs_mask(self) -> bool:
        """Whether the file is of no use without its mask."""
        return self.recipe is not None and self.recipe.needs_mask and not self.refusal


def route_to(recipe: Recipe, name: str, megapixels: Megapixels) -> Route:
    """Send a file to the recipe whose folder it lies in, unless its [match] refuses the file."""
    why = _refuses_name(recipe, name) or recipe.mismatch(name, megapixels())
    return Route(recipe, f"{shown(name)}: recipe {recipe.name} refuses it: {why}" if why else "")


def route_by_match(name: str, megapixels: Megapixels, recipes: Mapping[str, Recipe]) -> Route:
    """Send a file to the first recipe, in order of their names, whose [match] takes it.

    Where a recipe before that asks for the content, the file is for the candidates, in order.
    """
    needs: list[str] = []
    candidates: list[Recipe] = []
    for recipe_name, recipe in sorted(recipes.items()):
        why = _refuses(recipe, name, megapixels)
        if why is not None:
            needs.append(f"{recipe_name}: {why}")
            continue
        candidates.append(recipe)
        if not recipe.match.features:
            break
    if not candidates:
        return Route(None, _none_matches(name, needs))
    if not candidates[0].match.features:
        return Route(candidates[0])
    return Route(None, candidates=tuple(candidates))


def missing_features(
    name: str,
    megapixels: Megapixels,
    recipes: Sequence[Recipe],
    answers: Mapping[Feature, float],
) -> tuple[Feature, ...]:
    """What must still be found out about a file's content before `route_by_content` can choose."""
    wanted: dict[Feature, None] = {}
    for recipe in recipes:
        if _refuses(recipe, name, megapixels) is None:
            wanted |= dict.fromkeys(q for q in recipe.match.features if q not in answers)
            if not recipe.match.features:
                break
    return tuple(wanted)


def route_by_content(
    name: str,
    megapixels: Megapixels,
    recipes: Sequence[Recipe],
    answers: Mapping[Feature, float],
) -> Route:
    """Send a file to the first of the recipes whose [match] takes it, its content included.

    Args:
        name: Its file name.
        megapixels: Its size.
        recipes: The recipes, in order; one, if its folder names it.
        answers: To all that `missing_features` asked.
    """
    needs: list[str] = []
    for recipe in recipes:
        why = _refuses(recipe, name, megapixels) or recipe.match.content_mismatch(answers)
        if why is None:
            return Route(recipe)
        needs.append(f"{recipe.name}: {why}")
    return Route(None, _none_matches(name, needs))


def _none_matches(name: str, needs: Sequence[str]) -> str:
    reasons = "; ".join(needs) or "there are no recipes"
    return f"no recipe matches {shown(name)}, because {reasons}"


def _refuses(recipe: Recipe, name: str, megapixels: Megapixels) -> str | None:
    """Why a file of the plain inbox is not for a recipe, as far as name and header tell."""
    if recipe.photos > 1:
        return f"it takes pairs, from inbox/{recipe.name}/ only"
    if recipe.needs_mask:
        return f"it takes photographs with a mask, from inbox/{recipe.name}/ only"
    return _refuses_name(recipe, name) or recipe.mismatch(name, megapixels())


def _refuses_name(recipe: Recipe, name: str) -> str | None:
    return recipe.mismatch(name, recipe.match.min_megapixels)
