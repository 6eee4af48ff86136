"""The log of a run: one line of JSON for each report."""

import json
from pathlib import Path
from typing import Any

from training.checkpoint import Progress


def append_line(folder: Path, progress: Progress, numbers: dict[str, object]) -> None:
    """Append the progress of a run, and numbers, to its log.jsonl."""
    said = {"step": progress.step, "trained_s": round(progress.trained_s, 1)}
    with (folder / "log.jsonl").open("a", encoding="utf-8") as log:
        log.write(json.dumps(said | numbers) + "\n")


def read_lines(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's log; none if it has none yet."""
    path = folder / "log.jsonl"
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
