"""A run of one target: starts the process that fuzzes, again when it dies, and collects finds."""

import hashlib
import json
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.fuzz.isolation import death, judge_apart, minimise
from benchmarks.fuzz.oracle import Find, Target
from benchmarks.fuzz.seeds import MAX_BYTES
from benchmarks.fuzz.worker_files import FINDS, HEAD, INPUT

_LOOK_S = 0.5
_HANG_S = 60.0
"""Seconds without a further input after which the process hangs."""

_MAX_STARTS = 50


@dataclass
class Tally:
    """What a run came to.

    Attributes:
        executions: Inputs that were read.
        starts: How often the process was started.
        seconds: How long it ran.
        corpus: Inputs that reached code which no other reached.
        finds: What was found, made small, by its kind.
        passing: Finds that did not come again without instrumentation.
    """

    executions: int = 0
    starts: int = 0
    seconds: float = 0.0
    corpus: int = 0
    finds: dict[str, tuple[bytes, Find]] = field(default_factory=dict)
    passing: list[str] = field(default_factory=list)


class Run:
    """Fuzzes one target."""

    def __init__(self, target: Target, folder: Path, corpus: Path, seed: int) -> None:
        """Begin with the seeds of the target and with what is in the corpus.

        Args:
            target: The target.
            folder: An empty folder for the files of the run.
            corpus: Folder of inputs, kept from run to run; new ones are added.
            seed: Makes a run repeat, as far as time does not decide.
        """
        self.tally = Tally()
        self._target, self._folder, self._corpus, self._seed = target, folder, corpus, seed
        (folder / FINDS).mkdir(parents=True)
        corpus.mkdir(parents=True, exist_ok=True)
        for content in target.seeds():
            (corpus / hashlib.sha256(content).hexdigest()[:16]).write_bytes(content)

    def carry_out(self, seconds: float) -> Tally:
        """Fuzz for so long, then make every find small."""
        began = time.monotonic()
        while (left := seconds - (time.monotonic() - began)) > 1:
            if self.tally.starts == _MAX_STARTS:
                break
            self._fuzz(left)
        self.tally.seconds = time.monotonic() - began
        self.tally.corpus = len(list(self._corpus.iterdir()))
        for path in sorted((self._folder / FINDS).glob("*.json")):
            kind, _ = json.loads(path.read_text("utf-8"))
            self._keep(kind, path.with_suffix("").read_bytes())
        return self.tally

    def _fuzz(self, seconds: float) -> None:
        """One life of the process that fuzzes."""
        self.tally.starts += 1
        options = [
            f"-max_total_time={max(1, round(seconds))}",
            f"-max_len={MAX_BYTES}",
            f"-seed={(self._seed + self.tally.starts) % 2**31 or 1}",
            *("-rss_limit_mb=0", "-timeout=3600", "-verbosity=1", "-reload=0"),
            f"-artifact_prefix={self._folder}/",
        ]
        command = [sys.executable, "-m", "benchmarks.fuzz.worker", self._target.name]
        command += [str(self._folder), *options, str(self._corpus)]
        with (self._folder / "log").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
            try:
                hung = self._watch(process, seconds)
            finally:
                process.kill()
                code = process.wait()
        done, content = self._at_work()
        self.tally.executions += done
        if hung:
            self._keep("hangs", content)
        elif code < 0:
            self._keep(death(-code), content)
        elif code != 0:
            self._keep("ends its process", content)

    def _watch(self, process: "subprocess.Popen[bytes]", seconds: float) -> bool:
        """Wait until the process ends; whether it hangs."""
        last, since = -1, time.monotonic()
        until = since + seconds + _HANG_S
        while process.poll() is None:
            done, _ = self._at_work()
            now = time.monotonic()
            if done != last:
                last, since = done, now
            if now - since > _HANG_S:
                return done > 0
            if now > until:
                return False
            time.sleep(_LOOK_S)
        return False

    def _at_work(self) -> tuple[int, bytes]:
        """How many inputs the process has begun with, and the last of them."""
        try:
            with (self._folder / INPUT).open("rb") as file:
                done, length = HEAD.unpack(file.read(HEAD.size))
                return done, file.read(length)
        except (OSError, ValueError):
            return 0, b""

    def _last_words(self) -> str:
        """What the process wrote last, without what it tells of its progress."""
        written = (self._folder / "log").read_text("utf-8", "replace").splitlines()
        return " | ".join(line for line in written if not line.startswith(("#", "INFO")))[-800:]

    def _keep(self, kind: str, content: bytes) -> None:
        """Judge a find without instrumentation, and keep it, made small, if it comes again."""
        find = judge_apart(self._target, content)
        if find is None:
            self.tally.passing.append(kind)
            print(f"{kind} under instrumentation only: {self._last_words()}", file=sys.stderr)
            return
        if find.kind in self.tally.finds:
            return
        wanted = find.kind
        if wanted != "hangs":  # each try would take long

            def still_bad(smaller: bytes) -> bool:
                again = judge_apart(self._target, smaller)
                return again is not None and again.kind == wanted

            content = minimise(content, still_bad)
        self.tally.finds[find.kind] = (content, judge_apart(self._target, content) or find)


def save(finds: dict[str, tuple[bytes, Find]], folder: Path) -> list[Path]:
    """Save finds below a folder; returns their files."""
    folder.mkdir(parents=True, exist_ok=True)
    saved = []
    for content, _ in finds.values():
        path = folder / hashlib.sha256(content).hexdigest()[:16]
        path.write_bytes(content)
        saved.append(path)
    return saved


def remove(folder: Path) -> None:
    """Remove the files of a run."""
    shutil.rmtree(folder, ignore_errors=True)
