"""Pulling models from the Hugging Face Hub: the only module that uses the network.

A pulled model is a folder of safetensors, JSON and vocabularies at one commit, complete or not
there at all, with a lock that holds the digest of every file. Pickles and code are never fetched.
"""

import fcntl
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from daemon.checkpoints.digests import (
    DATA_SUFFIXES,
    LOCK,
    PICKLES,
    current_digest,
    data_files,
    digests_as_json,
    read_digests,
)
from daemon.checkpoints.library import (
    REVISIONS,
    Library,
    PulledModel,
    read_revisions,
    repository_folder,
)
from daemon.checkpoints.traits import traits_of
from daemon.config.model_reference import Hub, reference_asked_for
from daemon.system.errors import BusyError, CannotWriteError, ConfigError, PassingError
from daemon.system.files import shown
from daemon.system.json_files import write_whole

_WEIGHTS = ".safetensors"
_SPARE_BYTES = 1 << 30
"""Bytes that must stay free on the disk after a pull."""


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository, as the Hub lists it.

    Attributes:
        name: Its path in the repository.
        size_bytes: Size in bytes.
        sha256: Digest of its content; None for small files, of which the Hub knows none.
    """

    name: str
    size_bytes: int
    sha256: str | None


@dataclass(frozen=True)
class PullPlan:
    """The files that a pull is about to fetch.

    Attributes:
        repo: Hub id, "org/name".
        commit: 40 hex digits.
        files: Number of files.
        size_bytes: Size of all files in bytes.
    """

    repo: str
    commit: str
    files: int
    size_bytes: int


def pull(
    reference: str, library: Library, on_start: Callable[[PullPlan], None] = lambda plan: None
) -> PulledModel:
    """Fetch a model unless it is here already, and continue an interrupted pull.

    Args:
        reference: "org/name" or "org/name@revision".
        library: Where models lie.
        on_start: Called with what will be fetched.

    Raises:
        ConfigError: There is no such model, its licence must be accepted first, or no step can use
            it.
        CannotWriteError: The disk has no room for it.
        PassingError: The Hub cannot be reached.
        BusyError: Another pull of the same commit is running.
    """
    wanted = reference_asked_for(reference)
    if not isinstance(wanted, Hub) or library.models is None:
        raise ConfigError(f"{reference!r} is not on the Hub; pull takes org/name or org/name@rev")
    repository = library.models / repository_folder(wanted.repo)
    with _hub_errors(wanted):
        commit, files = _list_files(wanted)
        folder = repository / commit
        if not (folder / LOCK).is_file():
            needed = files_to_fetch(wanted.repo, files)
            on_start(
                PullPlan(wanted.repo, commit, len(needed), sum(one.size_bytes for one in needed))
            )
            part = folder.with_name(f".{commit}.part")
            with _exclusive(part, f"{wanted.repo}@{commit}"):
                # Another pull may have finished in the meantime.
                if not (folder / LOCK).is_file():
                    _fetch(wanted.repo, commit, needed, folder, part)
    _record_revision(repository, wanted.revision, commit)
    return library.pulled(Hub(wanted.repo, commit))


def files_to_fetch(repo: str, files: Sequence[RemoteFile]) -> list[RemoteFile]:
    """The files of a repository that a pull fetches.

    Weights are fetched as the plain safetensors of each component: no half-precision copies, no
    single file that holds everything once more.

    Raises:
        ConfigError: It is not in diffusers' layout, or has weights only as pickles.
    """
    names = {one.name for one in files}
    if not names & {"model_index.json", "config.json"}:
        raise ConfigError(
            f"{repo} is not in diffusers' layout (no model_index.json, no config.json); name a "
            "repository that is, or download its file and name that in the recipe"
        )
    needed = [one for one in files if _is_needed(PurePosixPath(one.name), names)]
    with_weights = {PurePosixPath(one.name).parent for one in needed if one.name.endswith(_WEIGHTS)}
    pickles = [
        one.name
        for one in files
        if one.name.endswith(PICKLES)
        and PurePosixPath(one.name).parent not in with_weights
        and (PurePosixPath(one.name).parent / "config.json").as_posix() in names
    ]
    if pickles:
        raise ConfigError(
            f"{repo} has {pickles[0]} and no safetensors beside it: pickles can run code and are "
            "never fetched; name a revision or a copy with safetensors (the Hub's converter makes "
            "one: https://huggingface.co/spaces/safetensors/convert)"
        )
    if not with_weights:
        raise ConfigError(f"{repo} has no safetensors weights in diffusers' layout")
    return needed


def verify(model: PulledModel) -> list[str]:
    """Read every file of a pulled model again.

    Returns:
        One line for each file that is not what was pulled.
    """
    known = read_digests(model.folder / LOCK)
    if not known:
        return [f"{shown(model.folder / LOCK)} is damaged; pull the model again"]
    found = {path.relative_to(model.folder).as_posix(): path for path in data_files(model.folder)}
    wrong = [f"{name} is missing" for name in known if name not in found]
    for name, path in found.items():
        if name not in known:
            wrong.append(f"{name} was not there when the model was pulled")
        elif current_digest(model.folder, path).sha256 != known[name].sha256:
            wrong.append(f"{name} is not what was pulled")
    return wrong


def remove(model: PulledModel) -> int:
    """Delete a pulled model.

    Returns:
        Bytes that this freed.
    """
    size = size_bytes(model)
    repository = model.folder.parent
    # The lock goes first: without it the rest is no model, however far the removal gets.
    (model.folder / LOCK).unlink()
    shutil.rmtree(model.folder)
    left = {r: c for r, c in read_revisions(repository).items() if c != model.commit}
    if left:
        write_whole(repository / REVISIONS, left)
    elif all(path.name == REVISIONS for path in repository.iterdir()):
        shutil.rmtree(repository)
    return size


def size_bytes(model: PulledModel) -> int:
    """Bytes of a pulled model on disk."""
    return sum(path.stat().st_size for path in model.folder.rglob("*") if path.is_file())


def _is_needed(path: PurePosixPath, names: set[str]) -> bool:
    if path.suffix not in DATA_SUFFIXES or len(path.parts) > 2:
        return False
    if path.suffix != _WEIGHTS:
        return True
    beside = path.parent / "config.json"
    # Variants are named diffusion_pytorch_model.fp16.safetensors, shards model-00001-of-00002.
    plain = "." not in path.stem and not path.stem.startswith(("openvino", "flax"))
    return plain and beside.as_posix() in names


def _list_files(wanted: Hub) -> tuple[str, list[RemoteFile]]:
    """The commit of a revision, and its files."""
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    api = HfApi()
    commit = api.model_info(wanted.repo, revision=wanted.revision).sha
    if commit is None:
        raise ConfigError(f"the Hub names no commit for {wanted.repo}@{wanted.revision}")
    entries = api.list_repo_tree(wanted.repo, recursive=True, revision=commit)
    return commit, [
        RemoteFile(one.path, one.size, None if one.lfs is None else one.lfs.sha256)
        for one in entries
        if isinstance(one, RepoFile)
    ]


@contextmanager
def _exclusive(part: Path, what: str) -> Iterator[None]:
    """Keep a second pull out of the folder of partial files, which stays if the pull fails.

    Raises:
        BusyError: Another pull is running there.
    """
    part.mkdir(parents=True, exist_ok=True)
    with (part / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BusyError(f"another pull of {what} is at work; wait for it") from error
        yield
        shutil.rmtree(part)


def _fetch(repo: str, commit: str, files: Sequence[RemoteFile], folder: Path, part: Path) -> None:
    """Fetch into the folder of partial files, compare digests, then rename it to its place."""
    size = sum(one.size_bytes for one in files)
    free = shutil.disk_usage(part).free
    if size + _SPARE_BYTES > free + sum(p.stat().st_size for p in part.rglob("*") if p.is_file()):
        raise CannotWriteError(
            f"{shown(folder.parent)}: {repo} has {size / 1e9:.1f} GB, and {free / 1e9:.1f} GB are "
            "free; make room, or set models_dir to another disk"
        )
    small = [one for one in files if not one.name.endswith(_WEIGHTS)]
    _download(repo, commit, small, part)
    traits_of(part / "files")  # before gigabytes come that no step could use
    _download(repo, commit, files, part)
    lock = _verified_lock(repo, commit, files, part / "files")
    write_whole(part / "files" / LOCK, lock)
    shutil.rmtree(folder, ignore_errors=True)  # left by an interrupted removal
    (part / "files").rename(folder)


def _download(repo: str, commit: str, files: Sequence[RemoteFile], part: Path) -> None:
    from huggingface_hub import snapshot_download

    snapshot_download(
        repo,
        revision=commit,
        allow_patterns=[_escape_pattern(one.name) for one in files],
        local_dir=part / "files",
        cache_dir=part / "cache",
    )


def _escape_pattern(name: str) -> str:
    """The pattern that matches this name alone."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _verified_lock(
    repo: str, commit: str, files: Sequence[RemoteFile], folder: Path
) -> dict[str, object]:
    """The lock of a pull; every file is hashed and compared with what the Hub lists."""
    shutil.rmtree(folder / ".cache", ignore_errors=True)
    known = {path.relative_to(folder).as_posix(): path for path in data_files(folder)}
    digests = []
    for one in files:
        if one.name not in known:
            raise PassingError(f"{repo}: {one.name} did not arrive; pull again")
        digest = current_digest(folder, known[one.name])
        if digest.size != one.size_bytes or one.sha256 not in (None, digest.sha256):
            known[one.name].unlink()
            raise PassingError(f"{repo}: {one.name} is not what the Hub has; pull again")
        digests.append(digest)
    return {"repo": repo, "commit": commit, "files": digests_as_json(digests)}


