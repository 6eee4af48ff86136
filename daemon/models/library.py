"""Where models lie on this machine.

Comes in: references. Goes out: checkpoints: their folder, traits and digest. Never reaches for the
network and imports no torch: the parent process asks too.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from daemon.errors import ConfigError
from daemon.files import shown
from daemon.models.traits import PRIOR_TRAITS, Traits, traits_of
from daemon.reference import Hub, Local, parse_reference

WEIGHTS = Path(__file__).parent / "weights"


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
                folder = self._pulled(parsed)
            case Local():
                folder = _present(parsed)
        file = parsed.path if isinstance(parsed, Local) and parsed.single else None
        return Checkpoint(reference, folder, traits_of(folder), file)

    def digest(self, reference: str) -> str:
        """sha256 (hex) over a model's weights and configuration.

        Raises:
            ConfigError: The model is not there.
        """
        found = self.checkpoint(reference)
        return _digest(found.folder, found.file)

    def _pulled(self, wanted: Hub) -> Path:
        name = wanted.repo.replace("/", "--")
        if self.models is not None:
            folder = self.models / name / wanted.revision
            if folder.is_dir():
                return folder
        raise ConfigError(
            f"model {wanted.repo}@{wanted.revision} is not on this machine; fetch it with: "
            f"restored models pull {wanted.repo}@{wanted.revision}"
        )


def _present(wanted: Local) -> Path:
    if not wanted.folder.is_dir():
        beside = ", the configuration of the weights file beside it" if wanted.single else ""
        raise ConfigError(f"model {shown(wanted.folder)}: no such folder{beside}")
    if wanted.single and not wanted.path.is_file():
        raise ConfigError(f"model {shown(wanted.path)}: no such file")
    return wanted.folder


@cache
def _digest(folder: Path, file: Path | None) -> str:
    whole = hashlib.sha256()
    files = sorted(p for p in folder.rglob("*") if p.suffix in {".json", ".safetensors", ".txt"})
    for path in [*files, *([file] if file else [])]:
        size = path.stat().st_size
        name = path.relative_to(folder if path in files else path.parent)
        whole.update(f"{name}/{size}/".encode())
        with path.open("rb") as content:
            while chunk := content.read(1 << 22):
                whole.update(chunk)
    return whole.hexdigest()
