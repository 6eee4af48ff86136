"""Descriptions of the keys of a configuration model: meaning, values, default and an example.

The manuals and the settings file of a new station are written from this, so that neither can say
anything but what the models check.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from daemon.config.error_messages import allowed_values, properties_of

_SENTENCE_END = re.compile(r"(?<=\.) (?=[A-Z`\"0-9])")


@dataclass(frozen=True)
class Key:
    """One key.

    Attributes:
        name: As it is written.
        meaning: What it means, in whole sentences.
        allowed: Which values it takes, such as "numbers 0 to 1".
        choices: All of them, if they are few words.
        default: Its default as TOML; "" if it has none.
        example: Another value as TOML.
        required: Whether it must be set; a recipe's name need not, for its file has one.
    """

    name: str
    meaning: str
    allowed: str
    choices: tuple[str, ...]
    default: str
    example: str
    required: bool

    @property
    def summary(self) -> str:
        """The first sentence of the meaning, the choices, and what happens if it is not set."""
        first, *more = _SENTENCE_END.split(self.meaning)
        choices = [f"One of {', '.join(self.choices)}."] if self.choices else []
        unset = [sentence for sentence in more if sentence.startswith("Not set: ")]
        return " ".join([first, *choices, *unset])


def keys_of(model: type[BaseModel]) -> tuple[Key, ...]:
    """The keys of a model in their order; `kind` of a step and tables of their own left out."""
    schemas = properties_of(model)
    return tuple(
        Key(
            name=name,
            meaning=schemas[name]["description"],
            allowed=allowed_values(schemas[name]),
            choices=tuple(map(str, schemas[name].get("enum", ()))),
            default=_default(field),
            example=toml_value(field.examples[0]),
            required=field.is_required() and "Not set: " not in schemas[name]["description"],
        )
        for name, field in model.model_fields.items()
        if field.examples
    )


def toml_value(value: object) -> str:
    """A value as TOML writes it, on one line."""
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return str(value)
        case str() | Path():
            return json.dumps(str(value), ensure_ascii=False)
        case Mapping():
            pairs = (f"{key} = {toml_value(one)}" for key, one in value.items())
            return f"{{{', '.join(pairs)}}}"
        case Sequence():
            return f"[{', '.join(map(toml_value, value))}]"
        case _:
            raise TypeError(f"{value!r} has no form in TOML")


def _default(field: FieldInfo) -> str:
    empty = field.default is None or field.default_factory is not None
    return "" if empty or field.is_required() else toml_value(field.default)
