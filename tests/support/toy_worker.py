"""A worker process with the toy restorer; importable by name, without torch, as it is spawned."""

import os
import warnings
from multiprocessing.connection import Connection

from daemon.executors.worker import run_worker
from daemon.messages.tasks import Compute


def toy_worker(pipe: Connection, compute: Compute, parent: int) -> None:
    """Carry out tasks as the real worker does; only here are the toy and torch imported."""
    from tests.support.engine_fakes import deadly_backend

    run_worker(pipe, compute, parent, deadly_backend)


def worker_with_last_words(pipe: Connection, compute: Compute, parent: int) -> None:
    """Warn, say something as C code does, and end before it is ready."""
    warnings.warn("odd\nchunk", UserWarning, stacklevel=1)
    os.write(2, b"libcuda.so.1: version mismatch\n")
    os._exit(3)
