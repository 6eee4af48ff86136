"""TODO."""

from pathlib import Path

from daemon.jobs.ledger.entries import ClaimedFiles
from daemon.system.files import shown


def named(message: str, claim: ClaimedFiles) -> str:
    """Say the name the person gave instead of the one in the work folder."""
    for file in claim.files:
        message = message.replace(str(file.path), shown(file.relative))
        message = message.replace(file.path.name, shown(file.relative.name))
    return message


REASON = ".error.json"
"""What a failed photograph's reason is called, after its name."""


def has_reason(path: Path) -> bool:
    """Whether a failed photograph lies there still: what was retried took its reason with it."""
    return bool(path.name) and _reason(path).exists()


def _reason(path: Path) -> Path:
    return path.with_name(path.name + REASON)
