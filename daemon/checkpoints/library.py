"""Where models lie on this machine.

Comes in: references. Goes out: checkpoints: their folder, traits and digest. Never reaches for the
network and imports no torch: the parent process asks too.

In the models folder each pulled model is `org--name/<commit>/`, complete or not there at all, with
a lock that holds the digest of every file; `org--name/revisions.json` says which commit a branch or
tag was when it was pulled.
"""

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from daemon.checkpoints.digests import LOCK, data_files, digest_of
from daemon.checkpoints.traits import PRIOR_TRAITS, Traits, traits_of
from daemon.config.model_reference import Hub, Local, parse_reference
from daemon.config.recipe import Recipe
from daemon.system.errors import ConfigError
from daemon.system.files import shown

WEIGHTS = Path(__file__).parent / "weights"

REVISIONS = "revisions.json"
COMMIT = re.compile(r"[0-9a-f]{40}")
_SHORT_COMMIT = re.compile(r"[0-9a-f]{7,40}")
_MEMORY = "local-digests.json"


@dataclass(frozen=True)
class Checkpoint:
    """A model that is there.

    Attributes:
        reference: What recipes call it.
        folder: Its configuration, and its weights unless `file` is set.
        traits: What it is.
        file: All weights in one file, in the original layout; the configuration is in `folder`.
    """

    reference: str
    folder: Path
    traits: Traits
    file: Path | None = None

    @property
    def weight_files(self) -> tuple[Path, ...]:
        """Its safetensors."""
        if self.file is not None:
            return (self.file,)
        return tuple(path for path in data_files(self.folder) if path.suffix == ".safetensors")


@dataclass(frozen=True)
class Pulled:
    """One commit of a repository, on this machine.

    Attributes:
        repo: Such as "org/name".
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
        models: Folder of what was pulled from the Hub; None knows only the prior and local folders.
    """

    models: Path | None = None

    def checkpoint(self, reference: str) -> Checkpoint:
        """Find a model.

        Raises:
            ConfigError: It is not there (says the command that fetches it), or no step can use it.
        """
        parsed = parse_reference(reference)
        match parsed:
            case None:
                return Checkpoint(reference, WEIGHTS / "prior", PRIOR_TRAITS)
            case Hub():
                folder = self.pulled(parsed).folder
            case Local():
                folder = _present(parsed)
        file = parsed.path if isinstance(parsed, Local) and parsed.single else None
        return Checkpoint(reference, folder, _traits(folder, _stamp(folder)), file)

    def digest(self, reference: str) -> str:
        """sha256 (hex) over a model's weights and configuration.

        Raises:
            ConfigError: The model is not there.
        """
        found = self.checkpoint(reference)
        files = [(p.relative_to(found.folder).as_posix(), p) for p in data_files(found.folder)]
        if found.file is not None:
            files.append((found.file.name, found.file))
        return digest_of(files, self._memory(found))

    def pinned(self, reference: str) -> str:
        """The reference with the commit that its revision is on this machine.

        Raises:
            ConfigError: The model is not there.
        """
        parsed = parse_reference(reference)
        if not isinstance(parsed, Hub):
            return reference
        found = self.pulled(parsed)
        return f"{found.repo}@{found.commit}"

    def resolved(self, recipe: Recipe) -> tuple[Recipe, tuple[str, ...]]:
        """The recipe with its models pinned, and the digest of each of them.

        Pinned first, so that a pull in between cannot part the digests from the commits.

        Raises:
            ConfigError: A model is not there.
        """
        pinned = recipe.with_models(self.pinned)
        return pinned, tuple(self.digest(model) for model in pinned.models)

    def pulled(self, wanted: Hub) -> Pulled:
        """Find a pulled model.

        Raises:
            ConfigError: It is not there; says the command that fetches it.
        """
        here = [one for one in self.all_pulled() if one.repo == wanted.repo]
        for one in here:
            if wanted.revision in one.revisions or wanted.revision == one.commit:
                return one
        if _SHORT_COMMIT.fullmatch(wanted.revision):
            close = [one for one in here if one.commit.startswith(wanted.revision)]
            if len(close) == 1:
                return close[0]
        where = "" if self.models is None else f" ({shown(self.models)})"
        raise ConfigError(
            f"model {wanted.repo}@{wanted.revision} is not on this machine{where}; fetch it with: "
            f"restored models pull {wanted.repo}@{wanted.revision}"
        )

    def all_pulled(self) -> list[Pulled]:
        """Every commit that is complete, by name."""
        if self.models is None or not self.models.is_dir():
            return []
        found = []
        for lock in sorted(self.models.glob(f"*--*/*/{LOCK}")):
            folder = lock.parent
            if COMMIT.fullmatch(folder.name):
                named = revisions_of(folder.parent)
                revisions = tuple(sorted(r for r, c in named.items() if c == folder.name))
                repo = folder.parent.name.replace("--", "/")
                found.append(Pulled(repo, folder.name, revisions, folder))
        return found

    def _memory(self, found: Checkpoint) -> Path | None:
        lock = found.folder / LOCK
        if lock.is_file():
            return lock
        return None if self.models is None or found.folder.parent == WEIGHTS else self.local_memory

    @property
    def local_memory(self) -> Path | None:
        """Where digests of folders that are not ours are kept."""
        return None if self.models is None else self.models / _MEMORY


def revisions_of(repository: Path) -> dict[str, str]:
    """Which commit each revision was when it was pulled; empty if nothing is known."""
    try:
        return dict(json.loads((repository / REVISIONS).read_text("utf-8")))
    except (OSError, ValueError):
        return {}


def repository_name(repo: str) -> str:
    """Name of a repository's folder; no repository's name holds two dashes."""
    return repo.replace("/", "--")


def _present(wanted: Local) -> Path:
    if not wanted.folder.is_dir():
        beside = ", the configuration of the weights file beside it" if wanted.single else ""
        raise ConfigError(f"model {shown(wanted.folder)}: no such folder{beside}")
    if wanted.single and not wanted.path.is_file():
        raise ConfigError(f"model {shown(wanted.path)}: no such file")
    return wanted.folder


def _stamp(folder: Path) -> tuple[tuple[str, int], ...]:
    """Changes when any of a checkpoint's settings does."""
    return tuple(
        (str(path), path.stat().st_mtime_ns)
        for path in (*sorted(folder.glob("*.json")), *sorted(folder.glob("*/*.json")))
    )


@lru_cache(maxsize=256)
def _traits(folder: Path, stamp: tuple[tuple[str, int], ...]) -> Traits:
    return traits_of(folder)
