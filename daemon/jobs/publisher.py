"""The publisher: carries out what the ledger says is intended, after a crash too.

It publishes results with their records, moves originals to archive/ or failed/, and records each
end. An entry that the file system refuses waits and is tried again; it holds up no other. While a
folder is away (read-only, unmounted, unreachable) what goes there waits for as long as that takes;
any other fault has a limit. What must be copied to another disk is tried again once its copy is
there, and counts as neither.
"""

import contextlib
import errno
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import structlog

from daemon.config.station import Notice, Station
from daemon.jobs.access import Access
from daemon.jobs.accounting import Delivered, JobEnded, StageDuration
from daemon.jobs.case_folding import FoldedNames, make_alike
from daemon.jobs.failure_reasons import Reason
from daemon.jobs.file_copies import CopyPendingError, DirectCopies, FileCopies
from daemon.jobs.job_log import JobLog
from daemon.jobs.ledger.entries import Entry, Original
from daemon.jobs.ledger.writer import Ledger
from daemon.jobs.originals import reject, retire
from daemon.jobs.publication import Publication, publish
from daemon.jobs.record import notes_of, reason_of
from daemon.jobs.staging import discard
from daemon.photo.notes import Note
from daemon.system.clock import is_over
from daemon.system.disk_probe import DiskProbe
from daemon.system.files import AWAY, NO_SPACE, as_text, os_error_in_words, shown
from daemon.system.mounts import MountWatch

_log = structlog.get_logger()

_LONGEST_WAIT_S = 60.0
"""Longest wait in seconds between two tries; the wait doubles up to that."""

_GIVES_UP_S = 10.0
"""Seconds a folder must stay away before `once` leaves what goes there to the next run."""


@dataclass(frozen=True)
class _Stuck:
    """An entry that the file system refused.

    Attributes:
        again_at: When to try again, UTC seconds since the epoch.
        wait_s: Seconds from the last try until then.
        since: When it was refused first, UTC seconds since the epoch.
        tries: How often it was refused, but for a full disk.
        root: The outbox, archive or folder of failed originals that it goes to.
        away: That folder is away.
        full: Its disk is full.
        why: What the file system said.
        is_news: The try before was not refused for the same reason.
        notice: What people are told.
    """

    again_at: float
    wait_s: float
    since: float
    tries: int
    root: Path
    away: bool
    full: bool
    why: str
    is_news: bool
    notice: Notice


@dataclass(frozen=True)
class _Copying:
    """An entry that waits for copies.

    Attributes:
        copies: Which; asked for when they were all there is to wait for.
        since: Monotonic time at which the first was asked for.
    """

    copies: CopyPendingError
    since: float


