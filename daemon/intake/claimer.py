"""Claims become queued jobs: files move to the station's work folder, and the ledger gets rows.

Claims are taken in groups that share commits and fsyncs. The intent is recorded before any file is
moved and the digests after, so that a crash at any point loses nothing.
"""

import contextlib
import math
import secrets
import stat
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from daemon.config.station import Notice, Station
from daemon.intake.arrivals import Arrival, Claim
from daemon.jobs.accounting import StageDuration
from daemon.jobs.ledger.entries import ClaimedFile, ClaimedFiles, Entry
from daemon.jobs.ledger.writer import Ledger
from daemon.photo import Limits, read_header, refuse_large_file
from daemon.system.clock import is_over
from daemon.system.errors import PhotoError
from daemon.system.files import (
    NO_SPACE,
    fit_name,
    move_to_free,
    os_error_text,
    sha256_of,
    shown,
    sync_folders,
    take_file,
)

_log = structlog.get_logger()

GROUP = 256
"""Most claims that share one pair of commits and fsyncs."""

_READ_S = 0.5
"""Seconds in which files are hashed in one turn of the loop; then that hears reports again."""

_FIRST_WAIT_S, _LONGEST_WAIT_S = 2.0, 300.0
"""Seconds between attempts to take a file that the system does not let go; the wait doubles."""


@dataclass(frozen=True)
class _Untakeable:
    """A file that could not be taken.

    Attributes:
        again_at: When to look at it again, UTC seconds since the epoch.
        wait_s: How long that wait is.
        notice: What a person is told.
    """

    again_at: float
    wait_s: float
    notice: Notice


