"""sha256 of a checkpoint's files, each computed once and remembered by size and time.

Comes in: folders. Goes out: digests. Gigabytes are read only where a file is new or has changed;
what is known lies in a lock beside the files, or for folders that are not ours in the models
folder.
"""

import contextlib
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from daemon.system.files import write_whole

LOCK = "restored.lock.json"
"""Lies in the folder of a pulled model; holds what was pulled and each file's digest."""

DATA_SUFFIXES = (".safetensors", ".json", ".txt", ".model")
"""All that is ever fetched and read of a checkpoint: weights, settings and vocabularies."""

PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl", ".msgpack", ".h5")
"""What is never fetched and never opened: such files can run code, or are of other frameworks."""

_CHUNK = 1 << 22


@dataclass(frozen=True)
class FileDigest:
    """What is known of one file.

    Attributes:
        name: Relative to the checkpoint's folder, "/" between parts.
        size: Bytes.
        mtime_ns: When it was last changed.
        sha256: Hex.
    """

    name: str
    size: int
    mtime_ns: int
    sha256: str


def data_files(folder: Path) -> list[Path]:
    """The files of a checkpoint that make it what it is, in order."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix in DATA_SUFFIXES
        and path.name != LOCK
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def digest_of(files: Sequence[tuple[str, Path]], memory: Path | None) -> str:
    """One digest over several files.

    Args:
        files: Names and paths.
        memory: JSON file that keeps what was computed; None keeps it for this process only. One
            that cannot be written is done without.
    """
    stats = tuple((name, str(path), *_stamp(path)) for name, path in files)
    return _digest_of(stats, memory)


def sha256_of(path: Path) -> str:
    """The digest of a file's content, hex."""
    whole = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            whole.update(chunk)
    return whole.hexdigest()


def stamped(folder: Path, path: Path) -> FileDigest:
    """A file's digest, computed now."""
    size, mtime_ns = _stamp(path)
    return FileDigest(path.relative_to(folder).as_posix(), size, mtime_ns, sha256_of(path))


def as_json(known: Sequence[FileDigest]) -> list[Mapping[str, object]]:
    """For a lock or a memory file."""
    return [asdict(one) for one in known]


def read_known(path: Path) -> dict[str, FileDigest]:
    """What a lock or a memory file says, by name; empty if there is none or it is damaged."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        files = json.loads(path.read_text("utf-8"))["files"]
        return {file["name"]: FileDigest(**file) for file in files}
    return {}


@lru_cache(maxsize=256)
def _digest_of(stats: tuple[tuple[str, str, int, int], ...], memory: Path | None) -> str:
    known = {} if memory is None else read_known(memory)
    whole = hashlib.sha256()
    fresh = {}
    for name, path, size, mtime_ns in stats:
        found = known.get(path) or known.get(name)
        if found is None or (found.size, found.mtime_ns) != (size, mtime_ns):
            found = FileDigest(path, size, mtime_ns, sha256_of(Path(path)))
            fresh[path] = found
        whole.update(f"{name}/{found.sha256}/".encode())
    if fresh and memory is not None and memory.name != LOCK:
        with contextlib.suppress(OSError):
            memory.parent.mkdir(parents=True, exist_ok=True)
            kept = {name: one for name, one in known.items() if Path(name).exists()}
            files = {**kept, **fresh}
            write_whole(memory, {"files": as_json(list(files.values()))})
    return whole.hexdigest()


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns
