"""A reader process that dies or hangs where the name of the file says so."""

import os
import signal
import time
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import daemon.intake.reader_process as reading
from daemon.intake.file_reader import ReaderProcess
from daemon.photo import Header, Limits, read_header
from daemon.system.files import sha256_of
from daemon.system.shared_folder import take_copy


def run_toy_reader(pipe: Connection, limits: Limits, parent: int) -> None:
    """As `run_reader`, but files called so kill it or hang: "killer-digest", "hang-header" ...

    As if somebody else did it, once: "outside-kill", "outside-stop".
    """

    def misbehave(path: Path, step: str) -> None:
        if f"killer-{step}" in path.name:
            os.kill(os.getpid(), signal.SIGSEGV)
        if f"hang-{step}" in path.name:
            time.sleep(3600)
        if path.name.startswith("outside-") and not path.stat().st_mode & 1:
            path.chmod(0o755)
            os.kill(os.getpid(), signal.SIGKILL if "kill" in path.name else signal.SIGSTOP)

    def digest(path: Path, beneath: Path | None) -> str:
        misbehave(path, "digest")
        return sha256_of(path, beneath)

    def header(path: Path, limits: Limits, *, name: str, beneath: Path | None) -> Header:
        misbehave(path, "header")
        return read_header(path, limits, name=name, beneath=beneath)

    def copy(source: Path, target: Path, beneath: Path, max_bytes: float) -> None:
        misbehave(source, "copy")
        take_copy(source, target, beneath, max_bytes)

    vars(reading).update(sha256_of=digest, read_header=header, take_copy=copy)
    reading.run_reader(pipe, limits, parent)


ToyReader = partial(ReaderProcess, main=run_toy_reader)
"""Starts one."""
