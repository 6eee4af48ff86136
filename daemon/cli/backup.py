"""Commands that back a station up and make one of a backup: backup, restore-backup."""

from pathlib import Path
from typing import Annotated

import typer

from daemon.cli.context import say, station_of
from daemon.system.errors import UsageError
from daemon.system.files import shown


def backup(
    context: typer.Context,
    to: Annotated[Path, typer.Argument(metavar="DEST", help="Folder, new or empty.")],
    archive: Annotated[
        bool, typer.Option("--archive", help="Copy archive/ and outbox/ too: all photographs.")
    ] = False,
) -> None:
    """Copy the ledger, settings, recipes, reports, and photographs that are not restored yet.

    The daemon may be at work.

    Example: `restored --station photos backup /mnt/backup/photos`
    """
    from daemon.service.backup import back_up

    done = back_up(station_of(context), to, archive=archive)
    say(f"{shown(to)}: the ledger and {done.files} files, {done.bytes / 1e6:.1f} MB")
    if not archive:
        say("without archive/ and outbox/; --archive copies them too")


def restore_backup(
    context: typer.Context,
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="Folder of the backup.")],
) -> None:
    """Make the station that --station names of its backup; nothing that exists is replaced.

    Example: `restored --station photos restore-backup /mnt/backup/photos`
    """
    from daemon.service.backup import restore_backup as restore

    if context.obj is None:
        raise UsageError("which station? Give --station DIR, the folder that was backed up")
    done = restore(source, context.obj)
    say(f"{shown(context.obj)}: {done.files} files, {done.bytes / 1e6:.1f} MB; `restored check`")
