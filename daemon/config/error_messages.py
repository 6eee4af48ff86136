"""Error messages about wrong configuration: file, key, value, what is allowed and what to do.

pydantic's errors are written for programmers. `explain` turns each into one line for the person
who wrote the file, from the JSON schema of the model that refused it.
"""

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

Schema = Mapping[str, Any]
"""A JSON schema, or a part of one."""

_LONGEST_VALUE = 60
"""Characters of a wrong value that a message repeats."""

_MOST_KEYS = 12
"""Known keys that a message lists. Only the settings have more; they would hide what is wrong."""


def explain(
    source: Path | str,
    error: ValidationError,
    model: type[BaseModel],
    origins: Mapping[str, str] | None = None,
) -> str:
    """Say what is wrong, in one line for each key.

    Args:
        source: The file that the values came from.
        error: What pydantic found.
        model: The model that refused the values; its ranges are quoted.
        origins: Top-level keys that came from elsewhere, such as an environment variable.
    """
    found = problems(error, model)
    return "\n".join(f"{(origins or {}).get(key, source)}: {what}" for key, what in found)


def problems(error: ValidationError, model: type[BaseModel]) -> list[tuple[str, str]]:
    """Say what is wrong with each key, without the name of the file.

    Args:
        error: What pydantic found.
        model: The model that refused the values; its ranges are quoted.

    Returns:
        For each wrong key, the top-level key that it lies in ("" for the file as a whole), and a
        line.
    """
    root = model.model_json_schema()
    lines: dict[str, tuple[str, str]] = {}
    for detail in error.errors(include_url=False):
        location = detail["loc"]
        if detail["type"] == "missing" and isinstance(location[-1], int):
            location = location[:-1]  # a list is too short: say what the whole list allows
        place = _Place.of(location, root)
        top_key = str(location[0]) if location else ""
        # A union reports each of its branches; the first line already lists what all allow.
        lines.setdefault(place.key, (top_key, _message(place, detail)))
    # A list with a bad item is reported as too short as well; the item says it better.
    inner = [key for key in lines if not any(k.startswith((f"{key}[", f"{key}.")) for k in lines)]
    return [lines[key] for key in inner]


def explain_toml(error: Exception) -> str:
    """Say why a file could not be read as TOML.

    Args:
        error: Of the file system, of the encoding or of the TOML parser.
    """
    # The file is named beside it.
    why = error.strerror if isinstance(error, OSError) and error.strerror else error
    text = f"not a readable TOML file: {why}"
    if not isinstance(error, tomllib.TOMLDecodeError):
        return text
    if str(error).startswith("Invalid value"):
        return f'{text}; write text in "quotes", numbers, true and false without'
    if str(error).startswith("Cannot overwrite a value"):
        return f"{text}; this key was set before: remove one of them"
    return text


def suggestion(word: str, known: Iterable[str]) -> str:
    """Suggestion for a misspelt word, as the end of a sentence, or ""."""
    close = difflib.get_close_matches(word, list(known), n=3, cutoff=0.6)
    return f"; did you mean {_either(close)}?" if close else ""


def allowed_values(schema: Schema) -> str:
    """Such as "0 to 1", "png, jpeg" or "whole numbers 1 or more"; "" if the schema does not say."""
    if "allowed" in schema:
        return str(schema["allowed"])
    phrases = [_phrase(branch) for branch in schema.get("anyOf", [schema])]
    said = [phrase for phrase in phrases if phrase is not None]
    return " or ".join(said) if all(said) else ""


def properties_of(model: type[BaseModel]) -> dict[str, Schema]:
    """JSON schema of each key of a model."""
    root = model.model_json_schema()
    return {name: _resolve(schema, root) for name, schema in root["properties"].items()}


