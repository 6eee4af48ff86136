"""Judges an input in a process of its own, which it may kill or hang, and makes finds smaller."""

import contextlib
import os
import select
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.fuzz.oracle import Find, Target, judge

_HANG = 10.0
"""A process that takes so many times the CPU time of its target, by the clock, hangs."""

_LEAST_WAIT_S = 10.0
"""Seconds for which a process is waited for at least: machines are busy."""

_MAX_TRIES = 400
"""Inputs that are tried to make a find smaller."""


def judge_apart(target: Target, content: bytes) -> Find | None:
    """As `judge`, in a forked process; one that dies or hangs is a find, too."""
    with scratch_folder() as scratch:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            _judge_and_exit(target, content, scratch, writing)
        os.close(writing)
        with open(reading, "rb") as pipe:  # noqa: PTH123  # it is a descriptor
            wait_s = max(_LEAST_WAIT_S, _HANG * target.cpu_s)
            ready, _, _ = select.select([pipe], [], [], wait_s)
            if not ready:
                os.kill(child, signal.SIGKILL)
            verdict = pipe.read()
        _, status = os.waitpid(child, 0)
    if not ready:
        return Find("hangs", f"had not ended after {wait_s:.0f} s")
    if os.WIFSIGNALED(status):
        return Find(death(os.WTERMSIG(status)), "the process that read it died")
    if not verdict:
        return Find("ends its process", f"exit code {os.WEXITSTATUS(status)}")
    kind, _, detail = verdict.decode("utf-8", "replace").partition("\n")
    return Find(kind, detail) if kind else None


def death(number: int) -> str:
    """What kind of find it is to be killed by a signal."""
    return f"killed by {signal.Signals(number).name}"


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder in memory, if the system has such; removed at the end."""
    memory = Path("/dev/shm")
    place = memory if os.access(memory, os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="restored-fuzz-", dir=place))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def minimise(content: bytes, still_bad: Callable[[bytes], bool]) -> bytes:
    """A smaller input that is still bad: parts are cut out, then bytes become zeros.

    Args:
        content: An input that is bad.
        still_bad: Says so of an input.
    """
    tries = iter(range(_MAX_TRIES))
    length = max(1, len(content) // 2)
    while length:
        at = 0
        while at < len(content):
            shorter = content[:at] + content[at + length :]
            if next(tries, None) is None:
                return content
            if still_bad(shorter):
                content = shorter
            else:
                at += length
        length //= 2
    for at in range(len(content)):
        plain = content[:at] + b"\0" + content[at + 1 :]
        if plain == content:
            continue
        if next(tries, None) is None:
            break
        if still_bad(plain):
            content = plain
    return content


def _judge_and_exit(target: Target, content: bytes, scratch: Path, writing: int) -> None:
    """Judge, write the verdict into a pipe, and end without cleaning up; never returns."""
    code = 1
    try:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        find = judge(target, content, scratch)
        text = f"{find.kind}\n{find.detail}" if find else "\n"
        os.write(writing, text.encode("utf-8", "backslashreplace")[:60_000])
        code = 0
    finally:
        os._exit(code)
