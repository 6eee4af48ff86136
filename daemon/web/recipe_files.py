"""Recipes as files: shown, checked while somebody writes, and saved among the station's own."""

import re
from pathlib import Path

from pydantic import ValidationError

from daemon.checkpoints.library import Library
from daemon.config.error_messages import explain, explain_toml
from daemon.config.model_reference import Local, parse_reference
from daemon.config.recipe import RECIPE_NAME, SHIPPED_RECIPES, Recipe
from daemon.config.settings import Settings
from daemon.config.station import Station
from daemon.config.station_setup import known_recipes
from daemon.intake.requests import ReloadRequest, leave
from daemon.restorers.registry import check_clip, check_models
from daemon.system.errors import ConfigError, UsageError
from daemon.system.files import read_bounded
from daemon.system.json_files import write_text_whole
from daemon.system.toml_files import parse_toml
from daemon.web.api_models import Recipes, RecipeView
from daemon.web.jobs import NotFoundError

MAX_SOURCE = 64 << 10
"""Most bytes of a recipe that is shown or saved here."""


def list_recipes(station: Station) -> Recipes:
    """All recipes by name, or why they cannot be read."""
    try:
        found = known_recipes(station)
    except ConfigError as error:
        return Recipes(recipes=(), problem=str(error))
    return Recipes(recipes=tuple(_view(recipe, station) for recipe in found))


def show_recipe(station: Station, name: str) -> RecipeView:
    """One recipe with its file.

    Raises:
        NotFoundError: There is none of this name.
        ConfigError: A recipe is wrong, so that none is known.
    """
    for recipe in known_recipes(station):
        if recipe.name == name:
            path = _file_of(recipe, station)
            source = read_bounded(path, MAX_SOURCE).decode("utf-8", "replace") if path else ""
            return _view(recipe, station).model_copy(update={"source": source})
    raise NotFoundError(f"no recipe is called {name!r}")


def check_recipe(settings: Settings, name: str, source: str) -> Recipe:
    """Read a recipe that somebody has written.

    Args:
        settings: Those of the station.
        name: Name of its file, without suffix.
        source: TOML.

    Raises:
        UsageError: It is wrong, and why.
    """
    if re.fullmatch(RECIPE_NAME.removesuffix("$") + r"\Z", name) is None:
        raise UsageError(
            "name: 1 to 64 small letters, digits and hyphens, not starting with a hyphen"
        )
    where = f"{name}.toml"
    try:
        values = parse_toml(source)
    except (ValueError, RecursionError, UsageError) as error:
        raise UsageError(f"{where}: {explain_toml(error)}") from error
    values.setdefault("name", name)
    try:
        recipe = Recipe.model_validate(values)
        recipe.schedule.check_zone()
    except ValidationError as error:
        raise UsageError(explain(where, error, Recipe)) from error
    except ConfigError as error:
        raise UsageError(f"{where}: schedule: {error}") from error
    if recipe.name != name:
        raise UsageError(f"{where}: name is {recipe.name!r}; leave it out, or call it {name!r}")
    for model in recipe.models:
        # What is saved here may come from afar: it names no path of this machine.
        if isinstance(parse_reference(model), Local):
            raise UsageError(f"{where}: model {model!r}: on this page only pulled models are used")
    try:
        library = Library(settings.models_dir)
        check_models([recipe], library)
        check_clip([recipe], settings.clip_model, library)
    except ConfigError as error:
        raise UsageError(str(error)) from error
    return recipe


def save_recipe(station: Station, settings: Settings, name: str, source: str) -> str:
    """Save a recipe among the station's own, and have the daemon read it.

    Returns:
        The id of the request.

    Raises:
        UsageError: It is wrong, and why; nothing is saved.
        OSError: The file system refuses.
    """
    check_recipe(settings, name, source)
    write_text_whole(station.recipes / f"{name}.toml", source)
    return leave(station, ReloadRequest())


def remove_recipe(station: Station, name: str) -> str:
    """Remove one of the station's own recipes; a shipped one of that name shows again.

    Raises:
        NotFoundError: The station has none of its own of this name.
        OSError: The file system refuses.
    """
    path = station.recipes / f"{name}.toml"
    if re.fullmatch(RECIPE_NAME.removesuffix("$") + r"\Z", name) is None or not path.is_file():
        raise NotFoundError(f"no recipe of this station's own is called {name!r}")
    path.unlink()
    return leave(station, ReloadRequest())


def _view(recipe: Recipe, station: Station) -> RecipeView:
    steps = tuple(step.model_dump(mode="json", exclude_unset=True) for step in recipe.steps)
    return RecipeView(
        name=recipe.name,
        about=recipe.about,
        steps=steps,
        side_files=recipe.side_files,
        photos=recipe.photos,
        shipped=not (station.recipes / f"{recipe.name}.toml").is_file(),
    )


def _file_of(recipe: Recipe, station: Station) -> Path | None:
    own = station.recipes / f"{recipe.name}.toml"
    shipped = SHIPPED_RECIPES / f"{recipe.name}.toml"
    return next((path for path in (own, shipped) if path.is_file()), None)