class _Place:
    """Where in a file an error lies.

    Attributes:
        key: As a person writes it, such as `steps[1].strength`. The tag and the branch of a union
            are not part of it.
        name: Its last part, such as "strength".
        schema: What is allowed there.
        table: Schema of the table that it lies in.
        others: Schemas of the tables that it could have been, such as other kinds of steps.
        root: Schema of the whole file.
    """

    def __init__(self, root: Schema) -> None:
        self.root = root
        self.key = self.name = ""
        self.schema = self.table = _resolve(root, root)
        self.others: Sequence[Schema] = ()

    @classmethod
    def of(cls, location: tuple[int | str, ...], root: Schema) -> "_Place":
        """Follow an error's location through the schema."""
        place = cls(root)
        for part in location:
            if not place._enter(part):
                break
        return place

    def _enter(self, part: int | str) -> bool:
        """Go one part further; False where the rest of the location is no part of the file."""
        schema = self.schema
        if isinstance(part, int):
            self.key += f"[{part}]"
            self.schema = _resolve(_item(schema, part), self.root)
        elif "discriminator" in schema:
            mapping = schema["discriminator"]["mapping"]
            self.others = [_resolve({"$ref": ref}, self.root) for ref in mapping.values()]
            self.schema = _resolve({"$ref": mapping[part]} if part in mapping else {}, self.root)
        elif "anyOf" in schema and not any("properties" in s for s in schema["anyOf"]):
            return False
        else:
            self.table = schema
            self.name = part
            self.key += f".{part}" if self.key else part
            self.schema = _resolve(schema.get("properties", {}).get(part, {}), self.root)
        return True

    @property
    def is_table(self) -> bool:
        """Whether a table with keys is expected here."""
        return "properties" in self.schema or "discriminator" in self.schema

    @property
    def is_tables(self) -> bool:
        """Whether a list of tables is expected here."""
        item = _resolve(_item(self.schema, 0), self.root)
        return "properties" in item or "discriminator" in item


_KINDS_CALLED = {
    **dict.fromkeys(
        ("scratches", "scratch", "dust", "repair"), 'kind = "inpaint" with find = true'
    ),
    "cracks": 'kind = "inpaint" with find = "cracks"',
    **dict.fromkeys(("restore", "old-photo"), "a recipe of several steps; copy them from it"),
    **dict.fromkeys(("upscale", "enlarge", "resize", "sr"), 'kind = "super-resolve"'),
    **dict.fromkeys(("img2img", "image-to-image", "style"), 'kind = "restyle"'),
    **dict.fromkeys(("txt2img", "text-to-image"), 'kind = "generate"'),
    **dict.fromkeys(("morph", "blend"), 'kind = "interpolate"'),
    **dict.fromkeys(("fading", "faded", "white-balance"), 'kind = "unfade"'),
    **dict.fromkeys(("jpeg", "deblock", "noise"), 'kind = "denoise"'),
}
"""What kinds of steps are that go by another name: shipped recipes, and words of other programs."""


def _message(place: _Place, detail: ErrorDetails) -> str:
    key, context = place.key, detail.get("ctx", {})
    match detail["type"]:
        case "missing" if isinstance(detail["loc"][-1], str):
            return f"{key} is missing{_how_to_write(place)}"
        case "extra_forbidden":
            return f"{key} is not a known key{_where_it_belongs(place)}"
        case "union_tag_invalid":
            tags = context["expected_tags"].replace("'", "").split(", ")
            hint = _other_names(context["tag"]) or suggestion(context["tag"], tags)
            return f"{key}.kind is {context['tag']!r}; allowed: {', '.join(tags)}{hint}"
        case "union_tag_not_found":
            return f'{key}.kind is missing; it says what the step does, such as kind = "denoise"'
        case "value_error":
            gap = ": " if place.is_table else " "
            return f"{key}{gap if key else ''}{context['error']}"
    if place.is_table or place.is_tables:
        return f"{key} is {_shown(detail['input'])}; allowed: {_table_form(place)}"
    value = "(secret)" if _is_secret(place.schema) else _shown(detail["input"])
    allowed = allowed_values(place.schema)
    if not allowed:
        return f"{key} is {value}: {detail['msg']}"
    return f"{key} is {value}; allowed: {allowed}{_hint(detail['input'], place.schema)}"


def _other_names(kind: str) -> str:
    """What a kind of step is called here that people know by another name; "" for all others."""
    meant = _KINDS_CALLED.get(kind.lower().replace("_", "-"))
    return "" if meant is None else f"; that is {meant}"


def _table_form(place: _Place) -> str:
    """How a table is written: `[match]` once, `[[steps]]` once for each step."""
    name, bracket, _ = place.key.partition("[")
    return (
        f"[[{name}]] tables, in two brackets" if bracket or place.is_tables else f"a [{name}] table"
    )


def _how_to_write(place: _Place) -> str:
    if place.is_tables:
        return f"; write {_table_form(place)}"
    examples = place.schema.get("examples")
    if not examples:
        return ""
    example = f'"{examples[0]}"' if isinstance(examples[0], str) else examples[0]
    return f"; write for example {place.name} = {example}"


