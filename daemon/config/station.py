"""The folders of a station, and the folders that are watched for photographs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

STATION_VARIABLE = "RESTORED_STATION"
"""Environment variable that names the station's folder for the commands; it is not a setting."""


@dataclass(frozen=True)
class Station:
    """Where a station stores what.

    Attributes:
        root: The station's folder.
        state: Folder of the ledger, of work in progress and of staged files; `root/.restored`
            unless the setting `state_dir` names another.
        logs: Folder of the job log, one file a day with one line for each finished job;
            `root/logs` unless the setting `logs_dir` names another.
        config: Folder of the settings and of the user's own recipes; `root` unless the environment
            names another.
    """

    root: Path
    state: Path
    logs: Path
    config: Path

    @property
    def inbox(self) -> Path:
        """Folder into which people drop photographs, below a recipe's name or directly."""
        return self.root / "inbox"

    @property
    def outbox(self) -> Path:
        """Folder of results and their records, below the recipe's name."""
        return self.root / "outbox"

    @property
    def failed(self) -> Path:
        """Folder of untouched originals that could not be restored, each with its reason."""
        return self.root / "failed"

    @property
    def archive(self) -> Path:
        """Folder of untouched originals of finished jobs."""
        return self.root / "archive"

    @property
    def recipes(self) -> Path:
        """Folder of the user's own recipes."""
        return self.config / "recipes"

    @property
    def settings_file(self) -> Path:
        """The station's settings, `restored.toml`."""
        return self.config / "restored.toml"

    @property
    def ledger(self) -> Path:
        """The SQLite ledger."""
        return self.state / "ledger.sqlite3"

    @property
    def work(self) -> Path:
        """Folder of claimed originals, each in a folder with a random name."""
        return self.state / "work"

    @property
    def staged(self) -> Path:
        """Folder of results that are being written, one folder for each lease."""
        return self.state / "staged"

    @property
    def lock(self) -> Path:
        """Lock file that the one daemon of the station holds."""
        return self.state / "lock"

    @property
    def requests(self) -> Path:
        """Requests of people to the daemon, one file each; the station's group may write here."""
        return self.state / "requests"

    @property
    def answers(self) -> Path:
        """Answers of the daemon to requests, one file each."""
        return self.state / "answers"

    @property
    def reports(self) -> Path:
        """Folder of the reports of bulk jobs, one folder each."""
        return self.root / "reports"

    @property
    def loaded_models(self) -> Path:
        """File that lists the models on the device while a daemon is at work."""
        return self.state / "models.json"

    @property
    def trouble(self) -> Path:
        """File that says why a daemon at work does not get on, while that is so."""
        return self.state / "trouble.json"

    @property
    def mounts(self) -> Path:
        """File that says on which disks folders lay; whoever removes it says they are gone."""
        return self.state / "mounts.json"

    @property
    def paused(self) -> Path:
        """File whose existence keeps every job from starting."""
        return self.state / "paused"


@dataclass(frozen=True)
class InboxFolder:
    """A folder that is watched for photographs, and the folders that receive them.

    Attributes:
        path: The folder, watched with all below it.
        recipe: Name of the recipe for all photographs in it. None for the station's own inbox,
            where the first sub-folder names the recipe and files outside of them go to the first
            recipe that matches.
        outbox: Folder of its results.
        failed: Folder of its originals that could not be restored.
        archive: Folder of its finished originals.
        originals: What happens to an original when its result is complete.
        polled: Whether it is only scanned, because the file system sends no events.
        bulk: Name of the bulk job that it belongs to; "" if people drop photographs into it.
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
        """Whether its photographs are archived originals that are restored again."""
        return self.path == self.archive


@dataclass(frozen=True)
class Notice:
    """Something in an inbox that a person should know about and that stays where it is.

    Attributes:
        path: The file or folder.
        what: What there is to know, such as "waits for its other half" or "symbolic link".
        since: Since when, in UTC seconds since the epoch.
    """

    path: Path
    what: str
    since: float
