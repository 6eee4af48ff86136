"""Claims become queued jobs: files move to the station's work folder, and the ledger gets rows.

Claims are taken in groups that share commits and fsyncs. The intent is recorded before any file is
moved and the digests after, so that a crash at any point loses nothing. The reader process hashes
the files, and copies those that lie on another disk; the loop goes on meanwhile.
"""

import contextlib
import errno
import secrets
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import structlog

from daemon.config.station import Notice, Station
from daemon.intake.arrivals import Arrival, Claim
from daemon.intake.file_reader import FileReads
from daemon.intake.reader_process import Answer, ClaimQuestion, ClaimRead, NotTaken, Refused
from daemon.intake.scanner import is_away
from daemon.jobs.accounting import StageDuration
from daemon.jobs.failure_reasons import NO_REASON, Reason
from daemon.jobs.ledger.entries import ClaimedFile, ClaimedFiles, Entry
from daemon.jobs.ledger.writer import Ledger
from daemon.system.clock import is_over
from daemon.system.files import (
    NO_SPACE,
    fit_name,
    os_error_text,
    shown,
    sync_folders,
)
from daemon.system.safe_open import sync_beneath
from daemon.system.shared_folder import copy_part, give_back, take_file

_log = structlog.get_logger()

GROUP = 256
"""Most claims that share one pair of commits and fsyncs."""

_AWAY_S = 10.0
"""Seconds between two looks for the disk of a bulk job."""

_MAX_UNREAD = 1024
"""Claims that wait to be read beyond which nothing more is claimed."""

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


@dataclass
class _Unread:
    """A claim that is recorded and not queued yet.

    Attributes:
        entry: The claim as intended.
        came_at: When it came into its inbox, UTC seconds since the epoch; None if not known.
        answer: What its files are, once they have been read.
    """

    entry: Entry
    came_at: float | None = None
    answer: ClaimRead | Refused | NotTaken | None = None


