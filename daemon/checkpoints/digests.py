"""sha256 digests of a checkpoint's files, each computed once and remembered by size and time.

Gigabytes are read only where a file is new or has changed. Known digests are kept in a JSON file: a
pulled model has its lock; for folders of other owners there is one file in the models folder.
"""

import contextlib
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from daemon.system.files import real_path, sha256_of
from daemon.system.json_files import write_whole

LOCK = "restored.lock.json"
"""Name of the file in a pulled model's folder that holds what was pulled and each file's digest."""

DATA_SUFFIXES = (".safetensors", ".json", ".txt", ".model")
"""Suffixes of all that is ever fetched and read: weights, configurations and vocabularies."""

PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl", ".msgpack", ".h5")
"""Suffixes of what is never fetched or opened: such files can run code, or are of other
frameworks."""


@dataclass(frozen=True)
class FileDigest:
    """The digest of one file, and what tells whether the file has changed since.

    Attributes:
        name: Path relative to the checkpoint's folder, with "/"; absolute for other owners' files.
        size: Size in bytes.
        mtime_ns: Time of its last change.
        sha256: Digest, hex.
    """

    name: str
    size: int
    mtime_ns: int
    sha256: str


def data_files(folder: Path) -> list[Path]:
    """The files that a checkpoint consists of, sorted."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix in DATA_SUFFIXES
        and path.name != LOCK
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def combined_digest(files: Sequence[tuple[str, Path]], cache: Path | None) -> str:
    """One sha256 digest (hex) over the names and contents of several files.

    Args:
        files: Names and paths.
        cache: JSON file that keeps the digests of single files; None keeps them for this process
            only. A cache that cannot be written is ignored.
    """
    stats = tuple((name, str(path), *_size_and_mtime(path)) for name, path in files)
    return _combined_digest(stats, cache)


def current_digest(folder: Path, path: Path) -> FileDigest:
    """Digest a file of a checkpoint's folder now, whatever is known of it."""
    size, mtime_ns = _size_and_mtime(path)
    return FileDigest(
        path.relative_to(folder).as_posix(), size, mtime_ns, sha256_of(real_path(path))
    )


def digests_as_json(digests: Sequence[FileDigest]) -> list[Mapping[str, object]]:
    """Digests as a lock or a cache keeps them under "files"."""
    return [asdict(digest) for digest in digests]


def read_digests(path: Path) -> dict[str, FileDigest]:
    """The digests in a lock or a cache, by name; empty if there is none or it is damaged."""
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError, RecursionError):
        files = json.loads(path.read_text("utf-8"))["files"]
        return {file["name"]: FileDigest(**file) for file in files}
    return {}


@lru_cache(maxsize=256)
def _combined_digest(stats: tuple[tuple[str, str, int, int], ...], cache: Path | None) -> str:
    known = {} if cache is None else read_digests(cache)
    combined = hashlib.sha256()
    new = {}
    for name, path, size, mtime_ns in stats:
        digest = known.get(path) or known.get(name)
        if digest is None or (digest.size, digest.mtime_ns) != (size, mtime_ns):
            digest = FileDigest(path, size, mtime_ns, sha256_of(real_path(Path(path))))
            new[path] = digest
        combined.update(f"{name}/{digest.sha256}/".encode())
    # A lock holds what was pulled, and is never rewritten.
    if new and cache is not None and cache.name != LOCK:
        with contextlib.suppress(OSError):
            cache.parent.mkdir(parents=True, exist_ok=True)
            kept = {name: digest for name, digest in known.items() if Path(name).exists()}
            merged = {**kept, **new}
            write_whole(cache, {"files": digests_as_json(list(merged.values()))})
    return combined.hexdigest()


def _size_and_mtime(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns
