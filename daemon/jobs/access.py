"""Access: who may read what the daemon writes for people."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Access:
    """Permissions of what is written.

    Attributes:
        file_mode: Permission bits of results and records.
        group: Group id of everything that is made; None for the group of the process.
    """

    file_mode: int = 0o644
    group: int | None = None
