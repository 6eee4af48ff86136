"""Fetching models from the Hub: the only module that touches the network.

Comes in: a Hub reference. Goes out: a folder with safetensors, JSON and vocabularies, pinned to a
commit, complete or not there at all, with the digest of every file. Never fetches pickles or code.
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
    as_json,
    data_files,
    read_known,
    stamped,
)
from daemon.checkpoints.library import REVISIONS, Library, Pulled, repository_name, revisions_of
from daemon.checkpoints.traits import traits_of
from daemon.config.model_reference import Hub, parse_reference
from daemon.system.errors import BusyError, CannotWriteError, ConfigError, PassingError
from daemon.system.files import shown, write_whole

_WEIGHTS = ".safetensors"
_SPARE_BYTES = 1 << 30


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository.

    Attributes:
        name: Its path.
        size: Bytes.
        sha256: What the Hub says of its content; None for small files.
    """

    name: str
    size: int
    sha256: str | None


@dataclass(frozen=True)
class Fetching:
    """What is about to be fetched, for who shows progress.

    Attributes:
        repo: Such as "org/name".
        commit: 40 hex digits.
        files: How many.
        size: Bytes of all of them.
    """

    repo: str
    commit: str
    files: int
    size: int


def pull(
    reference: str, library: Library, tell: Callable[[Fetching], None] = lambda fetching: None
) -> Pulled:
    """Fetch a model, or see that it is there already. What an interrupted pull left is used.

    Args:
        reference: "org/name" or "org/name@revision".
        library: Where models lie.
        tell: Is told what will be fetched.

    Raises:
        ConfigError: There is no such model, one needs leave to fetch it, or it is of no use here.
        CannotWriteError: The disk has no room for it.
        PassingError: The Hub cannot be reached.
        BusyError: Another pull of the same commit is at work.
    """
    wanted = parse_reference(reference)
    if not isinstance(wanted, Hub) or library.models is None:
        raise ConfigError(f"{reference!r} is not on the Hub; pull takes org/name or org/name@rev")
    repository = library.models / repository_name(wanted.repo)
    with _hub_errors(wanted):
        commit, files = _listed(wanted)
        folder = repository / commit
        if not (folder / LOCK).is_file():
            chosen = choose(wanted.repo, files)
            tell(Fetching(wanted.repo, commit, len(chosen), sum(one.size for one in chosen)))
            part = folder.with_name(f".{commit}.part")
            with _alone(part, f"{wanted.repo}@{commit}"):
                if not (folder / LOCK).is_file():
                    _fetch(wanted.repo, commit, chosen, folder, part)
    _point(repository, wanted.revision, commit)
    return library.pulled(Hub(wanted.repo, commit))