class Publisher:
    """Carries out intents; it remembers only what it could not do yet.

    Attributes:
        mounts: Knows which folders lay on disks that are not mounted now.
        disks: Knows which folders lie on disks that do not answer.
        copies: Copies to other disks.
    """

    def __init__(
        self,
        station: Station,
        ledger: Ledger,
        access: Access,
        copies: FileCopies | None = None,
        *,
        attempts: int,
        retry_s: float,
    ) -> None:
        """Publish for one station.

        Args:
            station: Has the job log.
            ledger: Holds the intents.
            access: Permissions of what is written.
            copies: Copies to other disks; in the calls themselves if None.
            attempts: Tries before a result that cannot be published counts as failed.
            retry_s: Seconds between tries.
        """
        self._ledger = ledger
        self._roots = (station.outbox, station.archive, station.failed)
        self._access = access
        self._attempts = attempts
        self._retry_s = retry_s
        self._job_log = JobLog(station.logs)
        self.copies = copies or DirectCopies()
        self._copying: dict[int, _Copying] = {}
        self._names = FoldedNames()
        self._stuck: dict[int, _Stuck] = {}
        self.mounts = MountWatch(station.mounts)
        self.disks = DiskProbe()
        self._unreachable: dict[Path, OSError | None] = {}

    def finish(self, now: float, at_fault: Collection[int] = ()) -> Delivered:
        """Carry out every intent in the ledger.

        Args:
            now: UTC seconds since the epoch.
            at_fault: Rows that fail because the photograph itself is at fault.
        """
        self._unreachable.clear()
        self.copies.deliver()
        took, no_space = self._publish(now)
        archived: list[Original] = []
        done, full = self._each("published", partial(self._retire, archived), now)
        if done:
            ended = [(entry.row, where) for entry, where in done]
            self._ledger.end(ended, "done", now, archived)
        failed, also_full = self._each("failing", self._reject, now)
        if failed:
            self._ledger.end([(entry.row, where) for entry, where in failed], "failed", now)
        jobs = [JobEnded(e.recipe, "restored" if e.fence else "duplicate") for e, _ in done]
        for entry, _ in failed:
            own_fault = entry.row in at_fault or not entry.fence
            jobs.append(JobEnded(entry.recipe, "rejected" if own_fault else "failed"))
        return Delivered(tuple(jobs), tuple(took), no_space or full or also_full)

    def notices(self) -> tuple[Notice, ...]:
        """Files that cannot be moved or published yet, and why."""
        lost = self._job_log.lost
        what = f"the job log cannot be written, {lost} lines are lost"
        away: dict[Path, list[_Stuck]] = {}
        for stuck in self._stuck.values():
            if stuck.away:
                away.setdefault(stuck.root, []).append(stuck)
        return (
            *(stuck.notice for stuck in self._stuck.values() if not stuck.away),
            *(
                Notice(root, f"{_for_people(waiting)}; it is tried again", waiting[0].since)
                for root, waiting in away.items()
            ),
            *((Notice(self._job_log.folder, what, time.time()),) if lost else ()),
        )

    @property
    def full_folder(self) -> Path | None:
        """A folder whose disk is full, so that a result, a record or an original waits for it."""
        return next((stuck.root for stuck in self._stuck.values() if stuck.full), None)

    def waiting_for(self, folder: Path) -> int:
        """How many photographs wait for an outbox, an archive or a folder of failed originals."""
        return sum(stuck.away and stuck.root == folder for stuck in self._stuck.values())

    def given_up(self, now: float) -> int:
        """Jobs for which it is no use to wait: their folder stays away, or all was tried."""
        return len(self._hopeless(now))

    def held_up(self, now: float) -> str:
        """Why jobs are given up, or ""."""
        hopeless = self._hopeless(now)
        return f"{shown(hopeless[0].root)}: {_for_people(hopeless)}" if hopeless else ""

    def _hopeless(self, now: float) -> list[_Stuck]:
        return [
            stuck
            for row, stuck in self._stuck.items()
            if self._is_hopeless(stuck, now) and not self._is_copying(row)
        ]

    def _is_hopeless(self, stuck: _Stuck, now: float) -> bool:
        if stuck.away:
            return now - stuck.since >= _GIVES_UP_S
        return stuck.tries > self._attempts

    def _publish(self, now: float) -> tuple[list[StageDuration], bool]:
        entries = [e for e in self._ledger.in_state("publishing") if self._is_due(e, now)]
        if not entries:
            return [], False
        began = time.monotonic()
        publications = [Publication.load(entry.publication) for entry in entries]
        ready = [
            self._with_folder(one, entry.claim.folder.outbox)
            for entry, one in zip(entries, publications, strict=True)
        ]
        sent = [one for one in ready if isinstance(one, Publication)]
        published = iter(publish(sent, self._access, self._names, self.copies))
        results = [one if isinstance(one, OSError) else next(published) for one in ready]
        good: list[tuple[int, str, Path]] = []
        noted: dict[int, tuple[Note, ...]] = {}
        since: list[tuple[str, float]] = []
        no_space = False
        for entry, publication, result in zip(entries, publications, results, strict=True):
            if isinstance(result, CopyPendingError):
                self._await(entry, result, began)
                continue
            copying = self._copying.pop(entry.row, None)
            if isinstance(result, OSError):
                no_space |= self._not_published(entry, result, now)
                continue
            since.append((entry.recipe, copying.since if copying else began))
            good.append((entry.row, entry.id, result))
            noted[entry.row] = notes = notes_of(publication.record)
            _log.info(
                "restored",
                row=entry.row,
                recipe=entry.recipe,
                photo=entry.photo_name,
                seconds=publication.record.get("seconds"),
                result=shown(result),
                **({"notes": [str(note) for note in notes]} if notes else {}),
            )
            self._job_log.append({**publication.record, "result": as_text(result)}, now)
            self._stuck.pop(entry.row, None)
        self._ledger.publish(good, noted)
        for publication, result in zip(publications, results, strict=True):
            if isinstance(result, Path):
                self._discard(publication)
        ended = time.monotonic()
        return [
            StageDuration("publish", recipe, ended - start) for recipe, start in since
        ], no_space

    def _await(self, entry: Entry, copies: CopyPendingError, began: float) -> None:
        """Leave an entry alone until its copies have ended."""
        before = self._copying.get(entry.row)
        self._copying[entry.row] = _Copying(copies, before.since if before else began)

    def _is_copying(self, row: int) -> bool:
        waits = self._copying.get(row)
        return waits is not None and self.copies.is_pending(waits.copies.questions)

    def _discard(self, publication: Publication) -> None:
        """Remove what was staged, and copies of it that got no name."""
        self.copies.forget([publication.staging / staged for staged, _, _ in publication.files])
        discard(publication.staging)

    def _with_folder(self, publication: Publication, root: Path) -> Publication | OSError:
        """A publication into a folder that is there; or why nothing may be written there now."""
        if refused := self._reach(root):
            return refused
        try:
            return replace(publication, folder=self._folder(publication.folder, root))
        except OSError as error:
            return error

    def _folder(self, wanted: Path, root: Path) -> Path:
        """Make a folder below one of the outbox, the archive or failed/, or find one alike."""
        top = next((each for each in self._roots if root.is_relative_to(each)), root)
        return make_alike(wanted, top, self._access.group, self._names)

    def _not_published(self, entry: Entry, error: OSError, now: float) -> bool:
        """Have a publication tried again, a limited number of times if it is itself at fault.

        Returns:
            Whether the disk is full.
        """
        stuck = self._wait(entry, entry.claim.folder.outbox, error, now)
        if stuck.is_news:
            _log.warning("not_published", row=entry.row, photo=entry.photo_name, why=str(error))
        if stuck.away or error.errno in NO_SPACE:
            return error.errno in NO_SPACE
        self._ledger.count_attempt(entry.row)
        if entry.attempts + 1 >= self._attempts:
            why = os_error_in_words(error, entry.claim.folder.outbox)
            reason = Reason(f"the result could not be published: {why}", _remedy(error))
            self._ledger.fail([(entry.row, reason)])
            self._discard(Publication.load(entry.publication))
            del self._stuck[entry.row]
        return False

    def _each(
        self,
        state: Literal["published", "failing"],
        end: Callable[[Entry, float], Path | None],
        now: float,
    ) -> tuple[list[tuple[Entry, Path | None]], bool]:
        """End each entry of a state; those that the file system refuses wait.

        Returns:
            The entries that ended, each with where a failed one went, and whether the disk is full.
        """
        ended: list[tuple[Entry, Path | None]] = []
        no_space = False
        for entry in self._ledger.in_state(state):
            if not self._is_due(entry, now):
                continue
            folder = entry.claim.folder
            root = folder.failed if state == "failing" else folder.archive
            try:
                writes = state == "failing" or folder.originals == "archive"
                if writes and (unreachable := self._reach(root)):
                    raise unreachable
                ended.append((entry, end(entry, now)))
                self._stuck.pop(entry.row, None)
                self._copying.pop(entry.row, None)
            except CopyPendingError as pending:
                self._await(entry, pending, time.monotonic())
            except OSError as error:
                self._copying.pop(entry.row, None)
                stuck = self._wait(entry, root, error, now)
                if stuck.is_news:
                    photo = entry.photo_name
                    _log.warning("original_not_moved", row=entry.row, photo=photo, why=str(error))
                no_space |= error.errno in NO_SPACE
                if state == "published" and stuck.tries >= self._attempts and not stuck.away:
                    self._not_archived(entry, error)
        return ended, no_space

    def _not_archived(self, entry: Entry, error: OSError) -> None:
        """Send an original to failed/ that the archive will not take; its result stands."""
        if error.errno in NO_SPACE:
            return
        said = os_error_in_words(error, entry.claim.folder.archive)
        why = f"the result stands in the outbox; the original could not be archived: {said}"
        self._ledger.fail([(entry.row, Reason(why, _remedy(error)))])
        self.copies.forget([file.path for file in entry.claim.files])
        del self._stuck[entry.row]

    def _retire(self, archived: list[Original], entry: Entry, now: float) -> None:
        """Archive or remove the originals of a finished job, or leave them in their place."""
        if entry.claim.folder.originals == "leave":
            return
        if entry.claim.folder.originals == "delete":
            for file in entry.claim.files:
                file.path.unlink(missing_ok=True)
        else:
            archived += self._archive(entry, now)
        _remove_if_empty(entry)

    def _archive(self, entry: Entry, now: float) -> list[Original]:
        """Move the files of a job to the archive; returns what of it is there now."""
        files, root = entry.claim.files, entry.claim.folder.archive
        folder = self._folder(root / files[0].relative.parent, root)
        paths = retire(files, folder, entry.id[:8], self._access, self._names, self.copies)
        found: list[Original] = []
        for position, path in enumerate(paths):
            with contextlib.suppress(FileNotFoundError):  # somebody took it out of the work folder
                stat = path.stat()
                found.append(
                    Original(path, entry.row, position, stat.st_size, stat.st_mtime_ns, now)
                )
        return found

    def _reject(self, entry: Entry, now: float) -> Path:
        """Move the originals to failed/, with the reason; returns where the first of them is."""
        why = reason_of(entry, now)
        files, root = entry.claim.files, entry.claim.folder.failed
        wanted = root / files[0].relative.parent
        stuck = self._stuck.get(entry.row)
        if stuck is not None and not stuck.away and stuck.tries >= self._attempts:
            wanted = root  # the path is too long, or in the way
        kept = reject(
            *(files, self._folder(wanted, root), f"{entry.row:08x}", why),
            *(self._access, self._names, self.copies),
            moves=entry.claim.folder.originals != "leave",
        )
        _remove_if_empty(entry)
        _log.warning("failed", row=entry.row, photo=entry.photo_name, why=str(entry.reason))
        self._job_log.append(why, now)
        return kept

    def _is_due(self, entry: Entry, now: float) -> bool:
        if self._is_copying(entry.row):
            return False
        stuck = self._stuck.get(entry.row)
        return stuck is None or is_over(stuck.again_at, now, stuck.wait_s)

    def _wait(self, entry: Entry, root: Path, error: OSError, now: float) -> _Stuck:
        """Have an entry tried again later."""
        before = self._stuck.get(entry.row)
        if before is not None and before.root != root:
            before = None
        why = error.strerror or str(error)
        longest_s = max(self._retry_s, _LONGEST_WAIT_S)
        wait_s = min(longest_s, 2 * before.wait_s) if before else self._retry_s
        away = error.errno in AWAY
        what = f"{why}: {shown(error.filename or root)}; it is tried again"
        stuck = _Stuck(
            again_at=now + wait_s,
            wait_s=wait_s,
            since=before.since if before and before.away == away else now,
            tries=(before.tries if before else 0) + (error.errno not in NO_SPACE),
            root=root,
            away=away,
            full=error.errno in NO_SPACE,
            why=why,
            is_news=before is None or before.why != why,
            notice=Notice(entry.claim.folder.path / entry.claim.files[0].relative, what, now),
        )
        self._stuck[entry.row] = stuck
        return stuck

    def _reach(self, root: Path) -> OSError | None:
        """Why nothing may be written below a folder now; None if nothing is known against it."""
        if root not in self._unreachable:
            self._unreachable[root] = _why_away(root, self.mounts, self.disks)
        return self._unreachable[root]


