"""What must hold whatever happened: the checker, which looks at files and at nothing else.

Each file that was dropped is in one place, whole: in an inbox, in the work folder, in the archive
with one whole result, or in failed/ with a reason. What is in an outbox belongs to a record of a
photograph that was dropped. What is outside the station is as it was.

The checker knows photographs by the digest of their content. It does not ask the ledger, nor use
code of the daemon: either could be wrong in the same way as what is checked.
"""

import hashlib
import json
import os
import stat
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from PIL import Image

Originals = Literal["archive", "cleared", "delete", "leave"]
Kind = Literal["inbox", "work", "archive", "failed"]

_REASON = ".error.json"
_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")


@dataclass(frozen=True)
class Dropped:
    """A file that was dropped.

    Attributes:
        digest: sha256 of its content, hex.
        name: What people know it by.
        lead: Digest of the photograph that it goes with; its own if it is one.
        sound: Nothing is wrong with it, so that it must not fail.
        originals: What is to become of it once its result is complete; "cleared": it is archived,
            and housekeeping may remove it from there.
        waits: Nothing is to become of it: it is no photograph, or lacks what belongs to it.
        may_stay: It may end without a result and without a reason, as one of a cancelled bulk job.
    """

    digest: str
    name: str
    lead: str
    sound: bool = True
    originals: Originals = "archive"
    waits: bool = False
    may_stay: bool = False

    @property
    def is_lead(self) -> bool:
        """Whether it is a photograph with a result of its own."""
        return self.digest == self.lead


@dataclass(frozen=True)
class Places:
    """The folders of one station.

    Attributes:
        inboxes: Folders that photographs are dropped into or restored where they lie.
        work: Folder of claimed originals.
        archives: Folders of finished originals.
        failed: Folder of what failed.
        outboxes: Folders of results.
    """

    inboxes: tuple[Path, ...]
    work: Path
    archives: tuple[Path, ...]
    failed: Path
    outboxes: tuple[Path, ...]


@dataclass(frozen=True)
class Violation:
    """Something that must not be.

    Attributes:
        what: Kind of violation, such as "lost".
        photo: Name of the photograph or path of the file.
        why: What was found.
    """

    what: str
    photo: str
    why: str


@dataclass
class Found:
    """What was found of the files that were dropped.

    Attributes:
        ended: Digests of photographs that ended as they should, restored or failed.
        restored: Digests of photographs with a whole result.
        failed: Reasons of photographs that failed, by digest.
        files: All files of theirs: originals, results, records and reasons.
        violations: What must not be.
    """

    ended: set[str] = field(default_factory=set)
    restored: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    files: set[Path] = field(default_factory=set)
    violations: list[Violation] = field(default_factory=list)


@dataclass(frozen=True)
class _Result:
    """A record in an outbox with the files that it names."""

    record: Path
    job: str
    files: tuple[Path, ...]
    fault: str


@dataclass(frozen=True)
class _Scan:
    """What lies where.

    Attributes:
        where: Where the content of each digest lies, outside of the outboxes.
        results: Results by the digests of their photographs.
        unexplained: Files in outboxes that belong to no record.
        reasons: Reason files and what they say, by the path of the original.
    """

    where: Mapping[str, Sequence[tuple[Kind, Path]]]
    results: Mapping[str, Sequence[_Result]]
    unexplained: Sequence[Path]
    reasons: Mapping[str, tuple[Path, str]]


def check(dropped: Sequence[Dropped], places: Places, *, at_rest: bool) -> Found:
    """Look for every file that was dropped and for every result.

    Args:
        dropped: All files that were dropped and not taken away since.
        places: Where they may be.
        at_rest: Nothing is in flight and all faults are healed, so that each photograph must have
            ended. Otherwise a file may be in two places for a moment, and a result may lack its
            record.
    """
    found = Found()
    scan = _scan(places)
    groups: dict[str, list[Dropped]] = defaultdict(list)
    for one in dropped:
        groups[one.lead].append(one)
        _check_place(one, scan.where.get(one.digest, ()), found, at_rest=at_rest)
    for lead, group in groups.items():
        _check_end(lead, group, scan, found, at_rest=at_rest)
    for digest in scan.results.keys() - {one.digest for one in dropped}:
        for result in scan.results[digest]:
            why = "a result of what was never dropped, or was finished before"
            found.violations.append(Violation("doubled", str(result.record), why))
    if at_rest:
        found.violations += [
            Violation("half-written", str(path), "belongs to no record")
            for path in scan.unexplained
        ]
    return found


