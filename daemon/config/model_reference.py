"""References to models, as the `model` key of a step writes them.

Parsing looks at the text only, never at a disk or the network.
"""

import re
from collections.abc import Sequence
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


@dataclass(frozen=True, slots=True)
class Adapter:
    """A LoRA that acts on a checkpoint.

    Attributes:
        path: Its safetensors file.
        weight: How strongly it acts; 1 is as it was trained.
    """

    path: str
    weight: float


_ADAPTED = re.compile(r"(.+) \+ (\S.*\.safetensors)\*(-?[0-9.e+-]+)")


def adapted_reference(model: str, adapters: Sequence[Adapter]) -> str:
    """Reference of a model on which LoRAs act: "MODEL + FILE*WEIGHT + ..."."""
    return "".join([model, *(f" + {one.path}*{one.weight:g}" for one in adapters)])


def split_adapted(reference: str) -> tuple[str, tuple[Adapter, ...]]:
    """Take a reference of `adapted_reference` apart; any other is a model without LoRAs."""
    adapters: list[Adapter] = []
    while found := _ADAPTED.fullmatch(reference):
        reference = found[1]
        adapters.insert(0, Adapter(found[2], float(found[3])))
    return reference, tuple(adapters)


def valid_adapter(text: str) -> str:
    """Check a reference to a LoRA and return it unchanged: a validator for pydantic.

    Raises:
        ValueError: It is no path of a safetensors file.
    """
    if not text.startswith(_LOCAL) or not text.endswith(WEIGHTS_SUFFIX):
        raise ValueError(
            f'is {text!r}; allowed: the path of a {WEIGHTS_SUFFIX} file, which starts with "/", '
            '"./", "../" or "~/"; download a LoRA of the Hub and name its file'
        )
    return text


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
