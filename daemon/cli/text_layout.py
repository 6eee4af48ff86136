"""Lays text for people out in lines that fit the terminal; paths are never cut."""

from collections.abc import Iterable
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console

from daemon.cli.context import out, say
from daemon.system.text import printable

_MAX_NAMED = 5
"""Files named below one reason."""


@dataclass(frozen=True)
class FileMatter:
    """A message about a file.

    Attributes:
        path: The file.
        why: The same for all files that are told of together.
    """

    path: str
    why: str


def wrapped(text: str, width: int, indent: str = "  ") -> list[str]:
    """Cut a text into lines of at most so many cells; a word that is longer has a line of its own.

    Args:
        text: One paragraph or several.
        width: Cells of a line.
        indent: Begins each line but the first, so that none looks like a message of its own.
    """
    lines: list[str] = []
    for part in printable(text, keep="\n").split("\n"):
        line = " " * (len(part) - len(part.lstrip(" ")))
        for word in part.lstrip(" ").split(" "):
            start = indent if lines else ""
            if line.strip() and cell_len(f"{start}{line} {word}") > width:
                lines.append(start + line)
                line = word
            else:
                line = f"{line} {word}" if line.strip() else line + word
        lines.append((indent if lines else "") + line)
    return lines


def matter_lines(label: str, matters: Iterable[FileMatter], width: int) -> list[str]:
    """Lines about files: one for each reason, with the files that it holds for below it.

    Args:
        label: Begins each reason, such as "failed".
        matters: The files.
        width: Cells of a line.
    """
    paths: dict[str, list[str]] = {}
    for matter in matters:
        paths.setdefault(matter.why, []).append(printable(matter.path))
    lines: list[str] = []
    for why, files in paths.items():
        if len(files) == 1:
            lines += wrapped(f"{label}: {files[0]}: {why}", width)
            continue
        lines += wrapped(f"{label}: {len(files)} files: {why}", width)
        lines += [f"  {path}" for path in files[:_MAX_NAMED]]
        if len(files) > _MAX_NAMED:
            lines.append(f"  and {len(files) - _MAX_NAMED} more")
    return lines


def say_wrapped(text: str, to: Console = out) -> None:
    """Print a message in lines that fit."""
    for line in wrapped(text, to.width):
        say(line, to)
