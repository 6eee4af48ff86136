"""References to models, as the `model` key of a step writes them.

Parsing looks at the text only, never at a disk or the network.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from daemon.system.errors import ConfigError
from daemon.system.files import real_path

PRIOR = "prior"
"""Reference of the photo prior; in a recipe it stands for all networks inside the package."""

RESTORATION = "restoration"
"""Reference of the restoration networks inside the package."""

COLOUR = "colour"
"""Reference of the colour network inside the package."""

DAMAGE = "damage"
"""Reference of the damage network inside the package."""

SHIPPED = (PRIOR, RESTORATION, COLOUR, DAMAGE)
"""References of the networks inside the package."""

WEIGHTS_SUFFIX = ".safetensors"
DEFAULT_REVISION = "main"

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
_HUB = re.compile(rf"({_NAME}/{_NAME})(?:@([A-Za-z0-9][A-Za-z0-9._/-]*))?")
_LOCAL = ("/", "./", "../", "~/")

FORMS = (
    f'"{PRIOR}", a Hub id such as "org/name" or "org/name@revision", or a path that starts with '
    f'"/", "./", "../" or "~/": a folder, or a {WEIGHTS_SUFFIX} file'
)


@dataclass(frozen=True, slots=True)
class Hub:
    """A repository of the Hugging Face Hub.

    Attributes:
        repo: Its id, such as "org/name".
        revision: A branch, tag or commit.
    """

    repo: str
    revision: str


@dataclass(frozen=True, slots=True)
class Local:
    """A folder in diffusers' layout, or one weights file whose configuration lies beside it."""

    path: Path

    @property
    def folder(self) -> Path:
        """Folder of the configuration: `dream/` for `dream.safetensors`."""
        return self.path.with_suffix("") if self.single else self.path

    @property
    def single(self) -> bool:
        """Whether it is one weights file."""
        return self.path.suffix == WEIGHTS_SUFFIX


@dataclass(frozen=True, slots=True)
class Shipped:
    """Networks inside the package.

    Attributes:
        name: One of `SHIPPED`.
    """

    name: str


Reference = Hub | Local | Shipped
"""A parsed reference."""


def parse_reference(text: str) -> Reference:
    """Parse a reference.

    Raises:
        ConfigError: The text has none of the known forms.
    """
    if text in SHIPPED:
        return Shipped(text)
    if text.startswith(_LOCAL):
        return Local(Path(text).expanduser())
    found = _HUB.fullmatch(text)
    if found is None or any(".." in part or "--" in part for part in found.groups(default="")):
        raise ConfigError(f"is {text!r}; allowed: {FORMS}")
    return Hub(found[1], found[2] or DEFAULT_REVISION)


def reference_asked_for(text: str) -> Reference:
    """Parse a reference that a person names in a command.

    Raises:
        ConfigError: The text has none of the known forms; the message begins with it.
    """
    try:
        return parse_reference(text)
    except ConfigError as error:
        raise ConfigError(f"model {error}") from error


def valid_reference(text: str) -> str:
    """Check a reference and return it unchanged: a validator for pydantic.

    Raises:
        ValueError: The text has none of the known forms.
    """
    try:
        parse_reference(text)
    except ConfigError as error:
        raise ValueError(str(error)) from error
    return text


def absolute_reference(text: str, folder: Path) -> str:
    """Make the path of a reference absolute, from `folder`; a reference of the Hub stays."""
    parsed = parse_reference(text)
    if not isinstance(parsed, Local):
        return text
    return str(real_path(folder.absolute() / parsed.path))
