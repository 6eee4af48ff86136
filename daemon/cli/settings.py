"""The command that prints every setting and where its value comes from: settings."""

from typing import Annotated

import typer

from daemon.cli.context import out, print_json, say, station_of


def settings(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print every setting, its value, and where the value comes from.

    The environment wins over what the station's daemon had in its environment at its last start,
    and this over restored.toml.

    Example: `restored --station photos settings`
    """
    from daemon.cli.text_layout import wrapped
    from daemon.service.setting_values import setting_values

    found = setting_values(None if context.obj is None else station_of(context).root)
    if as_json:
        print_json(found)
        return
    for one in found:
        text = f"{one.name} = {one.value}" if one.value else f"{one.name} is not set"
        for line in wrapped(f"{text}  ({one.origin})", out.width):
            say(line)