def choose(repo: str, files: Sequence[RemoteFile]) -> list[RemoteFile]:
    """The files of a repository that are fetched.

    Of weights these are the plain safetensors of each component: no half-precision copies, no
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
    chosen = [one for one in files if _wanted(PurePosixPath(one.name), names)]
    served = {PurePosixPath(one.name).parent for one in chosen if one.name.endswith(_WEIGHTS)}
    pickles = [
        one.name
        for one in files
        if one.name.endswith(PICKLES)
        and PurePosixPath(one.name).parent not in served
        and (PurePosixPath(one.name).parent / "config.json").as_posix() in names
    ]
    if pickles:
        raise ConfigError(
            f"{repo} has {pickles[0]} and no safetensors beside it: pickles can run code and are "
            "never fetched; name a revision or a copy with safetensors (the Hub's converter makes "
            "one: https://huggingface.co/spaces/safetensors/convert)"
        )
    if not served:
        raise ConfigError(f"{repo} has no safetensors weights in diffusers' layout")
    return chosen


def verify(model: Pulled) -> list[str]:
    """Read every file of a pulled model again; one line for each that is not what was pulled."""
    known = read_known(model.folder / LOCK)
    if not known:
        return [f"{shown(model.folder / LOCK)} is damaged; pull the model again"]
    found = {path.relative_to(model.folder).as_posix(): path for path in data_files(model.folder)}
    wrong = [f"{name} is missing" for name in known if name not in found]
    for name, path in found.items():
        if name not in known:
            wrong.append(f"{name} was not there when the model was pulled")
        elif stamped(model.folder, path).sha256 != known[name].sha256:
            wrong.append(f"{name} is not what was pulled")
    return wrong


def remove(model: Pulled) -> int:
    """Delete a pulled model; says how many bytes that freed."""
    size = size_of(model)
    repository = model.folder.parent
    # The lock goes first: without it the rest is no model any more, however far this gets.
    (model.folder / LOCK).unlink()
    shutil.rmtree(model.folder)
    left = {r: c for r, c in revisions_of(repository).items() if c != model.commit}
    if left:
        write_whole(repository / REVISIONS, left)
    elif all(path.name == REVISIONS for path in repository.iterdir()):
        shutil.rmtree(repository)
    return size


def size_of(model: Pulled) -> int:
    """Bytes of a pulled model on disk."""
    return sum(path.stat().st_size for path in model.folder.rglob("*") if path.is_file())


def _wanted(path: PurePosixPath, names: set[str]) -> bool:
    if path.suffix not in DATA_SUFFIXES or len(path.parts) > 2:
        return False
    if path.suffix != _WEIGHTS:
        return True
    beside = path.parent / "config.json"
    # Variants are named diffusion_pytorch_model.fp16.safetensors, shards model-00001-of-00002.
    plain = "." not in path.stem and not path.stem.startswith(("openvino", "flax"))
    return plain and beside.as_posix() in names


def _listed(wanted: Hub) -> tuple[str, list[RemoteFile]]:
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
def _alone(part: Path, what: str) -> Iterator[None]:
    """Keep a second pull out of the folder into which one fetches; it stays if that fails.

    Raises:
        BusyError: Another is at work there.
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
    """Fetch into a folder beside, see that all is right, then let it appear."""
    size = sum(one.size for one in files)
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
    locked = _lock(repo, commit, files, part / "files")
    write_whole(part / "files" / LOCK, locked)
    shutil.rmtree(folder, ignore_errors=True)  # what a removal left that was interrupted
    (part / "files").rename(folder)


def _download(repo: str, commit: str, files: Sequence[RemoteFile], part: Path) -> None:
    from huggingface_hub import snapshot_download

    snapshot_download(
        repo,
        revision=commit,
        allow_patterns=[_literally(one.name) for one in files],
        local_dir=part / "files",
        cache_dir=part / "cache",
    )


def _literally(name: str) -> str:
    """The pattern that fits this name alone."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _lock(repo: str, commit: str, files: Sequence[RemoteFile], folder: Path) -> dict[str, object]:
    """What is written down of a pull; every file is hashed and compared with what the Hub said."""
    shutil.rmtree(folder / ".cache", ignore_errors=True)
    known = {path.relative_to(folder).as_posix(): path for path in data_files(folder)}
    digests = []
    for one in files:
        if one.name not in known:
            raise PassingError(f"{repo}: {one.name} did not arrive; pull again")
        digest = stamped(folder, known[one.name])
        if digest.size != one.size or one.sha256 not in (None, digest.sha256):
            known[one.name].unlink()
            raise PassingError(f"{repo}: {one.name} is not what the Hub has; pull again")
        digests.append(digest)
    return {"repo": repo, "commit": commit, "files": as_json(digests)}


def _point(repository: Path, revision: str, commit: str) -> None:
    """Note which commit a branch or tag is now."""
    known = revisions_of(repository)
    if revision != commit and known.get(revision) != commit:
        write_whole(repository / REVISIONS, {**known, revision: commit})


@contextmanager
def _hub_errors(wanted: Hub) -> Iterator[None]:
    """Turn what the Hub says into what a person does next."""
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
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise PassingError(
            f"{constants.ENDPOINT} does not answer for {wanted.repo}: {said}; what has arrived is "
            "kept, pull again"
        ) from error
