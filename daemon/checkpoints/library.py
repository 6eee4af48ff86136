"""The checkpoints on this machine, found by their references.

Never reaches for the network and imports no torch: the parent process uses it too.

In the models folder each pulled model is `org--name/<commit>/`, complete or not there at all, with
a lock that holds the digest of every file; `org--name/revisions.json` says which commit a branch or
tag was when it was pulled.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pydantic import TypeAdapter

from daemon.checkpoints.digests import LOCK, combined_digest, data_files
from daemon.checkpoints.traits import SHIPPED_TRAITS, Traits, traits_of
from daemon.config.model_reference import Hub, Local, Shipped, parse_reference
from daemon.config.recipe import Recipe
from daemon.system.errors import ConfigError
from daemon.system.files import shown

WEIGHTS = Path(__file__).parent / "weights"
"""Folder of the networks that ship with the package."""

REVISIONS = "revisions.json"
COMMIT = re.compile(r"[0-9a-f]{40}")
_SHORT_COMMIT = re.compile(r"[0-9a-f]{7,40}")
_LOCAL_DIGESTS = "local-digests.json"
_REVISIONS: TypeAdapter[dict[str, str]] = TypeAdapter(dict[str, str])


@dataclass(frozen=True)
class Checkpoint:
    """A model on this machine.

    Attributes:
        reference: What recipes call it.
        folder: Folder of its configuration, and of its weights unless `file` is set.
        traits: What kind of model it is.
        file: All its weights in one file of the original layout; None for diffusers' layout.
    """

    reference: str
    folder: Path
    traits: Traits
    file: Path | None = None

    @property
    def weight_files(self) -> tuple[Path, ...]:
        """Its safetensors files."""
        if self.file is not None:
            return (self.file,)
        return tuple(path for path in data_files(self.folder) if path.suffix == ".safetensors")


@dataclass(frozen=True)
class PulledModel:
    """One commit of a Hub repository on this machine.

    Attributes:
        repo: Hub id, "org/name".
        commit: 40 hex digits.
        revisions: The branches and tags that were this commit when they were pulled.
        folder: Where it lies.
    """

    repo: str
    commit: str
    revisions: tuple[str, ...]
    folder: Path


@dataclass(frozen=True)
class Library:
    """The models of this machine.

    Attributes:
        models: Folder of what was pulled from the Hub; None knows only what ships with the package
            and local folders.
    """

    models: Path | None = None

    def checkpoint(self, reference: str) -> Checkpoint:
        """Find a model.

        Raises:
            ConfigError: It is not here (the message names the command that fetches it), or no step
                can use it.
        """
        parsed = parse_reference(reference)
        match parsed:
            case Shipped(name):
                return Checkpoint(reference, WEIGHTS / name, SHIPPED_TRAITS[name])
            case Hub():
                folder = self.pulled(parsed).folder
            case Local():
                folder = _existing_folder(parsed)
        file = parsed.path if isinstance(parsed, Local) and parsed.single else None
        return Checkpoint(reference, folder, _cached_traits(folder, _config_times(folder)), file)

    def digest(self, reference: str) -> str:
        """The sha256 digest (hex) of a model's weights and configuration.

        Raises:
            ConfigError: The model is not here.
        """
        adapter = adapter_file(reference)
        if adapter is not None:
            return combined_digest([(adapter.name, adapter)], self._local_cache())
        found = self.checkpoint(reference)
        files = [(p.relative_to(found.folder).as_posix(), p) for p in data_files(found.folder)]
        if found.file is not None:
            files.append((found.file.name, found.file))
        return combined_digest(files, self._digest_cache(found))

    def pinned(self, reference: str) -> str:
        """The reference with the commit that its revision is on this machine.

        Raises:
            ConfigError: The model is not here.
        """
        parsed = parse_reference(reference)
        if not isinstance(parsed, Hub):
            return reference
        found = self.pulled(parsed)
        return f"{found.repo}@{found.commit}"

    def resolved(self, recipe: Recipe) -> tuple[Recipe, tuple[str, ...]]:
        """The recipe with its models pinned, and the digest of each of them.

        Models are pinned first, so that a pull in between cannot part digests from commits.

        Raises:
            ConfigError: A model is not here.
        """
        pinned = recipe.with_models(self.pinned)
        return pinned, tuple(self.digest(model) for model in pinned.models)

    def pulled(self, reference: Hub) -> PulledModel:
        """Find a pulled model by branch, tag, commit or the first digits of a commit.

        Raises:
            ConfigError: It is not here; the message names the command that fetches it.
        """
        here = [one for one in self.all_pulled() if one.repo == reference.repo]
        for one in here:
            if reference.revision in one.revisions or reference.revision == one.commit:
                return one
        if _SHORT_COMMIT.fullmatch(reference.revision):
            matching = [one for one in here if one.commit.startswith(reference.revision)]
            if len(matching) == 1:
                return matching[0]
        where = "" if self.models is None else f" ({shown(self.models)})"
        raise ConfigError(
            f"model {reference.repo}@{reference.revision} is not on this machine{where}; fetch it "
            f"with: restored models pull {reference.repo}@{reference.revision}"
        )

    def all_pulled(self) -> list[PulledModel]:
        """Every commit that is complete, by name."""
        if self.models is None or not self.models.is_dir():
            return []
        found = []
        for lock in sorted(self.models.glob(f"*--*/*/{LOCK}")):
            folder = lock.parent
            if COMMIT.fullmatch(folder.name):
                commits = read_revisions(folder.parent)
                revisions = tuple(sorted(r for r, c in commits.items() if c == folder.name))
                repo = folder.parent.name.replace("--", "/")
                found.append(PulledModel(repo, folder.name, revisions, folder))
        return found

    def _digest_cache(self, found: Checkpoint) -> Path | None:
        lock = found.folder / LOCK
        if lock.is_file():
            return lock
        return None if found.folder.parent == WEIGHTS else self._local_cache()

    def _local_cache(self) -> Path | None:
        return None if self.models is None else self.models / _LOCAL_DIGESTS


def adapter_file(reference: str) -> Path | None:
    """The file of a LoRA; None where a reference is a model.

    A weights file without its configuration beside it is a LoRA.
    """
    parsed = parse_reference(reference)
    if isinstance(parsed, Local) and parsed.single and not parsed.folder.is_dir():
        return parsed.path if parsed.path.is_file() else None
    return None


def read_revisions(repository: Path) -> dict[str, str]:
    """Which commit each revision was when it was pulled; empty if nothing is known."""
    try:
        return _REVISIONS.validate_json((repository / REVISIONS).read_bytes())
    except (OSError, ValueError):
        return {}


def repository_folder(repo: str) -> str:
    """Name of a repository's folder; no repository's name holds two dashes."""
    return repo.replace("/", "--")


def _existing_folder(local: Local) -> Path:
    if not local.folder.is_dir():
        beside = ", the configuration of the weights file beside it" if local.single else ""
        raise ConfigError(f"model {shown(local.folder)}: no such folder{beside}")
    if local.single and not local.path.is_file():
        raise ConfigError(f"model {shown(local.path)}: no such file")
    return local.folder


def _config_times(folder: Path) -> tuple[tuple[str, int], ...]:
    """When a checkpoint's configuration files were last changed; its traits hold until then."""
    return tuple(
        (str(path), path.stat().st_mtime_ns)
        for path in (*sorted(folder.glob("*.json")), *sorted(folder.glob("*/*.json")))
    )


@lru_cache(maxsize=256)
def _cached_traits(folder: Path, config_times: tuple[tuple[str, int], ...]) -> Traits:
    return traits_of(folder)
