"""The process that fuzzes one target: atheris calls the oracle, finds go into a folder.

    python -m benchmarks.fuzz.worker TARGET PLACE CORPUS ... libFuzzer's options

It may die or hang by what it reads. So the input at work stands in a file that is mapped into
memory, from which the parent takes it, and finds are written as they come.
"""

import hashlib
import json
import mmap
import os
import random
import sys
from pathlib import Path

import atheris

from benchmarks.fuzz.worker_files import FINDS, HEAD, INPUT, INPUT_BYTES

_PATIENCE = 6.0
"""How many times the CPU time of a target its instrumented code may take."""

_STRUCTURED = 0.5
"""Share of the inputs that are changed along their structure."""

_INSTRUMENTED = ["daemon", "PIL", "tifffile", "tomllib", "cronsim"]


def main(arguments: list[str]) -> None:
    """Fuzz until libFuzzer's time is over; never returns."""
    name, place, *options = arguments
    with atheris.instrument_imports(include=_INSTRUMENTED, enable_loader_override=False):
        from benchmarks.fuzz.isolation import scratch_folder
        from benchmarks.fuzz.oracle import judge
        from benchmarks.fuzz.targets import TARGETS
    target, folder = TARGETS[name], Path(place)
    _silence()
    shown = _mapped(folder / INPUT)
    known: set[str] = set()
    done = 0

    def change(content: bytes, max_size: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if rng.random() < _STRUCTURED:
            changed = target.mutate(content, rng)
            if len(changed) <= max_size and changed != content:
                return changed
        return bytes(atheris.Mutate(content, max_size))

    with scratch_folder() as scratch:

        def take(content: bytes) -> None:
            nonlocal done
            done += 1
            shown[: HEAD.size + len(content)] = HEAD.pack(done, len(content)) + content
            find = judge(target, content, scratch, patience=_PATIENCE)
            if find is not None and find.kind not in known:
                known.add(find.kind)
                digest = hashlib.sha256(content).hexdigest()[:16]
                (folder / FINDS / digest).write_bytes(content)
                told = json.dumps([find.kind, find.detail])
                (folder / FINDS / f"{digest}.json").write_text(told, "utf-8")

        atheris.Setup([sys.argv[0], *options], take, custom_mutator=change)
        atheris.Fuzz()


def _silence() -> None:
    """Drop what the project logs."""
    import structlog

    structlog.configure(logger_factory=structlog.ReturnLoggerFactory(), processors=[_drop])


def _drop(logger: object, method: str, event: object) -> str:
    return ""


def _mapped(path: Path) -> mmap.mmap:
    with path.open("w+b") as file:
        os.ftruncate(file.fileno(), HEAD.size + INPUT_BYTES)
        return mmap.mmap(file.fileno(), 0)


if __name__ == "__main__":
    main(sys.argv[1:])
