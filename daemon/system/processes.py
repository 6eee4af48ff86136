"""Child processes: that they end with their parent, and how they ended in words."""

import contextlib
import ctypes
import os
import signal
import sys
from pathlib import Path

from daemon.system.kernel_kills import KernelKills, ran_out_of_memory

_PR_SET_PDEATHSIG = 1

_OWN_SIGNALS = frozenset(
    (
        *(signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT),
        *(signal.SIGTRAP, signal.SIGSYS, signal.SIGXCPU, signal.SIGXFSZ),
    )
)
"""Signals by which a process ends through its own doing."""

_FIRST_TO_KILL = "500"
"""Out-of-memory score, of 1000: the kernel ends this process before the one that started it."""


def end_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent ends; end now if it already has.

    The kernel goes by the thread that started this process: it must live as long as the parent.

    Args:
        parent: Process id of the parent.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def die_first_without_memory() -> None:
    """Have the kernel kill this process before others when memory runs out, if it can be asked."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_KILL)


def is_ended_from_outside(exit_code: int | None, before: KernelKills) -> bool:
    """Whether a signal of somebody else ended a process, and so not what it did.

    Args:
        exit_code: As multiprocessing tells it: the negative number of the signal that killed it.
        before: What the kernel had killed for want of memory when the process was started.
    """
    code = exit_code or 0
    if code >= 0 or -code in _OWN_SIGNALS:
        return False
    return -code != signal.SIGKILL or not ran_out_of_memory(before)


def how_it_ended(exit_code: int | None, *, outside: bool) -> str:
    """How a process ended, in words that follow its name.

    Args:
        exit_code: As multiprocessing tells it.
        outside: See `is_ended_from_outside`.
    """
    if exit_code is None or exit_code >= 0:
        return f"ended with exit code {exit_code}"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        name = f"signal {-exit_code}"
    if outside:
        return f"was killed from outside by {name}"
    return f"was killed by {name}{'; memory had run out' if -exit_code == signal.SIGKILL else ''}"
