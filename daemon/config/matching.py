"""Which recipe a file goes to: by its folder, its name, its size and its content.

Cheap conditions come first. Of the file itself only the header is read, and only if its name does
not decide; features of the content are measured elsewhere and passed in.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from daemon.config.content_features import Feature
from daemon.config.recipe import Recipe

PLAIN_RECIPE = "restore"
"""Name of the recipe that has what no other takes from the plain inbox."""

Megapixels = Callable[[], float]
"""Reads the size of a picture from its header, in millions of pixels; raises `PhotoError`."""


@dataclass(frozen=True)
class Route:
    """Where a photograph goes.

    Attributes:
        recipe: The recipe; None if no recipe takes it, or if its content decides.
        refusal: Why it goes to failed/, or "".
        remedy: What to do about that; "" if `refusal` already tells.
        candidates: The recipes that may take it, in order, if its content decides.
    """

    recipe: Recipe | None
    refusal: str = ""
    remedy: str = ""
    candidates: tuple[Recipe, ...] = ()

    @property
    def side_files(self) -> tuple[str, ...]:
        """Side files that any recipe it may go to reads: "hints", "mask"."""
        recipes = self.candidates or ((self.recipe,) if self.recipe else ())
        return tuple(dict.fromkeys(role for recipe in recipes for role in recipe.side_files))

    @property
    def needs_mask(self) -> bool:
        """Whether the photograph must wait for its mask."""
        return self.recipe is not None and self.recipe.needs_mask and not self.refusal


def route_to(recipe: Recipe, name: str, megapixels: Megapixels, label: str) -> Route:
    """Route a file to the recipe whose folder it lies in, unless its [match] refuses the file.

    Args:
        recipe: The recipe.
        name: The file's name.
        megapixels: Reads its size.
        label: What messages call it.
    """
    why = _name_mismatch(recipe, name) or recipe.mismatch(name, megapixels())
    return Route(recipe, f"{label}: recipe {recipe.name} refuses it: {why}" if why else "")


def route_by_match(
    name: str, megapixels: Megapixels, recipes: Mapping[str, Recipe], label: str
) -> Route:
    """Route a file of the plain inbox to the first recipe whose [match] takes it.

    Nothing that a person did not name may change what a photograph shows, so only recipes that
    take part in the plain inbox are asked. One that asks for features of the content may take it or
    not. It and all that follow, up to the first that takes the file in any case, become the
    candidates. Messages call it `label`.
    """
    reasons: list[tuple[str, str]] = []
    candidates: list[Recipe] = []
    for recipe in plain_inbox_order(recipes.values()):
        why = _mismatch(recipe, name, megapixels)
        if why is not None:
            reasons.append((recipe.name, why))
            continue
        candidates.append(recipe)
        if not recipe.match.features:
            break
    if not candidates:
        return Route(None, _no_match(label, reasons))
    if not candidates[0].match.features:
        return Route(candidates[0])
    return Route(None, candidates=tuple(candidates))


def plain_inbox_order(recipes: Iterable[Recipe]) -> list[Recipe]:
    """The recipes that take photographs of the plain inbox: by name, but `restore` comes last."""
    taking = [recipe for recipe in recipes if recipe.match.takes_plain_inbox]
    return sorted(taking, key=lambda recipe: (recipe.name == PLAIN_RECIPE, recipe.name))


def missing_features(
    name: str,
    megapixels: Megapixels,
    recipes: Sequence[Recipe],
    answers: Mapping[Feature, float],
) -> tuple[Feature, ...]:
    """Features that must be measured before `route_by_content` can choose.

    Args:
        name: The file's name.
        megapixels: Reads its size.
        recipes: The candidates, in order.
        answers: What has been measured so far.
    """
    wanted: dict[Feature, None] = {}
    for recipe in recipes:
        if _mismatch(recipe, name, megapixels) is None:
            wanted |= dict.fromkeys(f for f in recipe.match.features if f not in answers)
            if not recipe.match.features:
                break
    return tuple(wanted)


def route_by_content(
    name: str,
    megapixels: Megapixels,
    recipes: Sequence[Recipe],
    answers: Mapping[Feature, float],
    label: str,
) -> Route:
    """Route a file to the first of the recipes whose [match] takes it, content included.

    Args:
        name: The file's name.
        megapixels: Reads its size.
        recipes: The candidates, in order; one, if its folder names it.
        answers: Values of all that `missing_features` listed.
        label: What messages call the file.
    """
    reasons: list[tuple[str, str]] = []
    for recipe in recipes:
        why = _mismatch(recipe, name, megapixels) or recipe.match.content_mismatch(answers)
        if why is None:
            return Route(recipe)
        reasons.append((recipe.name, why))
    return Route(None, _no_match(label, reasons))


def _no_match(label: str, reasons: Sequence[tuple[str, str]]) -> str:
    """Say why no recipe takes a file; `reasons`: the name of each, and why it does not."""
    recipes: dict[str, list[str]] = {}
    for name, why in reasons:
        recipes.setdefault(why, []).append(name)
    told = [f"{', '.join(names)}: {why}" for why, names in recipes.items()]
    nobody = "none takes what lies in no recipe's folder"
    return f"{label}: no recipe matches it, because {'; '.join(told) or nobody}"


def _mismatch(recipe: Recipe, name: str, megapixels: Megapixels) -> str | None:
    """Why a recipe does not take a file of the plain inbox, as far as name and header tell."""
    if recipe.photos > 1:
        return f"it takes pairs, from inbox/{recipe.name}/ only"
    if recipe.needs_mask:
        return f"it takes photographs with a mask, from inbox/{recipe.name}/ only"
    return _name_mismatch(recipe, name) or recipe.mismatch(name, megapixels())


def _name_mismatch(recipe: Recipe, name: str) -> str | None:
    return recipe.mismatch(name, recipe.match.min_megapixels)