def digest_of(path: Path) -> str:
    """sha256 of a file's content, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tree_state(root: Path) -> Mapping[str, str]:
    """What everything below a folder is: kind, mode, size, time of change, content or target."""
    return {str(path.relative_to(root)): _state(path) for path in sorted(_below(root))}


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[Violation]:
    """What differs between two states of a tree that must not change."""
    return [
        Violation("outside changed", name, f"{before.get(name, '-')} -> {after.get(name, '-')}")
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def _state(path: Path) -> str:
    status = path.lstat()
    content = ""
    if stat.S_ISREG(status.st_mode):
        content = digest_of(path)
    elif stat.S_ISLNK(status.st_mode):
        content = str(path.readlink())
    when = 0 if stat.S_ISDIR(status.st_mode) else status.st_mtime_ns
    size = 0 if stat.S_ISDIR(status.st_mode) else status.st_size
    return f"{status.st_mode:o} {status.st_uid}:{status.st_gid} {size} {when} {content}"


def _below(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            yield Path(folder, name)


def _regular(root: Path) -> Iterator[Path]:
    for path in _below(root):
        try:
            if stat.S_ISREG(path.lstat().st_mode):
                yield path
        except FileNotFoundError:
            continue


def _scan(places: Places) -> _Scan:
    results, unexplained = _results(places.outboxes)
    reasons = {}
    for path in _regular(places.failed):
        if path.name.endswith(_REASON):
            content = _json(path)
            if isinstance(content, dict) and content.get("why"):
                reasons[str(content.get("origin"))] = path, str(content["why"])
    return _Scan(_originals(places), results, unexplained, reasons)


def _originals(places: Places) -> dict[str, list[tuple[Kind, Path]]]:
    """Where the content of each digest lies, outside of the outboxes."""
    roots: list[tuple[Kind, Path]] = [("inbox", path) for path in places.inboxes]
    roots += [("archive", path) for path in places.archives]
    roots += [("work", places.work), ("failed", places.failed)]
    where: dict[str, list[tuple[Kind, Path]]] = defaultdict(list)
    for kind, root in roots:
        for path in _regular(root):
            try:
                where[digest_of(path)].append((kind, path))
            except FileNotFoundError:
                continue
    return where


def _results(outboxes: Iterable[Path]) -> tuple[dict[str, list[_Result]], list[Path]]:
    """Results by the digests of their photographs, and files that belong to no record."""
    files = [path for outbox in outboxes for path in _regular(outbox)]
    results: dict[str, list[_Result]] = defaultdict(list)
    explained: set[Path] = set()
    for path in files:
        if path.suffix != ".json":
            continue
        content = _json(path)
        outputs = content.get("outputs") if isinstance(content, dict) else None
        if not isinstance(content, dict) or not isinstance(outputs, list):
            continue
        outputs = [*outputs, *content.get("sidecars", ())]
        named = tuple(path.parent / str(output["file"]) for output in outputs)
        fault = next(
            (
                why
                for file, output in zip(named, outputs, strict=True)
                if (why := _fault(file, output))
            ),
            "",
        )
        explained |= {path, *named}
        result = _Result(path, str(content.get("job")), named, fault)
        for given in content.get("inputs", []):
            if given.get("role") == "photo":
                results[str(given.get("sha256"))].append(result)
    return results, [path for path in files if path not in explained]


def _fault(file: Path, output: Mapping[str, object]) -> str:
    """What is wrong with a file that a record names; "" if it is whole."""
    try:
        if digest_of(file) != output["sha256"]:
            return f"{file} is not what its record says"
        if file.suffix in _PICTURES:
            with Image.open(file) as image:
                image.load()
                if image.size != (output["width"], output["height"]):
                    return f"{file} has another size than its record says"
    except Exception as error:  # a decoder raises what it likes
        return f"{file} cannot be read: {error}"
    return ""


def _check_place(
    one: Dropped, where: Sequence[tuple[Kind, Path]], found: Found, *, at_rest: bool
) -> None:
    """See that a file is whole, in one place."""
    found.files |= {path for _, path in where}
    kinds = [kind for kind, _ in where]
    if not kinds and one.originals not in ("cleared", "delete"):
        found.violations.append(Violation("lost", one.name, "its content is nowhere"))
    elif one.originals == "leave" and "inbox" not in kinds:
        found.violations.append(Violation("lost", one.name, f"left its place: {_list(where)}"))
    elif at_rest and len(kinds) > 1:
        found.violations.append(Violation("doubled", one.name, f"lies in {_list(where)}"))
    elif at_rest and "work" in kinds:
        found.violations.append(Violation("stuck", one.name, f"is at work still: {_list(where)}"))
    elif at_rest and one.waits and kinds != ["inbox"]:
        found.violations.append(Violation("taken", one.name, f"should wait, is {_list(where)}"))


def _check_end(
    lead: str, group: Sequence[Dropped], scan: _Scan, found: Found, *, at_rest: bool
) -> None:
    """See that the files of a photograph ended together, restored or failed, and only once."""
    photo = next((one for one in group if one.is_lead), group[0])
    own = scan.results.get(lead, ())
    broken = next((result.fault for result in own if result.fault), "")
    jobs = [result.job for result in own]
    if broken:
        found.violations.append(Violation("half-written", photo.name, broken))
    if len(set(jobs)) < len(jobs):
        records = ", ".join(str(result.record) for result in own)
        found.violations.append(Violation("doubled", photo.name, f"one job, records {records}"))
    if own and not broken:
        found.restored.add(lead)
        found.files |= {path for result in own for path in (result.record, *result.files)}
    reason = _reason(photo, scan, found)
    if reason:
        found.failed[lead] = reason
    if photo.waits or not at_rest:
        return
    kinds = {kind for one in group for kind, _ in scan.where.get(one.digest, ())}
    problem = _problem(photo, kinds, restored=bool(own), reason=reason)
    if problem is not None:
        found.violations.append(problem)
    else:
        found.ended.add(lead)


def _problem(photo: Dropped, kinds: set[Kind], *, restored: bool, reason: str) -> Violation | None:
    """What is wrong with how a photograph ended; None if nothing is."""
    if photo.sound and reason:
        return Violation("sound, failed", photo.name, reason.splitlines()[0])
    if len(kinds) > 1:
        return Violation("separated", photo.name, f"its files are in {', '.join(sorted(kinds))}")
    if kinds == {"failed"}:
        return None if reason else Violation("failed", photo.name, "without a reason")
    if photo.originals == "leave":
        if restored or reason or photo.may_stay:
            return None
        return Violation("stuck", photo.name, "neither restored nor failed")
    if kinds == {"inbox"}:
        return Violation("stuck", photo.name, "is in its inbox still")
    if not restored:
        return Violation("lost", photo.name, "has no result, although its original was finished")
    return None


def _reason(photo: Dropped, scan: _Scan, found: Found) -> str:
    """Why a photograph failed: beside it in failed/, or for its place if it was left there."""
    for kind, path in scan.where.get(photo.digest, ()):
        beside = path.with_name(path.name + _REASON)
        if kind == "failed" and isinstance(content := _json(beside), dict) and content.get("why"):
            found.files.add(beside)
            return str(content["why"])
        if photo.originals == "leave" and str(path) in scan.reasons:
            reason, why = scan.reasons[str(path)]
            found.files.add(reason)
            return why
    return ""


def _json(path: Path) -> object:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None


def _list(where: Sequence[tuple[Kind, Path]]) -> str:
    return ", ".join(f"{kind} ({path})" for kind, path in where)