class Claimer:
    """Takes files out of the inboxes, hashes them and queues jobs."""

    def __init__(
        self,
        station: Station,
        ledger: Ledger,
        limits: Limits,
        look_again: Callable[[Path], None],
        file_hashed: Callable[[], None],
        crashes: int,
    ) -> None:
        """Claim for one station.

        Args:
            station: The station whose work folder receives the files.
            ledger: Where jobs are recorded.
            limits: Larger photographs are refused.
            look_again: Called with files that the inbox must look at again.
            file_hashed: Called after each file that was hashed, which takes a minute for a large
                file on a slow disk.
            crashes: Times that the daemon may be killed while it reads a file, before that counts
                as the file's fault.
        """
        self._station = station
        self._ledger = ledger
        self.limits = limits
        self._look_again = look_again
        self._file_hashed = file_hashed
        self._crashes = crashes
        self._unread: deque[tuple[Entry, float | None]] = deque()
        """Claims whose files are taken and not hashed yet, each with when it came."""
        self._untakeable: dict[Path, _Untakeable] = {}

    @property
    def reading(self) -> bool:
        """Whether files that were taken are still to be hashed."""
        return bool(self._unread)

    def read_on(self, now: float, within_s: float = _READ_S) -> None:
        """Hash files that were taken, and queue their jobs, until the time is over.

        Args:
            now: UTC seconds since the epoch.
            within_s: Seconds after which no further claim is begun.
        """
        until = time.monotonic() + within_s
        while self._unread:
            group: list[tuple[Entry, float | None]] = []
            read: list[tuple[int, ClaimedFiles, str]] = []
            while self._unread and len(group) < GROUP and (not group or time.monotonic() < until):
                group.append(self._unread.popleft())
                entry = group[-1][0]
                read.append((entry.row, *self._inspect(entry)))
            came_at = {entry.row: came for entry, came in group if came is not None}
            self._record([entry for entry, _ in group], read, now, came_at)
            if time.monotonic() >= until:
                break

    def unseen(self, arrivals: Sequence[Arrival]) -> list[Arrival]:
        """Leave out originals that stay in their place and were queued before."""
        return [
            a
            for a in arrivals
            if a.folder.originals != "leave"
            or not self._ledger.was_taken(a.path, a.size_bytes, a.mtime_ns)
        ]

    def claim(self, claims: Sequence[Claim], now: float) -> list[StageDuration]:
        """Take files, hash them and queue jobs.

        What cannot be taken stays where it is, and the inbox looks at it again.

        Args:
            claims: What to take; any number.
            now: UTC seconds since the epoch.

        Returns:
            How long each claim took to settle and to be taken.
        """
        took: list[StageDuration] = []
        try:
            for start in range(0, len(claims), GROUP):
                group = claims[start : start + GROUP]
                began = time.monotonic()
                self._claim_group(group, now)
                seconds = time.monotonic() - began
                took += [StageDuration("settle", c.recipe, c.arrivals[0].settled_s) for c in group]
                took += [StageDuration("claim", c.recipe, seconds) for c in group]
            return took
        except BaseException:
            for claim in claims:  # those that were queued are gone from the inbox: no harm is done
                for arrival in claim.files:
                    self._look_again(arrival.path)
            raise

    def resume(self, now: float) -> None:
        """Finish claims that an error interrupted; files of one not yet begun are found anew."""
        self._unread.clear()  # the ledger has them, too
        self._take_and_read(self._begun(), now)

    def recover(self, now: float) -> None:
        """Finish claims that the end of a former daemon interrupted.

        One of their files may have killed or hung it. What was interrupted once is read together
        with others, what was interrupted again alone and after a commit that counts it.
        """
        begun = self._begun()
        for entry in begun:
            if not entry.crashes:
                continue
            if entry.crashes >= self._crashes:
                why = f"the daemon was killed {entry.crashes + 1} times while it read this"
                self._take_and_read([replace(entry, reason=why)], now, within_s=math.inf)
            else:
                self._ledger.count_crash([entry.row])
                self._take_and_read([entry], now, within_s=math.inf)
        once = [entry for entry in begun if not entry.crashes]
        self._ledger.count_crash([entry.row for entry in once])
        self._take_and_read(once, now, within_s=math.inf)

    def _begun(self) -> list[Entry]:
        """Half-made claims of which some file can be found; the others are forgotten."""
        entries = self._ledger.in_state("claiming")
        begun = [e for e in entries if any(f.path.exists() for f in e.claim.files)]
        for entry in entries:
            if entry not in begun:
                self._forget(entry)
        return begun

    def retry_refused(self, now: float) -> None:
        """Have files that could not be taken looked at again when they are due; `now` in UTC."""
        for path, refused in self._untakeable.items():
            if is_over(refused.again_at, now, refused.wait_s):
                self._untakeable[path] = replace(refused, again_at=now + refused.wait_s)
                self._look_again(path)

    def notices(self) -> tuple[Notice, ...]:
        """The files that cannot be taken, each with the reason."""
        gone = [path for path in self._untakeable if not path.exists()]
        for path in gone:
            del self._untakeable[path]
        return tuple(refused.notice for refused in self._untakeable.values())

    def requeue(self, entry: Entry, now: float) -> None:
        """Queue a job again whose files changed after they were claimed: hash them anew."""
        self._record([entry], [(entry.row, *self._inspect(entry))], now)

    def _claim_group(self, claims: Sequence[Claim], now: float) -> None:
        group = self._station.work / secrets.token_hex(8)
        group.mkdir()
        intents = []
        for number, claim in enumerate(claims):
            intents.append((claim.recipe, _claimed(claim, group, number), claim.refusal))
        try:
            entries = self._ledger.intend(intents)
            came = [max(file.came_at for file in claim.files) for claim in claims]
            rows = [entry.row for entry in entries]
            self._take_and_read(entries, now, dict(zip(rows, came, strict=True)))
        finally:
            with contextlib.suppress(OSError):  # it is empty where nothing could be taken
                group.rmdir()

    def _take_and_read(
        self,
        entries: Sequence[Entry],
        now: float,
        came_at: Mapping[int, float] | None = None,
        within_s: float = _READ_S,
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
        self._unread.extend((entry, (came_at or {}).get(entry.row)) for entry in taken)
        self.read_on(now, within_s)

    def _take(self, entry: Entry, now: float) -> Entry | None:
        """Move the files of a claim.

        Returns:
            The entry, with a reason if the files must go to failed/; None if all of them stay.
        """
        if entry.claim.folder.originals == "leave":
            return entry
        for file in entry.claim.files:
            if file.path.exists():
                continue
            try:
                take_file(
                    entry.claim.folder.path / file.relative,
                    file.path,
                    max_copy_bytes=self.limits.max_file_mb * 1e6,
                )
            except (FileNotFoundError, BlockingIOError) as error:
                return self._put_back(entry, error)
            except OSError as error:
                if error.errno in NO_SPACE:
                    raise
                self._refuse(entry.claim.folder.path / file.relative, error, now)
                return self._put_back(entry, error)
            self._untakeable.pop(entry.claim.folder.path / file.relative, None)
        return entry

    def _refuse(self, origin: Path, error: OSError, now: float) -> None:
        """Remember a file that the system does not let go, and log it once."""
        before = self._untakeable.get(origin)
        wait_s = min(_LONGEST_WAIT_S, 2 * before.wait_s) if before else _FIRST_WAIT_S
        why = f"cannot be taken out of {shown(origin.parent)}: {error.strerror or error}"
        notice = before.notice if before else Notice(origin, f"{why}; it is tried again", now)
        if before is None:
            _log.warning("cannot_be_taken", photo=shown(origin), why=why)
        self._untakeable[origin] = _Untakeable(now + wait_s, wait_s, notice)

    def _put_back(self, entry: Entry, error: OSError) -> Entry | None:
        """Return to the inbox what was taken of a claim; refuse it if that fails, too."""
        photo = shown(entry.claim.files[0].relative)
        _log.info("not_claimed", photo=photo, recipe=entry.recipe, why=str(error))
        try:
            for file in entry.claim.files:
                origin = entry.claim.folder.path / file.relative
                if file.path.exists():
                    move_to_free(file.path, origin.parent, origin.name, f"{entry.row:08x}")
        except OSError as again:
            first, second = (os_error_text(e, entry.claim.labels) for e in (error, again))
            why = f"not all of it could be taken ({first}), nor put back ({second})"
            return replace(entry, reason=why)
        self._forget(entry)
        return None

    def _forget(self, entry: Entry) -> None:
        """Drop the entry of a claim of which nothing was taken; its files are found anew."""
        self._ledger.forget([entry.row])
        for file in entry.claim.files:
            origin = entry.claim.folder.path / file.relative
            if origin not in self._untakeable:
                self._look_again(origin)

    def _record(
        self,
        entries: Sequence[Entry],
        read: Sequence[tuple[int, ClaimedFiles, str]],
        now: float,
        came_at: Mapping[int, float] | None = None,
    ) -> None:
        """Queue jobs whose files have been read."""
        self._ledger.queue(read, now, came_at)
        for entry in entries:
            _log.info(
                "claimed",
                job=entry.row,
                recipe=entry.recipe or None,
                photo=shown(entry.claim.files[0].relative),
            )

    def _inspect(self, entry: Entry) -> tuple[ClaimedFiles, str]:
        """The files of a claim with digests and headers, and the reason of a refusal or ""."""
        if entry.reason:
            return entry.claim, entry.reason
        try:
            return replace(entry.claim, files=tuple(map(self._hash, entry.claim.files))), ""
        except PhotoError as error:
            return entry.claim, str(error)
        except OSError as error:
            return entry.claim, os_error_text(error, entry.claim.labels)

    def _hash(self, file: ClaimedFile) -> ClaimedFile:
        status = file.path.lstat()  # before the hash, so that a write meanwhile is noticed later
        if not stat.S_ISREG(status.st_mode):
            raise PhotoError(shown(file.relative), "it is not a regular file any more")
        refuse_large_file(status.st_size, shown(file.relative.name), self.limits)
        header = None
        if file.role == "photo":
            header = read_header(file.path, self.limits, name=file.relative.name)
        digest = sha256_of(file.path)
        self._file_hashed()
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
    companions = [(a, "companion") for a in claim.companions]
    roles = [(a, "photo") for a in claim.arrivals] + sides + companions
    files = tuple(file(a, role, position) for position, (a, role) in enumerate(roles))
    return ClaimedFiles(claim.arrivals[0].folder, claim.stem, files)
