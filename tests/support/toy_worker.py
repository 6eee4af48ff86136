"""A worker process with the toy restorer; spawned, so importable by name, and without torch."""

from multiprocessing.connection import Connection

from daemon.executors.worker import work
from daemon.messages.tasks import Compute


def toy_worker(pipe: Connection, compute: Compute, parent: int) -> None:
    """Serve orders as the real worker does; only here the toy and torch are imported."""
    from tests.support.engine_fakes import deadly_backend

    work(pipe, compute, parent, deadly_backend)
