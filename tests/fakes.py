"""Stand-ins for the compute side: what the service is tested with, without a network."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from daemon.job import (
    Compute,
    Failed,
    HandedBack,
    Order,
    Outcome,
    Rejected,
    Report,
    Restored,
    StagedFile,
    Timing,
    WorkerDied,
    WorkerReady,
)


def restored(order: Order) -> Restored:
    """Stage the photograph's own bytes, turned round, as its result."""
    path = order.staging / "0.png"
    content = b"".join(photo.path.read_bytes()[::-1] for photo in order.job.photos)
    path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    timing = Timing(0.1, 0.2, 0.3, 0.4, 5, 6)
    return Restored(
        order.fence, (StagedFile(path, "{stem}.png", digest, 1, 1),), (), (), timing, "fake"
    )


class FakeExecutor:
    """Answers every order at once; what it answers depends on the photograph's name."""

    def __init__(self, compute: Compute, report: Callable[[Report], None]) -> None:
        self._report = report
        self.orders: list[Order] = []
        self._killed = False

    def start(self) -> None:
        self._report(WorkerReady("fake"))

    def submit(self, order: Order) -> None:
        self.orders.append(order)
        name = order.job.photos[0].name
        if "killer" in name:
            fences = tuple(known.fence for known in self.orders)
            self.orders.clear()
            self._killed = True
            self._report(WorkerDied(fences, "signal 9"))
        elif self._killed or "held" not in name:
            self.orders.remove(order)
            self._report(self.answer(order, name))

    def answer(self, order: Order, name: str) -> Outcome:
        if "broken" in name:
            return Rejected(order.fence, f"{order.job.photos[0].path}: it ends early")
        if "full" in name:
            return Failed(order.fence, "no space left", passing=True, no_space=True)
        if "passing" in name:
            return Failed(order.fence, "the device was lost", passing=True)
        if "bug" in name:
            return Failed(order.fence, "KeyError: 'x'", trace="Traceback …")
        return restored(order)

    def stop(self, drain_s: float) -> None:
        self._report(HandedBack(tuple(order.fence for order in self.orders)))
        self.orders.clear()


def everything_below(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its content, by relative path."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
