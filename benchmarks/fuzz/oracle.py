"""The oracle: what may come out of a reader, and what is a find.

A reader may return, or raise the errors that it declares, within bounds of time and memory. The
message of such an error must be text of a bounded length, since the daemon stores and shows it.
Anything else is a find.
"""

from __future__ import annotations

import contextlib
import os
import random
import resource
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

MAX_MESSAGE = 20_000
"""Most characters of a message. An explanation of a recipe has a line for each of its faults."""

_PROJECT = str(Path(__file__).parents[2] / "daemon") + os.sep

Mutate = Callable[[bytes, random.Random], bytes]
"""Changes an input along its structure; returns it as it is where it has none."""


class BrokenPromiseError(Exception):
    """A reader returned what it promises not to return."""


@dataclass(frozen=True)
class Target:
    """A reader that is fuzzed.

    Attributes:
        name: Its name on the command line.
        read: Reads an input; the folder is an empty one in which it may place files.
        declared: The errors that may come out of it.
        seeds: Makes inputs to begin with.
        mutate: Changes an input along its structure.
        cpu_s: CPU seconds that an input may take.
        memory_mb: Memory that an input may take, in units of 2**20 bytes.
    """

    name: str
    read: Callable[[bytes, Path], None]
    declared: tuple[type[Exception], ...]
    seeds: Callable[[], Sequence[bytes]]
    mutate: Mutate
    cpu_s: float = 1.0
    memory_mb: int = 256


@dataclass(frozen=True)
class Find:
    """An input after which something came out that must not.

    Attributes:
        kind: What came out, and where: finds of one kind have one cause, mostly.
        detail: The traceback, or what was measured.
    """

    kind: str
    detail: str


def judge(target: Target, content: bytes, scratch: Path, *, patience: float = 1.0) -> Find | None:
    """Have a reader read an input; None if all is as it must be.

    Args:
        target: The reader.
        content: The input.
        scratch: Folder for files of the reader.
        patience: How many times the CPU time of the target is allowed: instrumented code is slow.
    """
    began = time.process_time()
    try:
        with warnings.catch_warnings(), _bounded_memory(target.memory_mb):
            warnings.simplefilter("ignore")
            target.read(content, scratch)
    except target.declared as error:
        find = _judge_message(error)
    except BrokenPromiseError as error:
        find = Find(f"promise: {error}", traceback.format_exc())
    except Exception as error:
        find = Find(f"{type(error).__name__} in {_place(error)}", traceback.format_exc())
    else:
        find = None
    seconds = time.process_time() - began
    if find is None and seconds > patience * target.cpu_s:
        why = f"{seconds:.1f} s of CPU time, allowed {patience * target.cpu_s:g} s"
        find = Find("too slow", why)
    return find


def _judge_message(error: Exception) -> Find | None:
    text = str(error)
    if len(text) > MAX_MESSAGE:
        return Find(f"long message in {_place(error)}", f"{len(text)} characters: {text[:200]!r}")
    try:
        text.encode()
    except UnicodeEncodeError:
        return Find(f"message that is no text in {_place(error)}", ascii(text[:500]))
    return None


def _place(error: Exception) -> str:
    """The innermost function of the project in a traceback, such as "tiff_directory.read_layout".

    Functions that do not belong to the project are the fuzzer's own, where no other is there.
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename.startswith(_PROJECT)]
    frame = (own or frames)[-1]
    return f"{Path(frame.filename).stem}.{frame.name}"


@contextlib.contextmanager
def _bounded_memory(megabytes: int) -> Iterator[None]:
    """Let allocations fail that take this process further than so much beyond what it has."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    except OSError:  # a system that does not tell
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    bound = pages * resource.getpagesize() + (megabytes << 20)
    if before[1] != resource.RLIM_INFINITY:
        bound = min(bound, before[1])
    resource.setrlimit(resource.RLIMIT_AS, (bound, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
