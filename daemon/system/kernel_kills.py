"""Evidence of why a process was killed: by the kernel for want of memory, or by somebody.

The kernel counts what it kills when memory runs out, for the machine and for each control group.
Nothing is written.
"""

import resource
from dataclasses import dataclass
from pathlib import Path

from daemon.system.cgroups import memory_groups

_PROC = Path("/proc")
_EVENTS = ("memory.events", "memory.oom_control")
"""Files of a control group, version 2 or 1, with a line "oom_kill N"."""


@dataclass(frozen=True)
class KernelKills:
    """Processes killed for want of memory.

    Attributes:
        of_group: Those of the control groups of this process, which have limits of their own.
        of_machine: All.
    """

    of_group: int
    of_machine: int


def read_kernel_kills(proc: Path = _PROC) -> KernelKills:
    """The kernel's count until now; 0 where it does not tell."""
    groups = [folder / name for folder in memory_groups(proc / "self") for name in _EVENTS]
    return KernelKills(
        of_group=sum(_number(path, "oom_kill") for path in groups),
        of_machine=_number(proc / "vmstat", "oom_kill"),
    )


def ran_out_of_memory(before: KernelKills, proc: Path = _PROC) -> bool:
    """Whether a child process that was killed meanwhile had itself used up the memory.

    It had if the limit of its control group was reached; or if the machine had none left, and a
    child of this process has held half of it. Else other programs had taken it.

    Args:
        before: What the kernel had counted when the child was started.
        proc: Where the kernel tells.
    """
    now = read_kernel_kills(proc)
    if now.of_group > before.of_group:
        return True
    largest_kb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return now.of_machine > before.of_machine and (
        2 * largest_kb >= _number(proc / "meminfo", "MemTotal:")
    )


def is_stopped(pid: int, proc: Path = _PROC) -> bool:
    """Whether a signal has stopped a process, or a debugger holds it."""
    try:
        text = (proc / str(pid) / "stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] in ("T", "t")


def _number(path: Path, name: str) -> int:
    """The number that follows a name in a file of such lines; 0 if it is not there."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return 0
    found = (line.split() for line in lines)
    return next((int(words[1]) for words in found if len(words) > 1 and words[0] == name), 0)
