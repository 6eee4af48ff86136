"""Admission: claims become queued jobs, in groups, so that a crash at any point loses nothing.

Comes in: claims of the intake. Goes out: rows of the ledger, with the files in the station's work
folder. The intent is recorded before any file is moved, the digests after.
"""

import contextlib
import secrets
import stat
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from daemon.config.station import Notice, Station
from daemon.intake.arrivals import Arrival, Claim
from daemon.jobs.ledger.entries import ClaimedFile, ClaimedFiles, Entry
from daemon.jobs.ledger.writer import Ledger
from daemon.jobs.stages import StageDuration
from daemon.photo import Limits, digest_file, read_header
from daemon.system.clock import is_over
from daemon.system.errors import PhotoError
from daemon.system.files import NO_SPACE, fit_name, move_to_free, refusal, shown, sync_folders
from daemon.system.files import claim as take

_log = structlog.get_logger()

GROUP = 256
"""Claims that share one pair of commits and fsyncs."""

_FIRST_WAIT_S, _LONGEST_WAIT_S = 2.0, 300.0
"""Between tries to take a file that the system does not let go; the wait doubles."""


@dataclass(frozen=True)
class _Refused:
    """A file that could not be taken: when to look at it again, and what a person is told."""

    again_at: float
    wait_s: float
    notice: Notice


