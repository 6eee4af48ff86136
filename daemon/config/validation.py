"""Turns a pydantic error into what the operator needs: file, key, value, what is allowed.

Comes in: where the values came from, the error, the model that refused them. Goes out: one line
for each key that is wrong. Never raises and never reads a file.
"""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

Schema = Mapping[str, Any]

_LONGEST_VALUE = 60


def explain(
    source: Path | str,
    error: ValidationError,
    model: type[BaseModel],
    origins: Mapping[str, str] | None = None,
) -> str:
    """Say what is wrong, one line for each key.

    Args:
        source: The file that the values came from.
        error: What pydantic found.
        model: The model that refused them; its ranges are quoted.
        origins: Top-level keys that came from elsewhere, such as an environment variable.
    """
    root = model.model_json_schema()
    lines: dict[str, str] = {}
    for detail in error.errors(include_url=False):
        key, schema, siblings = _walk(detail["loc"], root)
        origin = (origins or {}).get(str(detail["loc"][0]) if detail["loc"] else "", str(source))
        # A union reports each of its branches; the first line already lists what all allow.
        lines.setdefault(key, f"{origin}: {_say(key, detail, schema, siblings)}")
    # A list with a bad item is reported as too short as well; the item says it better.
    inner = [key for key in lines if not any(k.startswith((f"{key}[", f"{key}.")) for k in lines)]
    return "\n".join(lines[key] for key in inner)


def close_match(word: str, known: list[str]) -> str:
    """What a misspelt word may have meant, as an end of a sentence, or ""."""
    close = difflib.get_close_matches(word, known, n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(close)}?" if close else ""


def _say(key: str, detail: ErrorDetails, schema: Schema, siblings: list[str]) -> str:
    value = "(secret)" if _is_secret(schema) else _short(detail["input"])
    context = detail.get("ctx", {})
    match detail["type"]:
        case "missing":
            return f"{key} is missing"
        case "extra_forbidden":
            hint = close_match(str(detail["loc"][-1]), siblings)
            known = f", allowed are {', '.join(siblings)}" if siblings and not hint else ""
            return f"{key} is not a known key{hint or known}"
        case "union_tag_invalid":
            tags = context["expected_tags"].replace("'", "")
            return f"{key}.kind is {context['tag']!r}, allowed are {tags}"
        case "union_tag_not_found":
            return f"{key}.kind is missing"
        case "value_error":
            return f"{key + ' ' if key else ''}{context['error']}"
    allowed = _allowed(schema)
    return f"{key} is {value}, {allowed}" if allowed else f"{key} is {value}: {detail['msg']}"


def _is_secret(schema: Schema) -> bool:
    """Whether a value may not be shown: pydantic marks secrets, or what they lie in holds them."""
    parts = schema.get("anyOf", [schema["items"]] if "items" in schema else [])
    return bool(schema.get("writeOnly")) or any(map(_is_secret, parts))


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"


def _walk(location: tuple[int | str, ...], root: Schema) -> tuple[str, Schema, list[str]]:
    """Follow an error's location through the schema.

    Returns:
        The key as a person writes it, `steps[1].strength` (the tag and the branch of a union are
        no keys); the schema of the value; the known keys of the table it lies in.
    """
    key, schema = "", _resolve(root, root)
    siblings: list[str] = []
    for part in location:
        if isinstance(part, int):
            key += f"[{part}]"
            schema = _resolve(schema.get("items", {}), root)
        elif "discriminator" in schema:
            reference = schema["discriminator"]["mapping"].get(part)
            schema = _resolve({"$ref": reference} if reference else {}, root)
        elif "anyOf" in schema and not any("properties" in s for s in schema["anyOf"]):
            break
        else:
            properties = schema.get("properties", {})
            siblings = sorted(properties)
            key += f".{part}" if key else part
            schema = _resolve(properties.get(part, {}), root)
    return key, schema, siblings


def _resolve(schema: Schema, root: Schema) -> Schema:
    while "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rsplit("/", 1)[1]]
    return schema


def _allowed(schema: Schema) -> str:
    """Such as "allowed 0 to 1" or "allowed are a, b"; "" where the schema does not say."""
    if "enum" in schema:
        return f"allowed are {', '.join(str(choice) for choice in schema['enum'])}"
    phrases = [_phrase(branch) for branch in schema.get("anyOf", [schema])]
    said = [phrase for phrase in phrases if phrase is not None]
    return f"allowed {' or '.join(said)}" if said and all(said) else ""


def _phrase(schema: Schema) -> str | None:
    """What one branch allows; "" if that is not short to say, None for "absent"."""
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
            return _range(schema) or "any number"
        case "string":
            return f"text that fits {schema['pattern']}" if "pattern" in schema else "text"
        case _:
            return ""


def _range(schema: Schema) -> str:
    low, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    high, below = schema.get("maximum"), schema.get("exclusiveMaximum")
    start = f"{low:g}" if low is not None else f"above {above:g}" if above is not None else ""
    if high is not None:
        return f"{start} to {high:g}" if start else f"up to {high:g}"
    if below is not None:
        return f"{start} to below {below}" if start else f"below {below}"
    return f"{start} or more" if low is not None else start
