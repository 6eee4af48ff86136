"""Records: what was done to a photograph, with which weights and noise, and the numbers measured.

They are plain values for JSON. Whoever places the files adds their names: the name that
was planned may be taken by another file.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from daemon.jobs.ledger.entries import ClaimedFile, Entry
from daemon.messages.reports import Restored, StagedFile
from daemon.messages.tasks import Job
from daemon.photo import PROMPTS, Header
from daemon.photo.notes import Note, kind_of, note_of
from daemon.system.files import as_text

FORMAT = 1
"""Version of a record's keys; it grows when one changes its meaning."""

RETRY_HINT = (
    "Fix the cause named in `why`, then run `restored retry`, or drop the photograph in again."
)
"""Remedy that applies to any failure."""


def record_of(entry: Entry, job: Job, outcome: Restored, now: float) -> Mapping[str, object]:
    """The record of a job that has ended with a result.

    Args:
        entry: The job as the ledger knows it.
        job: What was to be done.
        outcome: What the executor reported.
        now: UTC seconds since the epoch.
    """
    return describe(job, outcome, entry.claim.inputs, now, attempt=entry.attempts + 1)


def reason_of(entry: Entry, now: float) -> Mapping[str, object]:
    """Why a job failed, for the file beside its original and for the job log.

    Args:
        entry: The job, with its reason.
        now: UTC seconds since the epoch.
    """
    return {
        "photos": [as_text(file.relative) for file in entry.claim.photos],
        "recipe": entry.recipe,
        "why": entry.reason.why,
        **({"remedy": entry.reason.remedy} if entry.reason.remedy else {}),
        **_what_to_do(entry.claim.folder.bulk),
        "origin": str(entry.claim.folder.path / entry.claim.files[0].relative),
        "attempts": entry.attempts + entry.deaths + 1,
        "at": utc(now),
    }


def _what_to_do(bulk: str) -> Mapping[str, object]:
    if not bulk:
        return {"what_to_do": RETRY_HINT}
    command = f"restored bulk retry {shlex.quote(bulk)}"
    again = f"Fix the cause named in `why`, then run `{command}`."
    return {"what_to_do": again, "bulk": bulk}


def describe(
    job: Job, outcome: Restored, files: Sequence[ClaimedFile], now: float, *, attempt: int = 1
) -> Mapping[str, object]:
    """The record of a job, for callers without a ledger; see `record_of`.

    Args:
        job: What was to be done.
        outcome: What the executor reported.
        files: The input files.
        now: UTC seconds since the epoch.
        attempt: The number of this try, from 1.
    """
    timing = asdict(outcome.timing)
    return {
        "format": FORMAT,
        **job.provenance,
        "provenance_digest": job.provenance_digest,
        "at": utc(now),
        "recipe": job.recipe.name,
        "steps": [step.model_dump(mode="json") for step in job.recipe.steps],
        "attempt": attempt,
        "device": outcome.device,
        "repeatable": _repeatable(outcome),
        "seconds": round(timing["decode_s"] + timing["restore_s"] + timing["encode_s"], 3),
        "timing": {name: round(value, 4) for name, value in timing.items()},
        "inputs": [
            {
                "role": file.role,
                "file": as_text(file.relative),
                "sha256": file.digest,
                "bytes": file.size_bytes,
                **(_header(file.header) if file.header else {}),
            }
            for file in files
        ],
        "outputs": [_output(file) for file in outcome.files],
        "measures": [asdict(measure) for measure in outcome.measures],
        "notes": [str(note) for note in outcome.notes],
        "note_kinds": [note_of(note).kind.value for note in outcome.notes],
    }


def _repeatable(outcome: Restored) -> str:
    """How near the same job comes to this result, on this machine with these versions.

    Sums are rounded in another order where a batch holds other pictures.
    """
    if not outcome.timing.calls:
        return "exactly"
    on_cpu = outcome.device.startswith("cpu")
    return "within one level of 255" if on_cpu else "nearly; not measured in half precision"


def notes_of(record: Mapping[str, object]) -> tuple[Note, ...]:
    """The notes of a record; those of records from before there were kinds are `OTHER`."""
    texts, kinds = record.get("notes"), record.get("note_kinds")
    if not isinstance(texts, list):
        return ()
    names = kinds if isinstance(kinds, list) and len(kinds) == len(texts) else [""] * len(texts)
    return tuple(
        Note(kind_of(str(name)), str(text)) for text, name in zip(texts, names, strict=True)
    )


def _header(header: Header) -> dict[str, object]:
    """A header as plain values; the number of pictures only for a prompt file, pages if several."""
    values = asdict(header)
    if sizes := values.pop("page_sizes"):
        values["pages"] = len(sizes)
    if header.format != PROMPTS:
        del values["pictures"]
    return values


def _output(file: StagedFile) -> dict[str, object]:
    """One result file, with the prompt that it was generated from."""
    plain: dict[str, object] = {
        "sha256": file.digest,
        "width": file.width,
        "height": file.height,
        **({"signed": True} if file.signed else {}),
    }
    if file.prompt is None:
        return plain
    made_from = {"prompt": file.prompt.text, "seed": file.prompt.seed}
    negative = {"negative": file.prompt.negative} if file.prompt.negative else {}
    return {**plain, **made_from, **negative}


def with_file_names(record: Mapping[str, object], names: Sequence[str]) -> Mapping[str, object]:
    """Complete a record with the names that its output files were given.

    Args:
        record: The record.
        names: In the order of its outputs, then of its sidecars, relative to the folder of the
            results.
    """
    sidecars = record.get("sidecars")
    beside = sidecars if isinstance(sidecars, list) else []
    outputs = record.get("outputs")
    described = outputs if isinstance(outputs, list) else [{}] * (len(names) - len(beside))
    named = [{"file": name} | one for name, one in zip(names, [*described, *beside], strict=True)]
    completed = {**record, "outputs": named[: len(described)]}
    return completed | ({"sidecars": named[len(described) :]} if beside else {})


def utc(seconds: float) -> str:
    """A time as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