class Claimer:
    """Takes files out of the inboxes, has them hashed and queues jobs.

    Attributes:
        reads: Reads files.
    """

    def __init__(
        self,
        station: Station,
        ledger: Ledger,
        reads: FileReads,
        look_again: Callable[[Path], None],
        *,
        crashes: int,
        attempts: int,
    ) -> None:
        """Claim for one station.

        Args:
            station: The station whose work folder receives the files.
            ledger: Where jobs are recorded.
            reads: Reads files.
            look_again: Called with files that the inbox must look at again.
            crashes: Times that the daemon may be killed while a file is read, before that counts
                as the file's fault.
            attempts: Times that a file may change while it is restored.
        """
        self._station = station
        self._ledger = ledger
        self.reads = reads
        self._look_again = look_again
        self._crashes = crashes
        self._attempts = attempts
        self._unread: dict[int, _Unread] = {}
        self._suspects: deque[Entry] = deque()
        """Claims to be read one after another, with nothing beside them; then `_interrupted`."""
        self._interrupted: list[Entry] = []
        self._away: dict[int, tuple[_Unread, float]] = {}
        """Claims of bulk jobs whose disk is away, each with when it is looked for, in UTC."""
        self._untakeable: dict[Path, _Untakeable] = {}

    @property
    def away(self) -> int:
        """Claims of bulk jobs that are read once their disk is back."""
        return len(self._away)

    @property
    def is_full(self) -> bool:
        """Whether nothing more is to be claimed until some of what was taken has been read."""
        return bool(self._suspects or self._interrupted) or len(self._unread) >= _MAX_UNREAD

    def queue_read(self, now: float) -> None:
        """Queue the jobs whose files have been read since the last call.

        Args:
            now: UTC seconds since the epoch.

        Raises:
            OSError: The disk is too full to copy a file; its claim is begun again by `resume`.
            LedgerError: They cannot be queued; the next call tries again.
        """
        for row, (unread, at) in list(self._away.items()):
            if is_over(at, now, _AWAY_S):
                del self._away[row]
                self._ask(unread)
        answered = [one for one in self._unread.values() if one.answer is not None]
        for start in range(0, len(answered), GROUP):
            self._queue_group(answered[start : start + GROUP], now)
        if not self._unread and self._suspects:
            entry = self._suspects.popleft()
            self._ledger.count_crash([entry.row])
            self._take_and_ask([entry], now)
        elif not self._unread and self._interrupted:
            entries, self._interrupted = self._interrupted, []
            self._ledger.count_crash([entry.row for entry in entries])
            self._take_and_ask(entries, now)

    def close(self) -> None:
        """Tell the next start that claims were interrupted by an end that no file is to blame for.

        Raises:
            LedgerError: That cannot be recorded.
        """
        self._ledger.expect_interruption(list(self._unread))

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
        self._take_and_ask(self._begun(now), now)

    def recover(self, now: float) -> None:
        """Prepare to finish claims that the end of a former daemon interrupted.

        One of their files may have killed it. What was interrupted once is read together with
        others, what was interrupted again alone and after a commit that counts it.
        """
        for entry in self._begun(now):
            if entry.crashes <= 0:
                self._interrupted.append(entry)
            elif entry.crashes < self._crashes:
                self._suspects.append(entry)
            else:
                why = f"the daemon was killed {entry.crashes + 1} times while it read this"
                self._take_and_ask([replace(entry, reason=Reason(why))], now)
        self.queue_read(now)

    def _begun(self, now: float) -> list[Entry]:
        """Half-made claims that nobody sees to and of which some file can be found.

        Those of which none can be found are forgotten, unless their disk is away.
        """
        known = {entry.row for entry in (*self._suspects, *self._interrupted)}
        known |= self._unread.keys() | self._away.keys()
        entries = [e for e in self._ledger.in_state("claiming") if e.row not in known]
        begun = []
        for entry in entries:
            if any(file.path.exists() for file in entry.claim.files):
                begun.append(entry)
            elif is_away(entry.claim.folder):
                self._wait_for_disk(entry, now)
            else:
                self._forget(entry)
        return begun

    def _wait_for_disk(self, entry: Entry, now: float) -> None:
        self._away[entry.row] = _Unread(entry), now + _AWAY_S

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

    def read_again(self, entry: Entry) -> None:
        """Read the files of a claim that is begun again, where they lie."""
        self._ask(_Unread(entry))

    def read_changed(self, entry: Entry) -> None:
        """Read files again that changed while they were restored, or give them up.

        Args:
            entry: A queued job.
        """
        changes = entry.attempts + 1
        self._ledger.begin_again(entry.row)
        if changes >= self._attempts:
            tries = f"{changes} tries are used up" if changes > 1 else "its only try is used up"
            why = f"it changed while it was restored, and {tries}; retry it when it is complete"
            entry = replace(entry, reason=Reason(why))
        self._ask(_Unread(entry))

    def _claim_group(self, claims: Sequence[Claim], now: float) -> None:
        group = self._station.work / secrets.token_hex(8)
        group.mkdir()
        intents = []
        for number, claim in enumerate(claims):
            refusal = Reason(claim.refusal, claim.remedy)
            intents.append((claim.recipe, _claimed(claim, group, number), refusal))
        entries: list[Entry] = []
        try:
            entries = self._ledger.intend(intents)
            came = [max(file.came_at for file in claim.files) for claim in claims]
            rows = [entry.row for entry in entries]
            self._take_and_ask(entries, now, dict(zip(rows, came, strict=True)))
        finally:
            if not any(entry.row in self._unread for entry in entries):
                with contextlib.suppress(OSError):  # it is empty where nothing could be taken
                    group.rmdir()

    def _take_and_ask(
        self,
        entries: Sequence[Entry],
        now: float,
        came_at: Mapping[int, float] | None = None,
    ) -> None:
        taken = [kept for entry in entries if (kept := self._take(entry, now)) is not None]
        moved = [e for e, away in taken if e.claim.folder.originals != "leave" and not away]
        sync_folders(file.path.parent for e in moved for file in e.claim.files)
        emptied = {(e.claim.folder.path, f.relative.parent) for e in moved for f in e.claim.files}
        for root, folder in emptied:
            sync_beneath(root, folder.parts)
        for entry, origins in taken:
            self._ask(_Unread(entry, (came_at or {}).get(entry.row)), origins)

    def _ask(self, unread: _Unread, origins: tuple[Path, ...] = ()) -> None:
        """Have the files of a claim read; one that has a reason goes to failed/ as it is."""
        entry = unread.entry
        self._unread[entry.row] = unread
        if entry.reason:
            unread.answer = Refused(entry.reason.why, entry.reason.remedy)
        else:
            self.reads.ask(ClaimQuestion(entry.claim, origins), partial(self._answered, unread))

    def _answered(self, unread: _Unread, answer: Answer) -> None:
        if isinstance(answer, ClaimRead | Refused | NotTaken):
            unread.answer = answer

    def _queue_group(self, group: Sequence[_Unread], now: float) -> None:
        """Queue the jobs of a group, and put back what could not be taken."""
        read: list[tuple[int, ClaimedFiles, Reason]] = []
        no_space: OSError | None = None
        for one in group:
            match one.answer:
                case ClaimRead():
                    read.append((one.entry.row, one.answer.claim, NO_REASON))
                    for file in one.entry.claim.files:
                        self._untakeable.pop(one.entry.claim.folder.path / file.relative, None)
                case Refused() if not one.entry.reason and is_away(one.entry.claim.folder):
                    del self._unread[one.entry.row]
                    self._wait_for_disk(one.entry, now)
                case Refused():
                    reason = Reason(one.answer.why, one.answer.remedy)
                    read.append((one.entry.row, one.entry.claim, reason))
                case NotTaken() if one.answer.error.errno in NO_SPACE:
                    no_space = one.answer.error
                    del self._unread[one.entry.row]
                case NotTaken():
                    refused = self._not_taken(one.entry, one.answer.origin, one.answer.error, now)
                    if refused is not None:
                        read.append((refused.row, refused.claim, refused.reason))
                    else:
                        del self._unread[one.entry.row]
                        self._remove_if_empty(one.entry)
        came_at = {one.entry.row: one.came_at for one in group if one.came_at is not None}
        self._ledger.queue(read, now, came_at)
        queued = {row for row, _, _ in read}
        for one in group:
            if one.entry.row in queued:
                del self._unread[one.entry.row]
        _log_claimed([one.entry for one in group if one.entry.row in queued])
        if no_space is not None:
            raise no_space

    def _take(self, entry: Entry, now: float) -> tuple[Entry, tuple[Path, ...]] | None:
        """Move the files of a claim.

        Returns:
            The entry, with a reason if the files must go to failed/, and where they are to be
            copied from if they lie on another disk; None if all of them stay.
        """
        folder = entry.claim.folder
        if folder.originals == "leave":
            return entry, ()
        origins = tuple(folder.path / file.relative for file in entry.claim.files)
        for file, origin in zip(entry.claim.files, origins, strict=True):
            if file.path.exists():
                continue
            try:
                take_file(origin, file.path, folder.path)
            except OSError as error:
                if error.errno == errno.EXDEV:
                    return entry, origins
                if error.errno in NO_SPACE:
                    raise
                refused = self._not_taken(entry, origin, error, now)
                return (refused, ()) if refused is not None else None
            self._untakeable.pop(origin, None)
        return entry, ()

    def _not_taken(self, entry: Entry, origin: Path, error: OSError, now: float) -> Entry | None:
        """Put a claim back of which a file could not be taken; None if that succeeds."""
        if not isinstance(error, FileNotFoundError | NotADirectoryError | BlockingIOError):
            self._refuse(origin, error, now)
        return self._put_back(entry, error)

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
                    give_back(file.path, origin, entry.claim.folder.path, f"{entry.row:08x}")
        except OSError as again:
            first, second = (os_error_text(e, entry.claim.labels) for e in (error, again))
            why = f"not all of it could be taken ({first}), nor put back ({second})"
            return replace(entry, reason=Reason(why))
        self._forget(entry)
        return None

    def _remove_if_empty(self, entry: Entry) -> None:
        """Remove the work folder of a claim that was put back, unless others still go there."""
        group = entry.claim.files[0].path.parent
        others = (other.entry.claim.files[0].path.parent for other in self._unread.values())
        if group not in others and group.parent == self._station.work:
            with contextlib.suppress(OSError):
                group.rmdir()

    def _forget(self, entry: Entry) -> None:
        """Drop the entry of a claim of which nothing was taken; its files are found anew."""
        self._ledger.forget([entry.row])
        if entry.claim.folder.originals != "leave":
            for file in entry.claim.files:  # a copy may have been killed
                copy_part(file.path).unlink(missing_ok=True)
        for file in entry.claim.files:
            origin = entry.claim.folder.path / file.relative
            if origin not in self._untakeable:
                self._look_again(origin)


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
    return ClaimedFiles(claim.arrivals[0].folder, claim.stem, files, claim.changes)


def _log_claimed(entries: Sequence[Entry]) -> None:
    """Log a line for each job, but one for all of a bulk job, which may have 100,000."""
    of_bulk = Counter(entry.claim.folder.bulk for entry in entries)
    for entry in entries:
        if not entry.claim.folder.bulk:
            recipe = entry.recipe or None
            _log.info("claimed", row=entry.row, recipe=recipe, photo=entry.photo_name)
    for bulk, jobs in of_bulk.items():
        if bulk:
            _log.info("bulk_claimed", bulk=bulk, jobs=jobs)