def _record_revision(repository: Path, revision: str, commit: str) -> None:
    """Note which commit a branch or tag is now."""
    known = read_revisions(repository)
    if revision != commit and known.get(revision) != commit:
        write_whole(repository / REVISIONS, {**known, revision: commit})


@contextmanager
def _hub_errors(wanted: Hub) -> Iterator[None]:
    """Turn errors of the Hub into errors that say what to do next."""
    import httpx2
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    page = f"{constants.ENDPOINT}/{wanted.repo}"
    try:
        yield
    except GatedRepoError as error:
        raise ConfigError(
            f"{wanted.repo} is only for who accepted its licence: do so at {page}, then set "
            "HF_TOKEN to a token of that account"
        ) from error
    except RepositoryNotFoundError as error:
        raise ConfigError(f"the Hub has no {wanted.repo}, or it needs HF_TOKEN: {page}") from error
    except RevisionNotFoundError as error:
        raise ConfigError(f"{wanted.repo} has no revision {wanted.revision!r}: {page}") from error
    except OfflineModeIsEnabled as error:
        raise ConfigError("HF_HUB_OFFLINE is set; unset it to pull") from error
    except (HfHubHTTPError, LocalEntryNotFoundError, httpx2.HTTPError, ConnectionError) as error:
        problem = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise PassingError(
            f"{constants.ENDPOINT} does not answer for {wanted.repo}: {problem}; what has arrived "
            "is kept, pull again"
        ) from error
