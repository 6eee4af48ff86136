"""Text for people: nothing in it can move the cursor, turn the line round or end it.

File names, and messages that quote files, may hold any character. Whatever leaves the program for a
person (terminal, log, service manager, messages, metrics, reports) passes through `printable`, or
through `paragraph` or `json_text`, which rest on it.
"""

import json
import sys
import unicodedata
from collections.abc import Callable
from io import TextIOWrapper

_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode categories that are escaped: control and format characters (those that turn the direction
of writing are among them), surrogates, separators of lines and paragraphs."""


def printable(text: str, keep: str = "") -> str:
    r"""Text whose control and format characters are escaped: \x1b, \n, \u202e.

    Args:
        text: Any text.
        keep: Characters that stay as they are.
    """
    if text.isprintable():
        return text
    return "".join(
        c if c in keep or unicodedata.category(c) not in _UNSEEN else _escaped(c) for c in text
    )


def paragraph(text: str) -> str:
    """A message of one or more lines, in which no later line looks like a message of its own."""
    return printable(text, keep="\n").replace("\n", "\n  ")


def json_text(
    content: object, *, indent: int | None = None, default: Callable[[object], object] | None = None
) -> str:
    """JSON that is safe to look at; a program reads from it the very text that was given.

    Args:
        content: What `json.dumps` takes.
        indent: Spaces for each level; None writes one line.
        default: Turns what JSON does not know into what it knows.
    """
    # json escapes all but ASCII, and of that all control characters but DEL.
    text = json.dumps(content, indent=indent, default=default, ensure_ascii=True)
    return text.replace("\x7f", "\\u007f")


def same_name(name: str) -> str:
    """The form of a name in which it is compared: a Mac decomposes accents, others do not."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def escape_on_output() -> None:
    """Have stdout and stderr escape what their encoding cannot say instead of raising."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a closed one is None
            stream.reconfigure(errors="backslashreplace")


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
