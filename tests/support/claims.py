"""TODO."""

from pathlib import Path

from daemon.config.station import InboxFolder
from daemon.jobs.ledger.entries import ClaimedFile, ClaimedFiles
from daemon.photo import Header


def claimed(tmp_path: Path, name: str = "scan.jpg", originals: str = "archive") -> ClaimedFiles:
    folder = InboxFolder(
        tmp_path / "in",
        None,
        tmp_path / "out",
        tmp_path / "bad",
        tmp_path / "old",
        originals,  # type: ignore[arg-type]
    )
    header = Header("JPEG", 640, 480, "RGB")
    path = tmp_path / "work" / name
    file = ClaimedFile("photo", Path("denoise") / name, path, 7, 99, "digest", header)
    return ClaimedFiles(folder, "scan", (file,))
