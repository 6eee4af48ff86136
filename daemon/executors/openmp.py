"""OpenMP's habits, set before torch is first imported; afterwards they are fixed.

Comes in: how many threads the network may have. Goes out: environment variables of this process.
"""

import os


def tame_openmp(threads: int | None) -> None:
    """Let idle OpenMP threads sleep rather than spin.

    The cores also decode, encode and run generators, and other programs want them too. Measured
    on two cores with another busy process beside it: one 512-px evaluation took 1.2 s with threads
    that spin and 0.1 s with threads that sleep. What the user has set stays.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(threads)
