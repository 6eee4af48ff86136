"""The command that serves the page: web."""

from typing import Annotated

import typer

from daemon.cli.context import say, station_of
from daemon.system.errors import ConfigError
from daemon.system.files import shown

_DEFAULT_PORT = 8080


def web(
    context: typer.Context,
    port: Annotated[
        int | None,
        typer.Option(
            "--port", metavar="PORT", min=0, max=65535, help="Port. Default: web_port, or 8080."
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            metavar="ADDRESS",
            help="Address to listen on. Default: web_address, which is this machine only.",
        ),
    ] = None,
    parent: Annotated[int | None, typer.Option("--parent", hidden=True)] = None,
) -> None:
    """Serve the page: results, queue and uploads in a browser.

    Example: `restored --station photos web --port 8080`
    """
    from daemon.config.station_setup import open_station
    from daemon.system.processes import end_with_parent

    try:
        from daemon.web.server import listen, serve
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the page needs {error.name}, which is not installed; "
            "`pip install 'restored[web]'` installs it"
        ) from error

    if parent is not None:
        end_with_parent(parent)
    station, settings = open_station(station_of(context).root)
    where = settings.web_address if address is None else address
    chosen = settings.web_port if port is None else port
    listening = listen(station, settings, where, _DEFAULT_PORT if chosen is None else chosen)
    say(f"{listening.url}")
    if listening.token_file is not None:
        say(f"it asks for the token in {shown(listening.token_file)}")
    serve(station, settings, listening, where)
