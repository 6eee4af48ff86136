"""Whether the disk of a folder answers: a share whose server is gone holds whoever asks it.

A system call on such a share does not return until the share does, and nothing can end it but the
end of its process. So a thread asks first, and is left alone where no answer comes.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

_WAIT_S = 10.0
"""Seconds for an answer; a disk that sleeps needs about ten to spin up."""

_FRESH_S = 1.0
"""Seconds for which an answer counts: a turn of the loop asks for the same folder many times."""


@dataclass
class _Asked:
    """A question: when it was asked, in monotonic seconds, and whether it has been answered."""

    at: float
    answered: threading.Event = field(default_factory=threading.Event)


class DiskProbe:
    """Asks disks whether they answer, each in a thread of its own; any thread may use it."""

    def __init__(
        self,
        look: Callable[[Path], object] | None = None,
        *,
        wait_s: float = _WAIT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; nothing is asked yet.

        Args:
            look: Asks the disk of a folder anything; may raise OSError, which is an answer.
            wait_s: Seconds to wait for an answer.
            clock: Monotonic seconds.
        """
        self._look = look or os.statvfs  # unlike the attributes of a folder it is not cached
        self._wait_s = wait_s
        self._clock = clock
        self._asked: dict[Path, _Asked] = {}
        self._lock = threading.Lock()

    def answers(self, folder: Path) -> bool:
        """Whether the disk of a folder answers; waits for it once, and later only looks."""
        with self._lock:
            asked = self._asked.get(folder)
            is_old = asked is not None and self._clock() - asked.at >= _FRESH_S
            if asked is None or (is_old and asked.answered.is_set()):
                asked = self._asked[folder] = _Asked(self._clock())
                self._ask(folder, asked)
                wait_s = self._wait_s
            else:
                wait_s = 0.0
        return asked.answered.wait(wait_s)

    def silent(self, folders: Iterable[Path]) -> list[Path]:
        """Those of some folders whose disks do not answer."""
        return [folder for folder in dict.fromkeys(folders) if not self.answers(folder)]

    def _ask(self, folder: Path, asked: _Asked) -> None:
        def ask() -> None:
            try:
                with contextlib.suppress(OSError):
                    self._look(folder)
            finally:
                asked.answered.set()

        try:
            threading.Thread(target=ask, name="disk-probe", daemon=True).start()
        except RuntimeError:  # no thread is to be had: whoever needs the disk will find out
            asked.answered.set()
