r"""The manual page `restored(1)`, written from the commands and their help.

    python -m daemon.cli.man_page --write docs/

Without `--write` it changes nothing and exits with 1 if the page is stale.
"""

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import typer

from daemon import __version__
from daemon.cli.main import app

PAGE = "restored.1"
"""File name of the page."""

_EXIT_CODES = (
    ("0", "Done."),
    ("64", "Wrong usage."),
    ("65", "Some photographs failed."),
    ("70", "A bug."),
    ("73", "Results cannot be written."),
    ("74", "Output cannot be written, or a disk fails."),
    ("75", "Busy; try later."),
    ("77", "No permission."),
    ("78", "Wrong configuration."),
)
_FILES = (
    ("DIR/restored.toml", "Settings of the station DIR."),
    ("DIR/recipes/*.toml", "Its own recipes."),
    ("DIR/inbox/, DIR/outbox/", "Photographs to restore, and results with their records."),
    ("DIR/failed/, DIR/archive/", "Originals that failed, with reasons, and those that are done."),
)


def man_page() -> str:
    """The text of the page, for `man`."""
    # typer brings its own click; the classes of its commands are not public.
    root: Any = typer.main.get_command(app)
    about, _, example = root.help.partition("\n\n")
    lines = [
        f'.TH RESTORED 1 "" "restored {__version__}" "User Commands"',
        ".SH NAME",
        r"restored \- restore photographs by diffusion models",
        ".SH SYNOPSIS",
        r".B restored",
        r"[\fB\-\-station\fR \fIDIR\fR] \fICOMMAND\fR [\fIARGUMENTS\fR]",
        ".SH DESCRIPTION",
        *_text(about),
        ".PP",
        *_text(example),
        ".SH OPTIONS",
        *_parameters(root),
        ".SH COMMANDS",
    ]
    for words, command in _commands(root):
        lines += _command(words, command)
    lines += [".SH EXIT STATUS", *_table(_EXIT_CODES), ".SH FILES", *_table(_FILES)]
    lines += [".SH SEE ALSO", *_text("The pages below docs/ of the project.")]
    return "\n".join(lines) + "\n"


def _commands(group: Any, before: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    """The commands of a group and of the groups in it, by the words that call them."""
    for name, command in group.commands.items():
        words = (*before, name)
        if hasattr(command, "commands"):
            yield from _commands(command, words)
        else:
            yield " ".join(words), command


def _command(words: str, command: Any) -> list[str]:  # noqa: ANN401
    usage = " ".join(_usage(one) for one in command.params if not one.opts[0].startswith("-"))
    lines = [f".SS {_escaped(words)} {usage}".rstrip()]
    for number, part in enumerate((command.help or "").split("\n\n")):
        lines += [".PP"] * (number > 0) + _text(part)
    return lines + _parameters(command)


def _usage(argument: Any) -> str:  # noqa: ANN401
    name = rf"\fI{_escaped(argument.metavar or argument.name.upper())}\fR"
    many = " ..." * (argument.nargs != 1)
    return f"{name}{many}" if argument.required else f"[{name}{many}]"


def _parameters(command: Any) -> list[str]:  # noqa: ANN401
    """Arguments and options of a command, each with its help."""
    lines = []
    for one in command.params:
        if getattr(one, "hidden", False) or not getattr(one, "help", None):
            continue
        is_option = one.opts[0].startswith("-")
        names = ", ".join(rf"\fB{_escaped(name)}\fR" for name in one.opts) if is_option else ""
        takes = not is_option or not getattr(one, "is_flag", False)
        value = one.metavar or (one.name or "").upper()
        told = rf"\fI{_escaped(value)}\fR" if takes else ""
        lines += [".TP", " ".join(filter(None, (names, told))), *_text(one.help)]
    return lines


def _table(rows: Sequence[tuple[str, str]]) -> list[str]:
    return [line for name, text in rows for line in (".TP", f".B {_escaped(name)}", *_text(text))]


def _text(text: str) -> list[str]:
    """A paragraph, a sentence on a line; `code` becomes bold."""
    flat = " ".join(text.split())
    parts = re.split(r"`([^`]+)`", flat)
    marked = [rf"\fB{_escaped(p)}\fR" if i % 2 else _escaped(p) for i, p in enumerate(parts)]
    sentences = re.sub(r"(?<=[.;]) (?=[A-Z\\])", "\n", "".join(marked)).split("\n")
    return [rf"\&{line}" if line.startswith((".", "'")) else line for line in sentences]


def _escaped(text: str) -> str:
    return text.replace("\\", r"\e").replace("-", r"\-")


def main(words: Sequence[str] | None = None) -> int:
    """Write the page, or say that it is stale."""
    parser = argparse.ArgumentParser("daemon.cli.man_page", description="Write the manual page.")
    parser.add_argument("folder", type=Path, nargs="?", default=Path("docs"))
    parser.add_argument("--write", action="store_true", help="write it if it is stale")
    given = parser.parse_args(words)
    path, current = given.folder / PAGE, man_page()
    if path.exists() and path.read_text("utf-8") == current:
        return 0
    sys.stdout.write(f"{path}: {'written' if given.write else 'stale; run with --write'}\n")
    if given.write:
        path.write_text(current, "utf-8")
    return 0 if given.write else 1


if __name__ == "__main__":
    sys.exit(main())
