"""Habits of this process that are fixed before torch is first imported: of OpenMP, malloc, Hub.

Comes in: how many threads the network may have. Goes out: environment variables of this process
and settings of its C library.
"""

import ctypes
import os
import sys

_SPINS = 2000
"""About 20 us, so that the next operation finds its threads awake."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 128 << 20
_MAPPED_FROM_BYTES = 32 << 20


def tune_process(threads: int | None) -> None:
    """Let idle OpenMP threads soon sleep, and keep the memory of one pass for the next.

    The cores also decode, encode and run generators, and other programs want them too. One 512-px
    evaluation on two cores took, with torch's own habits, threads that sleep at once, and these:
    139, 175 and 146 ms alone; 1191, 231 and 236 ms beside two other busy processes. malloc would
    give the activations back to the system after every operation, and the page faults of taking
    them anew cost a tenth of a pass. What the user has set for OpenMP stays. Whatever a library
    may do, this process fetches nothing from the Hub.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", str(_SPINS))
    os.environ["HF_HUB_OFFLINE"] = "1"
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(threads)
    if sys.platform == "linux":
        _keep_memory()


def _keep_memory() -> None:
    """Raise the sizes beyond which glibc returns memory; other C libraries have no such sizes."""
    tune = getattr(ctypes.CDLL(None), "mallopt", None)
    if tune is not None:
        tune(_M_MMAP_THRESHOLD, _MAPPED_FROM_BYTES)
        tune(_M_TRIM_THRESHOLD, _KEPT_BYTES)