def _where_it_belongs(place: _Place) -> str:
    """Suggestion for an unknown key."""
    known = sorted(place.table.get("properties", {}))
    kinds = [s["properties"]["kind"]["const"] for s in place.others if _has(s, place.name)]
    if kinds:
        return f" of this kind of step, only of {_either(kinds)}"
    if hint := suggestion(place.name, known):
        return hint
    if place.table is place.root and (tables := _tables_with(place.name, place.root)):
        return f"; it belongs below {_either(tables)}"
    if len(known) > _MOST_KEYS:
        return "; `restored init` lists every key in the restored.toml of a new station"
    return f"; allowed: {', '.join(known)}" if known else ""


def _tables_with(name: str, root: Schema) -> list[str]:
    """The tables of a file, such as "[output]", that have a key of this name."""
    found = []
    for key, schema in root.get("properties", {}).items():
        table = _resolve(schema, root)
        if _has(table, name):
            found.append(f"[{key}]")
        items = _resolve(table.get("items", {}), root)
        if any(_has(_resolve(s, root), name) for s in (items, *items.get("oneOf", ()))):
            found.append(f"[[{key}]]")
    return found


def _has(schema: Schema, name: str) -> bool:
    return name in schema.get("properties", {})


def _hint(value: object, schema: Schema) -> str:
    """Remedy for a value that is nearly right."""
    choices = schema.get("enum", ())
    if isinstance(value, str) and value in map(str, choices):
        return "; write it without quotes"
    texts = [choice for choice in choices if isinstance(choice, str)]
    if isinstance(value, str) and texts:
        return suggestion(value, texts)
    if schema.get("type") == "array" and not isinstance(value, list | tuple):
        return "; write it in [brackets]"
    return ""


def _is_secret(schema: Schema) -> bool:
    """Whether a value may not be shown: it is marked as secret, or contains what is."""
    parts = schema.get("anyOf", [schema["items"]] if "items" in schema else [])
    return bool(schema.get("writeOnly")) or any(map(_is_secret, parts))


def _shown(value: object) -> str:
    """A value as its file writes it, cut short."""
    if isinstance(value, dict):
        return "one table"
    try:
        text = str(value).lower() if isinstance(value, bool) else repr(value)
    except ValueError:  # Python converts no integer of more than 4300 digits
        return "a number too long to show"
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"


def _either(words: Sequence[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last


def _resolve(schema: Schema, root: Schema) -> Schema:
    """The schema itself where it refers to a definition; keys beside the reference win."""
    while "$ref" in schema:
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        schema = root["$defs"][schema["$ref"].rsplit("/", 1)[1]] | beside
    return schema


def _item(schema: Schema, index: int) -> Schema:
    """The schema of an item of a list."""
    lists = [branch for branch in schema.get("anyOf", [schema]) if branch.get("type") == "array"]
    if not lists:
        return {}
    several: Sequence[Schema] = lists[0].get("prefixItems", ())
    found: Schema = several[index] if index < len(several) else lists[0].get("items", {})
    return found


def _phrase(schema: Schema) -> str | None:
    """Values that one branch allows; "" if that is not short to say, None for "absent"."""
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return ", ".join(str(choice) for choice in schema["enum"])
    match schema.get("type"):
        case "null":
            return None
        case "boolean":
            return "true or false"
        case "integer":
            return f"whole numbers {_range(schema)}".rstrip()
        case "number":
            return f"numbers {_range(schema)}".rstrip()
        case "string" if schema.get("format") == "path":
            return "a path"
        case "string":
            return f"text that fits {schema['pattern']}" if "pattern" in schema else "text"
        case "array":
            return _list_phrase(schema)
        case _:
            return ""


def _list_phrase(schema: Schema) -> str:
    several = schema.get("prefixItems", ())
    item = _phrase(several[0] if several else schema.get("items", {}))
    most = f" of up to {schema['maxItems']} values" if "maxItems" in schema else ""
    count = f" of {len(several)} values" if several else most
    return f"a list{count}: {item}" if item else ""


def _range(schema: Schema) -> str:
    low, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    high, below = schema.get("maximum"), schema.get("exclusiveMaximum")
    if schema.get("type") == "integer" and below is not None:
        high, below = below - 1, None
    start = (
        _number(low) if low is not None else f"above {_number(above)}" if above is not None else ""
    )
    if high is not None:
        return f"{start} to {_number(high)}" if start else f"up to {_number(high)}"
    if below is not None:
        return f"{start} to below {_number(below)}" if start else f"below {_number(below)}"
    return f"{start} or more" if low is not None else start


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else re.sub(r"\.0$", "", str(value))
