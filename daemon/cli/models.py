"""Commands for models: list, pull, verify, remove."""

from typing import TYPE_CHECKING, Annotated

import typer

from daemon.cli.context import say
from daemon.system.errors import ConfigError

if TYPE_CHECKING:
    from daemon.checkpoints.library import Library, PulledModel

app = typer.Typer(
    name="models",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="List, pull, verify and remove checkpoints for recipes.",
)

_Name = Annotated[
    str,
    typer.Argument(metavar="ORG/NAME[@REV]", help="Repository on the Hub, or a recommended name."),
]


@app.command("list")
def list_models(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(help="Card to show, with its lines for a recipe if it has any.")
    ] = None,
) -> None:
    """List the networks inside the package, recommended checkpoints and those on this machine.

    Example: `restored models list sdxl`
    """
    from daemon.checkpoints.cards import all_cards, describe_card, find_card, recipe_steps
    from daemon.checkpoints.hub import size_bytes
    from daemon.checkpoints.shipped_cards import describe_shipped, shipped_cards

    library = _library(context)
    for shipped in shipped_cards():
        if shipped.name == name:
            for line in describe_shipped(shipped).split("\n"):
                say(line)
            return
    if name is not None:
        card = find_card(name)
        for text in (describe_card(card), "", "Lines for a recipe:", "", recipe_steps(card)):
            for line in text.split("\n"):
                say(line)
        return
    here = library.all_pulled()
    repos = {one.repo for one in here}
    say("Inside the package (`restored models list NAME` says more):")
    for shipped in shipped_cards():
        say(f"  {shipped.name:17} {shipped.size_bytes / 1e6:4.1f} MB  {shipped.licence}")
    say("")
    say("Recommended (`restored models list NAME` says more).")
    say("GB: memory that a card should need; it is estimated, not measured:")
    for card in all_cards():
        mark = "  (here)" if card.repo in repos else ""
        terms = card.licence if card.free else f"{card.licence}  NON-COMMERCIAL"
        say(f"  {card.name:17} {card.memory_gb:3} GB  {card.reference:46} {terms}{mark}")
        say(f"{'':29}for {', '.join(card.kinds)}")
    say("")
    say(f"On this machine, in {library.models}:")
    for one in here:
        named = ", ".join(one.revisions) or "no branch"
        size = size_bytes(one) / 1e9
        say(f"  {one.repo}@{one.commit}  ({named})  {size:.1f} GB")
    if not here:
        say("  nothing yet; `restored models pull ORG/NAME` fetches one")


@app.command()
def pull(context: typer.Context, name: _Name) -> None:
    """Fetch a checkpoint from the Hub, pinned to a commit, with the digest of every file.

    The only command that uses the network. Example: `restored models pull stabilityai/sd-turbo`
    """
    from daemon.checkpoints.cards import expand_card_name
    from daemon.checkpoints.hub import PullPlan, size_bytes
    from daemon.checkpoints.hub import pull as fetch

    def announce(plan: PullPlan) -> None:
        size = plan.size_bytes / 1e9
        say(f"{plan.repo}@{plan.commit}: {plan.files} files, {size:.2f} GB")

    done = fetch(expand_card_name(name), _library(context), announce)
    size = size_bytes(done) / 1e9
    say(f'pulled: model = "{done.repo}@{done.commit}"  {size:.2f} GB')


@app.command()
def verify(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="[ORG/NAME[@REV]]", help="Default: all.")
    ] = None,
) -> None:
    """Compare every file of pulled checkpoints with its digest; exit 78 if one differs.

    Example: `restored models verify`
    """
    from daemon.checkpoints.hub import verify as wrongs

    library = _library(context)
    wrong = []
    for one in library.all_pulled() if name is None else [_pulled(library, name)]:
        found = wrongs(one)
        wrong += [f"{one.repo}@{one.commit}: {line}" for line in found]
        say(f"{one.repo}@{one.commit}  {'damaged' if found else 'intact'}")
    if wrong:
        raise ConfigError("\n".join([*wrong, "remove what is damaged and pull it again"]))


@app.command()
def remove(context: typer.Context, name: _Name) -> None:
    """Delete a pulled checkpoint.

    Example: `restored models remove stabilityai/sd-turbo`
    """
    from daemon.checkpoints.hub import remove as delete

    one = _pulled(_library(context), name)
    freed = delete(one) / 1e9
    say(f"{one.repo}@{one.commit} removed, {freed:.2f} GB free")


def _library(context: typer.Context) -> "Library":
    from daemon.checkpoints.library import Library
    from daemon.config.settings import load_settings
    from daemon.config.station_setup import open_station

    settings = load_settings() if context.obj is None else open_station(context.obj)[1]
    return Library(settings.models_dir)


def _pulled(library: "Library", name: str) -> "PulledModel":
    from daemon.checkpoints.cards import expand_card_name
    from daemon.config.model_reference import Hub, reference_asked_for

    wanted = reference_asked_for(expand_card_name(name))
    if not isinstance(wanted, Hub):
        raise ConfigError(f"{name!r} is not on the Hub; name org/name or org/name@rev")
    return library.pulled(wanted)