class Claimer:
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
        self.limits = limits
        self._hint = hint
        self._advanced = advanced
        self._refused: dict[Path, _Refused] = {}

    def unseen(self, arrivals: Sequence[Arrival]) -> list[Arrival]:
        """Leave out originals that stay in place and were taken before."""
        return [
            a
            for a in arrivals
            if a.folder.originals != "leave"
            or not self._ledger.was_taken(a.path, a.size_bytes, a.mtime_ns)
        ]

    def admit(self, claims: Sequence[Claim], now: float) -> list[StageDuration]:
        """Claim, hash and queue; what cannot be claimed stays where it is and is looked at again.

        Args:
            claims: What to take, any number.
            now: UTC seconds since the epoch.

        Returns:
            How long each took to settle and to be claimed.
        """
        took: list[StageDuration] = []
        try:
            for start in range(0, len(claims), GROUP):
                group = claims[start : start + GROUP]
                began = time.monotonic()
                self._admit_group(group, now)
                seconds = time.monotonic() - began
                took += [StageDuration("settle", c.recipe, c.arrivals[0].settled_s) for c in group]
                took += [StageDuration("claim", c.recipe, seconds) for c in group]
            return took
        except BaseException:
            for claim in claims:  # those that were queued are gone from there, and no harm is done
                for arrival in claim.files:
                    self._hint(arrival.path)
            raise

    def resume(self, now: float) -> None:
        """Finish what was left half claimed; what was not claimed at all is looked at again."""
        entries = self._ledger.in_state("claiming")
        begun = [e for e in entries if any(f.path.exists() for f in e.claim.files)]
        for entry in entries:
            if entry not in begun:
                self._forget(entry)
        self._take_and_queue(begun, now)

    def look_at_refused(self, now: float) -> None:
        """Have files looked at again whose time has come; `now` in UTC seconds."""
        for path, refused in self._refused.items():
            if is_over(refused.again_at, now, refused.wait_s):
                self._refused[path] = replace(refused, again_at=now + refused.wait_s)
                self._hint(path)

    def notices(self) -> tuple[Notice, ...]:
        """Files that cannot be taken, and why."""
        gone = [path for path in self._refused if not path.exists()]
        for path in gone:
            del self._refused[path]
        return tuple(refused.notice for refused in self._refused.values())

    def look_again(self, entry: Entry, now: float) -> None:
        """Queue a job anew whose files changed after they were claimed."""
        self._queue([entry], now)

    def _admit_group(self, claims: Sequence[Claim], now: float) -> None:
        group = self._station.work / secrets.token_hex(8)
        group.mkdir()
        intents = []
        for number, claim in enumerate(claims):
            intents.append((claim.recipe, _claimed(claim, group, number), claim.refusal))
        try:
            entries = self._ledger.intend(intents)
            came = [max(file.came_at for file in claim.files) for claim in claims]
            rows = [entry.row for entry in entries]
            self._take_and_queue(entries, now, dict(zip(rows, came, strict=True)))
        finally:
            with contextlib.suppress(OSError):  # it is empty where nothing could be taken
                group.rmdir()

    def _take_and_queue(
        self, entries: Sequence[Entry], now: float, came_at: Mapping[int, float] | None = None
    ) -> None:
        taken = [kept for entry in entries if (kept := self._take(entry, now)) is not None]
        moved = [e for e in taken if e.claim.folder.originals != "leave"]
        sync_folders(file.path.parent for e in moved for file in e.claim.files)
        sync_folders(
            parent
            for e in moved
            for f in e.claim.files
            if (parent := (e.claim.folder.path / f.relative).parent).is_dir()
        )
        self._queue(taken, now, came_at)

    def _take(self, entry: Entry, now: float) -> Entry | None:
        """Move an entry's files.

        Returns:
            The entry, with a reason if it must go to failed/; None if all stays where it was.
        """
        if entry.claim.folder.originals == "leave":
            return entry
        for file in entry.claim.files:
            if file.path.exists():
                continue
            try:
                take(entry.claim.folder.path / file.relative, file.path)
            except (FileNotFoundError, BlockingIOError) as error:
                return self._put_back(entry, error)
            except OSError as error:
                if error.errno in NO_SPACE:
                    raise
                self._refuse(entry.claim.folder.path / file.relative, error, now)
                return self._put_back(entry, error)
            self._refused.pop(entry.claim.folder.path / file.relative, None)
        return entry

    def _refuse(self, origin: Path, error: OSError, now: float) -> None:
        """Remember a file that the system does not let go, and say so once."""
        before = self._refused.get(origin)
        wait_s = min(_LONGEST_WAIT_S, 2 * before.wait_s) if before else _FIRST_WAIT_S
        why = f"cannot be taken out of {shown(origin.parent)}: {error.strerror or error}"
        notice = before.notice if before else Notice(origin, f"{why}; it is tried again", now)
        if before is None:
            _log.warning("cannot_be_taken", photo=shown(origin), why=why)
        self._refused[origin] = _Refused(now + wait_s, wait_s, notice)

    def _put_back(self, entry: Entry, error: OSError) -> Entry | None:
        """Return to the inbox what was taken of a claim; if that fails, too, it is refused."""
        photo = shown(entry.claim.files[0].relative)
        _log.info("not_claimed", photo=photo, recipe=entry.recipe, why=str(error))
        try:
            for file in entry.claim.files:
                origin = entry.claim.folder.path / file.relative
                if file.path.exists():
                    move_to_free(file.path, origin.parent, origin.name, f"{entry.row:08x}")
        except OSError as again:
            first, second = (refusal(e, entry.claim.labels) for e in (error, again))
            why = f"not all of it could be taken ({first}), nor put back ({second})"
            return replace(entry, reason=why)
        self._forget(entry)
        return None

    def _forget(self, entry: Entry) -> None:
        """Nothing of an entry was claimed: the inbox shall look at its files anew."""
        self._ledger.forget([entry.row])
        for file in entry.claim.files:
            origin = entry.claim.folder.path / file.relative
            if origin not in self._refused:
                self._hint(origin)

    def _queue(
        self, entries: Sequence[Entry], now: float, came_at: Mapping[int, float] | None = None
    ) -> None:
        self._ledger.queue([(e.row, *self._known(e)) for e in entries], now, came_at)
        for entry in entries:
            _log.info(
                "claimed",
                job=entry.row,
                recipe=entry.recipe or None,
                photo=shown(entry.claim.files[0].relative),
            )

    def _known(self, entry: Entry) -> tuple[ClaimedFiles, str]:
        """The claim with digests and headers, and why it is refused, or ""."""
        if entry.reason:
            return entry.claim, entry.reason
        try:
            return replace(entry.claim, files=tuple(map(self._look, entry.claim.files))), ""
        except PhotoError as error:
            return entry.claim, str(error)
        except OSError as error:
            return entry.claim, refusal(error, entry.claim.labels)

    def _look(self, file: ClaimedFile) -> ClaimedFile:
        status = file.path.lstat()  # before the hash, so that a write meanwhile is noticed later
        if not stat.S_ISREG(status.st_mode):
            raise PhotoError(f"{shown(file.relative)}: it is no regular file any more")
        header = None
        if file.role == "photo":
            header = read_header(file.path, self.limits, name=file.relative.name)
        digest = digest_file(file.path)
        self._advanced()
        return replace(
            file,
            size_bytes=status.st_size,
            mtime_ns=status.st_mtime_ns,
            digest=digest,
            header=header,
        )


def _claimed(claim: Claim, group: Path, number: int) -> ClaimedFiles:
    def file(arrival: Arrival, role: str, position: int) -> ClaimedFile:
        name = fit_name(f"{number}-{position}-{arrival.relative.name}")
        left = arrival.folder.originals == "leave"
        path = arrival.path if left else group / name
        return ClaimedFile(role, arrival.relative, path, arrival.size_bytes, arrival.mtime_ns)  # type: ignore[arg-type]

    sides = [(a, role) for a, role in ((claim.mask, "mask"), (claim.hints, "hints")) if a]
    roles = [(a, "photo") for a in claim.arrivals] + sides
    files = tuple(file(a, role, position) for position, (a, role) in enumerate(roles))
    return ClaimedFiles(claim.arrivals[0].folder, claim.stem, files)
