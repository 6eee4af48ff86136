"""Reason files: NAME.error.json beside a failed original says why it failed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daemon.system.files import read_json

REASON_SUFFIX = ".error.json"


def reason_path(original: Path) -> Path:
    """Where the reason of a failed original lies."""
    return original.with_name(original.name + REASON_SUFFIX)


def has_reason(original: Path) -> bool:
    """Whether an original lies in failed/ still: a retry takes the reason away with it."""
    return bool(original.name) and reason_path(original).exists()


def is_foreign(path: Path, origin: object = None) -> bool:
    """Whether a file that is named like a reason is none: a photograph may be named so, too.

    Args:
        path: The file; one that is not there is not foreign.
        origin: Where the original came from, if only its own reason counts.
    """
    if not path.exists() and not path.is_symlink():
        return False
    content = _content(path)
    if content is None or reason_path(path).exists():  # a reason has no reason
        return True
    return origin is not None and content.get("origin") != origin


def _content(path: Path) -> Mapping[str, Any] | None:
    try:
        content = read_json(path)
    except Exception:  # others may write to failed/; a parser raises what it likes
        return None
    return content if isinstance(content, dict) else None
