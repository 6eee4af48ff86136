"""Prompt files, which `generate` reads where other steps read a photograph.

A .txt file has one prompt a line, a .toml file the keys of `PromptTable`. An error names file,
line, key and value.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from daemon.config.error_messages import problems
from daemon.config.steps import PROMPT_SUFFIXES, SizePx
from daemon.photo.picture import PROMPTS, Header, Prompt, Prompts
from daemon.system.errors import PhotoError, UsageError
from daemon.system.files import open_regular
from daemon.system.toml_files import parse_toml

MAX_PICTURES = 256
"""Pictures that one prompt file may ask for."""

_MAX_BYTES = 1_000_000
_MAX_CHARACTERS = 2000
_COMMENT = "#"

_BOM = b"\xef\xbb\xbf"

_Text = Annotated[str, Field(min_length=1, max_length=_MAX_CHARACTERS)]


class PromptTable(BaseModel):
    """Keys of a prompt file in TOML."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    prompt: _Text = Field(description="What the picture shall show.")
    negative: str = Field("", max_length=_MAX_CHARACTERS, description="What it shall not show.")
    size: tuple[SizePx, SizePx] | None = Field(
        None, description="Width and height in pixels; the recipe's or the model's if absent."
    )
    seed: int | None = Field(
        None,
        ge=0,
        lt=2**63,
        description="Seed of the first picture; each further one counts up from it.",
    )
    count: int = Field(1, ge=1, le=MAX_PICTURES, description="Number of pictures.")


def is_prompt_file(path: Path) -> bool:
    """Whether a file is a prompt file, by its suffix."""
    return path.suffix.lower() in PROMPT_SUFFIXES


def prompt_file_header(path: Path, label: str, beneath: Path | None = None) -> Header:
    """The header of a prompt file; sizes are 0 where it leaves them to the recipe.

    Raises:
        PhotoError: It cannot be used.
        OSError: It cannot be read.
    """
    prompts = read_prompt_file(path, label, beneath)
    width, height = prompts.size or (0, 0)
    return Header(PROMPTS, width, height, "", pictures=len(prompts.prompts))


def read_prompt_file(path: Path, label: str, beneath: Path | None = None) -> Prompts:
    """Read a prompt file.

    Args:
        path: The file.
        label: What to call it in messages.
        beneath: A folder below which no link is followed, see `open_regular`.

    Raises:
        PhotoError: It cannot be used.
        OSError: It cannot be read.
    """
    with open_regular(path, beneath) as file:
        content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise PhotoError(label, f"more than {_MAX_BYTES} bytes; expected a prompt file")
    lines = [
        _decode_line(line, number, label)
        for number, line in enumerate(content.removeprefix(_BOM).splitlines(), start=1)
    ]
    is_toml = path.suffix.lower() == ".toml"
    prompts = _parse_toml(lines, label) if is_toml else _parse_text(lines, label)
    if any("\0" in prompt.text or "\0" in prompt.negative for prompt in prompts.prompts):
        raise PhotoError(label, "a prompt holds the character NUL", "save the file as plain text")
    return prompts


def _decode_line(line: bytes, number: int, label: str) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PhotoError(
            label,
            f"line {number}: byte {error.start + 1} is {line[error.start]:#04x}, which is not "
            "UTF-8",
            "save the file as UTF-8",
        ) from error


def _parse_text(lines: Sequence[str], label: str) -> Prompts:
    """One prompt a line; empty lines and those that start with # are skipped."""
    found: list[Prompt] = []
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith(_COMMENT):
            continue
        if len(text) > _MAX_CHARACTERS:
            raise PhotoError(
                label,
                f"line {number}: the prompt has {len(text)} characters; allowed: at most "
                f"{_MAX_CHARACTERS}",
            )
        found.append(Prompt(text))
    if not found:
        raise PhotoError(label, "no line holds a prompt", "write one prompt a line")
    if len(found) > MAX_PICTURES:
        raise PhotoError(
            label, f"{len(found)} prompts; allowed: at most {MAX_PICTURES}", "split the file"
        )
    return Prompts(tuple(found))


def _parse_toml(lines: Sequence[str], label: str) -> Prompts:
    text = "\n".join(lines)
    try:
        values = parse_toml(text)
    except UsageError as error:
        raise PhotoError(label, str(error)) from error
    except Exception as error:  # it raises RecursionError too, and ValueError for endless numbers
        raise PhotoError(label, f"not a readable TOML file: {error}") from error
    try:
        table = PromptTable.model_validate(values)
    except ValidationError as error:
        wrong = [
            f"line {_line_of(key, lines)}: {what}" if key in values else what
            for key, what in problems(error, PromptTable)
        ]
        raise PhotoError(label, "\n".join(wrong)) from error
    seeds = [None if table.seed is None else table.seed + k for k in range(table.count)]
    prompts = tuple(Prompt(table.prompt, table.negative, seed) for seed in seeds)
    return Prompts(prompts, table.size)


def _line_of(key: str, lines: Sequence[str]) -> int:
    """Number of the line that sets a key, from 1."""
    setting = re.compile(rf"""\s*\[*\s*["']?{re.escape(key)}["']?\s*[\].=]""")
    return next((n for n, line in enumerate(lines, start=1) if setting.match(line)), 1)
