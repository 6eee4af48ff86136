"""Files of prompts: what `generate` reads where other steps read a photograph.

Comes in: a .txt file with one prompt a line, or a .toml file with prompt, negative, size, seed and
count. Goes out: `Prompts`, or a `PhotoError` that names file, line, key and value. Never changes
the file it reads.
"""

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from daemon.config.steps import PROMPT_SUFFIXES, SizePx
from daemon.config.validation import explain
from daemon.photo.picture import PROMPTS, Header, Prompt, Prompts
from daemon.system.errors import PhotoError

MOST_PICTURES = 256
"""Of one file."""

_MOST_BYTES = 1_000_000
_MOST_LETTERS = 2000
_COMMENT = "#"

Text = Annotated[str, Field(min_length=1, max_length=_MOST_LETTERS)]


class PromptTable(BaseModel):
    """Keys of a prompt file in TOML."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    prompt: Text = Field(description="What the picture shows.")
    negative: str = Field("", max_length=_MOST_LETTERS, description="What it shall not show.")
    size: tuple[SizePx, SizePx] | None = Field(
        None, description="Width and height in pixels; the recipe's or the model's if absent."
    )
    seed: int | None = Field(
        None, ge=0, lt=2**63, description="Of the first picture; the next has the next."
    )
    count: int = Field(1, ge=1, le=MOST_PICTURES, description="How many pictures.")


def is_prompts(path: Path) -> bool:
    """Whether a file is one of prompts, by its name."""
    return path.suffix.lower() in PROMPT_SUFFIXES


def prompts_header(path: Path, called: str) -> Header:
    """What a file of prompts asks for; sizes are 0 where it leaves them to the recipe.

    Raises:
        PhotoError: It cannot be used.
        OSError: It cannot be read.
    """
    found = read_prompts(path, called)
    width, height = found.size or (0, 0)
    return Header(PROMPTS, width, height, "", pictures=len(found.prompts))


def read_prompts(path: Path, called: str) -> Prompts:
    """Read a file of prompts.

    Args:
        path: The file.
        called: What to call it in messages.

    Raises:
        PhotoError: It cannot be used.
        OSError: It cannot be read.
    """
    content = path.read_bytes()[: _MOST_BYTES + 1]
    if len(content) > _MOST_BYTES:
        raise PhotoError(f"{called}: more than {_MOST_BYTES} bytes; expected a file of prompts")
    lines = [_decoded(line, number, called) for number, line in _numbered(content)]
    return _table(lines, called) if path.suffix.lower() == ".toml" else _listed(lines, called)


def _numbered(content: bytes) -> list[tuple[int, bytes]]:
    return list(enumerate(content.removeprefix(b"\xef\xbb\xbf").splitlines(), start=1))


def _decoded(line: bytes, number: int, called: str) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PhotoError(
            f"{called}: line {number}: byte {error.start + 1} is {line[error.start]:#04x}, which "
            "is not UTF-8; save the file as UTF-8"
        ) from error


def _listed(lines: Sequence[str], called: str) -> Prompts:
    """One prompt a line; empty lines and those that start with # count for nothing."""
    found: list[Prompt] = []
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith(_COMMENT):
            continue
        if len(text) > _MOST_LETTERS:
            raise PhotoError(
                f"{called}: line {number}: the prompt has {len(text)} letters, allowed are "
                f"{_MOST_LETTERS}"
            )
        found.append(Prompt(text))
    if not found:
        raise PhotoError(f"{called}: no line holds a prompt; write one prompt a line")
    if len(found) > MOST_PICTURES:
        raise PhotoError(
            f"{called}: {len(found)} prompts, allowed are {MOST_PICTURES}; split the file"
        )
    return Prompts(tuple(found))


def _table(lines: Sequence[str], called: str) -> Prompts:
    text = "\n".join(lines)
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PhotoError(f"{called}: not a readable TOML file: {error}") from error
    try:
        said = PromptTable.model_validate(values)
    except ValidationError as error:
        places = {key: f"{called}: line {_line_of(key, lines)}" for key in values}
        raise PhotoError(explain(f"{called}", error, PromptTable, places)) from error
    seeds = [None if said.seed is None else said.seed + k for k in range(said.count)]
    return Prompts(tuple(Prompt(said.prompt, said.negative, seed) for seed in seeds), said.size)


def _line_of(key: str, lines: Sequence[str]) -> int:
    """Number of the line that sets a key."""
    setting = re.compile(rf"""\s*\[*\s*["']?{re.escape(key)}["']?\s*[\].=]""")
    return next((n for n, line in enumerate(lines, start=1) if setting.match(line)), 1)
