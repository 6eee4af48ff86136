"""Claimed photographs without an inbox, and jobs of a ledger made of them."""

import os
from pathlib import Path
from typing import Literal

from daemon.config.station import InboxFolder
from daemon.jobs.failure_reasons import NO_REASON
from daemon.jobs.ledger.entries import ClaimedFile, ClaimedFiles, Entry
from daemon.jobs.ledger.writer import Ledger
from daemon.photo import Header

QUEUED_AT = 1_800_000_000.0
_SIZE_BYTES, _MTIME_NS = 7, 99


def claimed(
    folder: Path,
    name: str = "scan.jpg",
    originals: Literal["archive", "delete", "leave"] = "archive",
) -> ClaimedFiles:
    """A claim of one photograph; nothing is written."""
    inbox = InboxFolder(
        *(folder / "in", None, folder / "out", folder / "bad", folder / "old", originals)
    )
    header = Header("JPEG", 640, 480, "RGB")
    path = folder / "work" / name
    relative = Path("denoise") / name
    file = ClaimedFile("photo", relative, path, _SIZE_BYTES, _MTIME_NS, "digest", header)
    return ClaimedFiles(inbox, "scan", (file,))


def write_claimed(entry: Entry) -> None:
    """Write the files of a claim, as they are said to be."""
    for file in entry.claim.files:
        file.path.parent.mkdir(parents=True, exist_ok=True)
        file.path.write_bytes(b"." * file.size_bytes)
        os.utime(file.path, ns=(file.mtime_ns, file.mtime_ns))


def queued(
    ledger: Ledger, folder: Path, *names: str, recipe: str = "denoise", now: float = QUEUED_AT
) -> list[Entry]:
    """Queue a job for each name."""
    claims = [claimed(folder, name) for name in names]
    entries = ledger.intend([(recipe, claim, NO_REASON) for claim in claims])
    ledger.queue([(e.row, c, NO_REASON) for e, c in zip(entries, claims, strict=True)], now)
    return ledger.entries([entry.row for entry in entries])


def leased(ledger: Ledger, folder: Path, *names: str) -> list[Entry]:
    """Queue and lease a job for each name."""
    return ledger.lease([(e.row, f"job-{e.row}") for e in queued(ledger, folder, *names)])
