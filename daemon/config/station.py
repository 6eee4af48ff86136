"""The folders of one station: where everything is, and nothing else."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Station:
    """Where a station keeps what.

    Attributes:
        root: The station's folder.
        state: Ledger, work and staged files; `root/.restored` unless `state_dir` says otherwise.
        logs: One file a day, one line per finished job; `root/logs` unless `logs_dir` is set.
        config: Settings and the user's own recipes; `root` unless the environment names another.
    """

    root: Path
    state: Path
    logs: Path
    config: Path

    @property
    def inbox(self) -> Path:
        """People drop photographs here, into the sub-folder of a recipe or beside them."""
        return self.root / "inbox"

    @property
    def outbox(self) -> Path:
        """Results and their records, under the recipe's name."""
        return self.root / "outbox"

    @property
    def failed(self) -> Path:
        """Untouched originals that could not be restored, each with its reason."""
        return self.root / "failed"

    @property
    def archive(self) -> Path:
        """Untouched originals of finished jobs."""
        return self.root / "archive"

    @property
    def recipes(self) -> Path:
        """The user's own recipes."""
        return self.config / "recipes"

    @property
    def settings_file(self) -> Path:
        """The station's settings."""
        return self.config / "restored.toml"

    @property
    def ledger(self) -> Path:
        """The SQLite ledger."""
        return self.state / "ledger.sqlite3"

    @property
    def work(self) -> Path:
        """Claimed originals, one random folder each."""
        return self.state / "work"

    @property
    def staged(self) -> Path:
        """Results being written, one folder per lease."""
        return self.state / "staged"

    @property
    def lock(self) -> Path:
        """Held by the one daemon of the station."""
        return self.state / "lock"

    @property
    def reports(self) -> Path:
        """What became of bulk jobs, one folder each."""
        return self.root / "reports"

    @property
    def loaded_models(self) -> Path:
        """While a daemon works: which models are on its device."""
        return self.state / "models.json"

    @property
    def paused(self) -> Path:
        """While this file exists, no job is started."""
        return self.state / "paused"


@dataclass(frozen=True)
class InboxFolder:
    """A folder that is watched, and where what comes out of it goes.

    Attributes:
        path: The folder, watched with all below it.
        recipe: Name of the recipe for all of it; None in the station's own inbox, where the first
            sub-folder names the recipe and what lies beside them goes to the first match.
        outbox: Folder of its results.
        failed: Folder of its originals that could not be restored.
        archive: Folder of its finished originals.
        originals: What becomes of finished originals.
        polled: Scan only, because the file system sends no events.
        bulk: Name of the bulk job whose folder it is; "" where people drop photographs.
    """

    path: Path
    recipe: str | None
    outbox: Path
    failed: Path
    archive: Path
    originals: Literal["archive", "delete", "leave"] = "archive"
    polled: bool = False
    bulk: str = ""

    @property
    def is_archive(self) -> bool:
        """Whether what comes out of it is finished work that is done again."""
        return self.path == self.archive


@dataclass(frozen=True)
class Notice:
    """Something in an inbox that a person should know of and that stays where it is.

    Attributes:
        path: What it is about.
        what: Such as "waits for its other half since 14:03" or "symbolic link, left alone".
        since: UTC seconds since the epoch.
    """

    path: Path
    what: str
    since: float
