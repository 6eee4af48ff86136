"""Turns a pydantic error into what the operator needs: file, key, value, what is allowed."""

from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails


def explain(source: Path | str, error: ValidationError) -> str:
    """One line for each thing that is wrong, each naming the source, the key and the value."""
    return "\n".join(_line(source, detail) for detail in error.errors(include_url=False))


def _line(source: Path | str, detail: ErrorDetails) -> str:
    key = _key(detail["loc"])
    value = detail["input"]
    context = detail.get("ctx", {})
    match detail["type"]:
        case "missing":
            return f"{source}: {key} is missing"
        case "extra_forbidden":
            return f"{source}: {key} is not a known key; mend its spelling or take it out"
        case "union_tag_invalid":
            return f"{source}: {key} is {context['tag']}, allowed are {context['expected_tags']}"
        case "union_tag_not_found":
            return f"{source}: {key}.kind is missing"
        case "literal_error":
            return f"{source}: {key} is {value!r}, allowed are {context['expected']}"
        case "value_error":
            return f"{source}: {key + ': ' if key else ''}{context['error']}"
        case _:
            return f"{source}: {key} is {value!r}: {detail['msg'].lower()}"


def _key(location: tuple[int | str, ...]) -> str:
    """("steps", 1, "restyle", "strength") -> "steps[1].strength": the tag of a union is no key."""
    key = ""
    after_index = False
    for part in location:
        if isinstance(part, int):
            key += f"[{part}]"
        elif not after_index:
            key += f".{part}" if key else part
        after_index = isinstance(part, int)
    return key
