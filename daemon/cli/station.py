"""Commands that make and check a station, and list recipes: init, check, recipes."""

import json
from pathlib import Path
from typing import Annotated

import typer

from daemon.cli.context import print_json, say, station_of
from daemon.system.errors import ConfigError
from daemon.system.files import shown


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
    name: Annotated[str | None, typer.Argument(help="Recipe to show as JSON.")] = None,
    as_schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of recipes.")
    ] = False,
) -> None:
    """List recipes, show one, or print the JSON Schema for editors.

    Example: `restored recipes --schema > recipe.schema.json`
    """
    from daemon.config.recipe import recipe_named, schema
    from daemon.config.station_setup import known_recipes

    if as_schema:
        print_json(schema())
        return
    known = known_recipes(None if context.obj is None else station_of(context))
    if name is not None:
        print_json(json.loads(recipe_named(name, known).model_dump_json()))
        return
    for recipe in known:
        say(f"{recipe.name:15} {recipe.about}")


def check(context: typer.Context) -> None:
    """Check settings, recipes, models, folders and device; exit 78 with every problem found.

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
