"""Tunes this process for torch, before torch is first imported: OpenMP, malloc and the Hub."""

import ctypes
import os
import sys

_SPINS = 2000
"""Times an idle OpenMP thread spins before it sleeps: about 20 us, until the next operation."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_TRIM_BYTES = 128 << 20
_MMAP_BYTES = 32 << 20


def tune_process(threads: int | None) -> None:
    """Let idle OpenMP threads sleep soon, and keep the memory of one pass for the next.

    The cores also decode, encode and run generators, and other programs want them too. One 512-px
    evaluation on two cores took 139 ms with torch's own habits, 175 ms with threads that sleep at
    once, and 146 ms with these; beside two other busy processes 1191, 231 and 236 ms.

    malloc would return the activations to the system after every operation, and the page faults of
    taking them again cost a tenth of a pass.

    What the user has set for OpenMP stays. Whatever a library tries, this process fetches nothing
    from the Hub.

    Args:
        threads: CPU threads for networks; None leaves OpenMP's own number.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", str(_SPINS))
    os.environ["HF_HUB_OFFLINE"] = "1"
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(threads)
    if sys.platform == "linux":
        _keep_freed_memory()


def _keep_freed_memory() -> None:
    """Raise the sizes beyond which glibc returns memory; other C libraries have no such sizes."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _MMAP_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _TRIM_BYTES)
