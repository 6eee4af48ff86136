"""Commands that make and check a station, and list recipes: init, check, recipes."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from daemon.cli.context import complete_recipe, out, print_json, say, station_of
from daemon.system.errors import ConfigError
from daemon.system.files import shown

if TYPE_CHECKING:
    from daemon.config.recipe import Recipe


def init(folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to make.")]) -> None:
    """Make a station: its folders and a commented settings file. Safe to repeat.

    Example: `restored init /srv/photos`
    """
    from daemon.config.station_setup import make_station

    station = make_station(folder)
    say(f"Station {shown(station.root)}")
    say(f"1. Drop photographs into {shown(station.inbox)}/RECIPE/")
    say(f"2. restored --station {shown(station.root)} run")
    say(f"3. Take the results out of {shown(station.outbox)}/RECIPE/")


def recipes(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(
            help="Recipe to show: what it takes and does, and its file.",
            autocompletion=complete_recipe,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Show the recipe, or all of them, as JSON.")
    ] = False,
    as_schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of recipes.")
    ] = False,
) -> None:
    """List recipes, show one in words and as its file, or print the JSON Schema for editors.

    Example: `restored recipes --schema > recipe.schema.json`
    """
    from daemon.config.recipe import recipe_named, schema
    from daemon.config.station_setup import known_recipes

    if as_schema:
        print_json(schema())
        return
    known = known_recipes(None if context.obj is None else station_of(context))
    chosen = None if name is None else recipe_named(name, known)
    if as_json:
        print_json([_plain(one) for one in known] if chosen is None else _plain(chosen))
    elif chosen is not None:
        from daemon.cli.recipe_text import recipe_lines

        for line in recipe_lines(chosen, out.width):
            say(line)
    else:
        for recipe in known:
            say(f"{recipe.name:15} {recipe.about}")


def _plain(recipe: "Recipe") -> object:
    """A recipe with all its keys, for programs."""
    return json.loads(recipe.model_dump_json())


def check(context: typer.Context) -> None:
    """Check settings, recipes, models, folders and device; exit 78 with every problem found.

    A worker is started and ended again, beside that of a daemon that may run.

    Example: `restored --station photos check`
    """
    from daemon.config.station_setup import open_station
    from daemon.service.check import model_lines, problems

    station, settings = open_station(station_of(context).root)
    wrong = problems(station, settings)
    if wrong:
        raise ConfigError("\n".join(wrong))
    for line in model_lines(station, settings):
        say(line)
    say("settings, recipes, models, folders and device are right")