def _why_away(root: Path, mounts: MountWatch, disks: DiskProbe) -> OSError | None:
    if not disks.answers(root):  # before anything else touches it
        return OSError(errno.ETIMEDOUT, "its disk does not answer", shown(root))
    if mounts.is_gone(root):
        return OSError(errno.ENODEV, "its disk is not mounted any more", shown(root))
    try:
        if root.is_symlink() and not root.exists():
            return OSError(errno.ENODEV, "this link leads nowhere", shown(root))
    except OSError as error:
        return error
    return None


def _remedy(error: OSError) -> str:
    """What to do where the file system refuses for good; "" where only it can tell."""
    if isinstance(error, FileExistsError | NotADirectoryError):
        return "move that file away, then retry"
    return "shorten the path, then retry" if error.errno == errno.ENAMETOOLONG else ""


def _for_people(waiting: Sequence[_Stuck]) -> str:
    return f"{waiting[-1].why}; {waiting_in_words(len(waiting))} for it"


def waiting_in_words(photographs: int) -> str:
    """How many photographs wait: "1 photograph waits"."""
    return "1 photograph waits" if photographs == 1 else f"{photographs} photographs wait"


def _remove_if_empty(entry: Entry) -> None:
    """Remove the claim's work folder once the last of its group has left."""
    if entry.claim.folder.originals != "leave":
        with contextlib.suppress(OSError):
            entry.claim.files[0].path.parent.rmdir()
