"""Admission: claims become queued jobs, in groups, so that a crash at any point loses nothing.

Comes in: claims of the intake. Goes out: rows of the ledger, with the files in the station's work
folder. The intent is recorded before any file is moved, the digests after.
"""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import structlog

from daemon.entries import Claimed, ClaimedFile, Entry
from daemon.errors import PhotoError
from daemon.files import claim as take
from daemon.files import fit_name, shown, sync_folders
from daemon.ledger import Ledger
from daemon.photo import Limits, digest_file, read_header
from daemon.station import Arrival, Claim, Station

_log = structlog.get_logger()

GROUP = 256
"""Claims that share one pair of commits and fsyncs."""


class Admission:
    """Takes what the intake chose out of the inboxes and queues it."""

    def __init__(
        self,
        station: Station,
        ledger: Ledger,
        limits: Limits,
        hint: Callable[[Path], None],
        advanced: Callable[[], None],
    ) -> None:
        """Take, hash and queue for one station.

        Args:
            station: Whose work folder receives the files.
            ledger: Where they are recorded.
            limits: What is refused.
            hint: Is told of files that must be looked at again.
            advanced: Is told of each file that was hashed; large ones on slow disks take a minute.
        """
        self._station = station
        self._ledger = ledger
        self._limits = limits
        self._hint = hint
        self._advanced = advanced

    def unseen(self, arrivals: Sequence[Arrival]) -> list[Arrival]:
        """Leave out originals that stay in place and were taken before."""
        return [
            a
            for a in arrivals
            if a.folder.originals != "leave"
            or not self._ledger.seen(a.path, a.size_bytes, a.mtime_ns)
        ]

    def admit(self, claims: Sequence[Claim], now: float) -> None:
        """Claim, hash and queue; what cannot be claimed stays where it is and is looked at again.

        Args:
            claims: What to take, any number.
            now: UTC seconds since the epoch.
        """
        for start in range(0, len(claims), GROUP):
            self._admit_group(claims[start : start + GROUP], now)

    def resume(self, now: float) -> None:
        """Finish what a crash left half claimed; what was not claimed at all is forgotten."""
        entries = self._ledger.in_state("claiming")
        begun = [e for e in entries if any(f.path.exists() for f in e.claim.files)]
        self._ledger.forget(e.row for e in entries if e not in begun)
        self._take_and_queue(begun, now)

    def look_again(self, entry: Entry, now: float) -> None:
        """Queue a job anew whose files changed after they were claimed."""
        self._queue([entry], now)

    def _admit_group(self, claims: Sequence[Claim], now: float) -> None:
        group = self._station.work / secrets.token_hex(8)
        group.mkdir()
        intents = []
        for number, claim in enumerate(claims):
            intents.append((claim.recipe, _claimed(claim, group, number), claim.refusal))
        self._take_and_queue(self._ledger.intend(intents), now)

    def _take_and_queue(self, entries: Sequence[Entry], now: float) -> None:
        taken = [entry for entry in entries if self._take(entry)]
        moved = [e for e in taken if e.claim.folder.originals != "leave"]
        sync_folders(file.path.parent for e in moved for file in e.claim.files)
        sync_folders(
            parent
            for e in moved
            for f in e.claim.files
            if (parent := (e.claim.folder.path / f.relative).parent).is_dir()
        )
        self._queue(taken, now)

    def _take(self, entry: Entry) -> bool:
        """Move an entry's files; on failure put back what was moved and forget the entry."""
        if entry.claim.folder.originals == "leave":
            return True
        for file in entry.claim.files:
            if file.path.exists():
                continue
            try:
                take(entry.claim.folder.path / file.relative, file.path)
            except OSError as error:
                _log.info(
                    "not_claimed", photo=shown(file.relative), recipe=entry.recipe, why=str(error)
                )
                self._put_back(entry)
                return False
        return True

    def _put_back(self, entry: Entry) -> None:
        for file in entry.claim.files:
            origin = entry.claim.folder.path / file.relative
            if file.path.exists() and not origin.exists():
                origin.parent.mkdir(parents=True, exist_ok=True)
                file.path.rename(origin)
            self._hint(origin)
        self._ledger.forget([entry.row])

    def _queue(self, entries: Sequence[Entry], now: float) -> None:
        self._ledger.queue([(e.row, *self._known(e)) for e in entries], now)
        for entry in entries:
            _log.info(
                "claimed",
                job=entry.row,
                recipe=entry.recipe or None,
                photo=shown(entry.claim.files[0].relative),
            )

    def _known(self, entry: Entry) -> tuple[Claimed, str]:
        """The claim with digests and headers, and why it is refused, or ""."""
        if entry.reason:
            return entry.claim, entry.reason
        try:
            return replace(entry.claim, files=tuple(map(self._look, entry.claim.files))), ""
        except (PhotoError, OSError) as error:
            return entry.claim, named(str(error), entry.claim)

    def _look(self, file: ClaimedFile) -> ClaimedFile:
        stat = file.path.stat()  # before the hash, so that a write meanwhile is noticed later
        header = read_header(file.path, self._limits) if file.role == "photo" else None
        digest = digest_file(file.path)
        self._advanced()
        return replace(
            file,
            size_bytes=stat.st_size,
            mtime_ns=stat.st_mtime_ns,
            digest=digest,
            header=header,
        )


def named(message: str, claim: Claimed) -> str:
    """Say the name the person gave instead of the one in the work folder."""
    for file in claim.files:
        message = message.replace(str(file.path), shown(file.relative))
        message = message.replace(file.path.name, shown(file.relative.name))
    return message


def _claimed(claim: Claim, group: Path, number: int) -> Claimed:
    def file(arrival: Arrival, role: str, position: int) -> ClaimedFile:
        name = fit_name(f"{number}-{position}-{arrival.relative.name}")
        left = arrival.folder.originals == "leave"
        path = arrival.path if left else group / name
        return ClaimedFile(role, arrival.relative, path, arrival.size_bytes, arrival.mtime_ns)  # type: ignore[arg-type]

    sides = [(a, role) for a, role in ((claim.mask, "mask"), (claim.hints, "hints")) if a]
    roles = [(a, "photo") for a in claim.arrivals] + sides
    files = tuple(file(a, role, position) for position, (a, role) in enumerate(roles))
    return Claimed(claim.arrivals[0].folder, claim.stem, files)
