"""Commands about bulk jobs: submit, and list, show, pause, resume, cancel or retry them."""

import time
from pathlib import Path
from typing import Annotated

import typer

from daemon.cli.context import complete_recipe, station_of

app = typer.Typer(
    name="bulk",
    no_args_is_help=True,
    help="Show and control bulk jobs, which `restored submit` makes.",
)

_Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the bulk job.")]


def submit(
    context: typer.Context,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH", help="Files and folders.")],
    recipe: Annotated[
        str,
        typer.Option(
            "--recipe", metavar="NAME", help="Recipe to use.", autocompletion=complete_recipe
        ),
    ],
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="TIME",
            help="When to start: 22:00 or 2026-12-24T22:00. Default: at once.",
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="TEXT", help="Name of the bulk job. Default: RECIPE-DATE."),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Show its progress until it ends.")
    ] = False,
) -> int:
    """Restore folders of any size where they lie, as a bulk job with a report in reports/NAME/.

    Originals stay in place. Results keep the tree: outbox/RECIPE/FOLDER/... What this recipe with
    these weights has restored before is not done again.

    Example: `restored --station photos submit /mnt/scans --recipe old-photo --at 22:00 --follow`
    """
    from daemon.cli.bulk_jobs import Submission, submit_job

    return submit_job(station_of(context), Submission(paths, recipe, at, name), follow=follow)


@app.command("list")
def list_jobs(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List all bulk jobs, the oldest first.

    Example: `restored --station photos bulk list`
    """
    from daemon.cli.bulk_jobs import list_all

    list_all(station_of(context), as_json=as_json)


@app.command()
def show(
    context: typer.Context,
    name: _Name,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="Show its progress until it ends.")
    ] = False,
) -> int:
    """Show the state of a bulk job.

    Example: `restored --station photos bulk show scans --follow`
    """
    from daemon.cli.bulk_jobs import follow_job, show_job

    station = station_of(context)
    if follow:
        return follow_job(station, name)
    show_job(station, name, as_json=as_json)
    return 0


@app.command()
def pause(context: typer.Context, name: _Name) -> None:
    """Pause a bulk job: start no more of its photographs. Other work goes on.

    Example: `restored --station photos bulk pause scans`
    """
    from daemon.cli.bulk_jobs import leave_request
    from daemon.intake.requests import BulkPauseRequest

    leave_request(station_of(context), BulkPauseRequest(name=name))


@app.command()
def resume(context: typer.Context, name: _Name) -> None:
    """Go on with a bulk job that was paused.

    Example: `restored --station photos bulk resume scans`
    """
    from daemon.cli.bulk_jobs import leave_request
    from daemon.intake.requests import BulkResumeRequest

    leave_request(station_of(context), BulkResumeRequest(name=name))


@app.command()
def cancel(context: typer.Context, name: _Name) -> None:
    """End a bulk job. Results stay; photographs in flight are finished.

    Example: `restored --station photos bulk cancel scans`
    """
    from daemon.cli.bulk_jobs import leave_request
    from daemon.intake.requests import BulkCancelRequest

    leave_request(station_of(context), BulkCancelRequest(name=name))


@app.command()
def retry(context: typer.Context, name: _Name) -> None:
    """Try again whatever failed of a bulk job, its report too.

    Example: `restored --station photos bulk retry scans`
    """
    from daemon.cli.bulk_jobs import leave_request
    from daemon.intake.requests import BulkRetryRequest

    leave_request(station_of(context), BulkRetryRequest(name=name, at=time.time()))
