"""Reason files: NAME.error.json beside a failed original says why it failed."""

from pathlib import Path

REASON_SUFFIX = ".error.json"


def reason_path(original: Path) -> Path:
    """Where the reason of a failed original lies."""
    return original.with_name(original.name + REASON_SUFFIX)


def has_reason(original: Path) -> bool:
    """Whether an original lies in failed/ still: a retry takes the reason away with it."""
    return bool(original.name) and reason_path(original).exists()
