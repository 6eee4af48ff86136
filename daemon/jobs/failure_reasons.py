"""Why a job failed, and the file NAME.error.json beside a failed original that says so."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from daemon.system.errors import photo_message
from daemon.system.json_files import read_json

REASON_SUFFIX = ".error.json"


@dataclass(frozen=True)
class Reason:
    """Why a photograph fails; true unless it is `NO_REASON`.

    Attributes:
        why: What is wrong, with the photograph's name.
        remedy: What to do; "" if `why` already tells.
    """

    why: str
    remedy: str = ""

    def __bool__(self) -> bool:
        """Whether there is one."""
        return bool(self.why)

    def __str__(self) -> str:
        """As people are told, "WHY; REMEDY"."""
        return photo_message("", self.why, self.remedy)


NO_REASON = Reason("")
"""A photograph that does not fail."""


def reason_path(original: Path) -> Path:
    """Where the reason of a failed original lies."""
    return original.with_name(original.name + REASON_SUFFIX)


def is_reason_name(name: str) -> bool:
    """Whether a file name is one that this module gives."""
    return name.endswith(REASON_SUFFIX)


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


def _content(path: Path) -> Mapping[str, object] | None:
    try:
        content = read_json(path)
    except Exception:  # others may write to failed/; a parser raises what it likes
        return None
    return content if isinstance(content, dict) else None
