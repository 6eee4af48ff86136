"""Asks the picture process, kills it where it hangs, and keeps what it drew.

The page imports no decoder and never opens a photograph to look into it.
"""

import contextlib
import hashlib
import os
import queue
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import structlog

from daemon.photo import Limits
from daemon.system.helper_process import START_S, HelperHandle, HelperProcess, Ready, prepare_thread
from daemon.web.picture_process import run_picture_process
from daemon.web.picture_questions import Answer, Drawn, NotDrawn, PictureQuestion

_log = structlog.get_logger()

_ANSWER_S = 60.0
"""Seconds for one picture; whatever takes longer is not shown."""

_PROCESSES = 2
_MAX_WAITING = 256
"""Most questions that wait; more are told to ask again."""

_MAX_CACHED = 20_000
"""Most drawn pictures that are kept, about 30 kB each."""

_LOOK_EVERY = 500
"""Pictures drawn between two looks at how many are kept."""


class Pictures:
    """Draws pictures in helper processes, from any thread."""

    def __init__(
        self,
        limits: Limits,
        cache: Path | None,
        start: Callable[[Limits], HelperHandle] | None = None,
        answer_s: float = _ANSWER_S,
    ) -> None:
        """Start nothing yet: a process begins with the first question.

        Args:
            limits: Larger pictures are refused.
            cache: Folder of what was drawn; None keeps nothing.
            start: Starts a helper.
            answer_s: Seconds that one picture may take.
        """
        self._limits = limits
        self._cache = cache
        self._start = start or _start_process
        self._answer_s = answer_s
        self._waiting: queue.Queue[tuple[PictureQuestion, Future[Answer]] | None]
        self._waiting = queue.Queue(_MAX_WAITING)
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._drawn = 0

    def draw(self, question: PictureQuestion) -> Answer:
        """What a part of a picture looks like; waits for it."""
        place = self._place(question)
        if place is not None and (found := _read_cached(place)) is not None:
            return found
        asked: Future[Answer] = Future()
        self._begin()
        try:
            self._waiting.put_nowait((question, asked))
        except queue.Full:
            return NotDrawn("too many pictures are asked for at once; load the page again")
        answer = asked.result(START_S + self._answer_s * (_MAX_WAITING + 1))
        if isinstance(answer, Drawn) and place is not None:
            self._keep(place, answer)
        return answer

    def close(self) -> None:
        """End the processes."""
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join(5.0)

    def _begin(self) -> None:
        with self._lock:
            if not self._threads:
                for number in range(_PROCESSES):
                    thread = threading.Thread(
                        target=self._serve, name=f"pictures-{number}", daemon=True
                    )
                    self._threads.append(thread)
                    thread.start()

    def _serve(self) -> None:
        """Ask one helper what comes; it ends with this thread, which therefore stays."""
        prepare_thread()
        helper: HelperHandle | None = None
        while (asked := self._waiting.get()) is not None:
            question, future = asked
            try:
                helper = helper or self._started()
                helper.pipe.send(question)
                if helper.pipe.poll(self._answer_s):
                    future.set_result(helper.pipe.recv())
                    continue
                why = f"it took more than {self._answer_s:.0f} s to read"
            except (EOFError, OSError):
                why = "reading it killed the process that draws pictures"
            if helper is not None:
                helper.kill()
                how = helper.end().how
                helper = None
                _log.warning("picture_not_drawn", photo=question.name, why=why, how=how)
            future.set_result(NotDrawn(why))
        if helper is not None:
            helper.kill()
            helper.end()

    def _started(self) -> HelperHandle:
        helper = self._start(self._limits)
        if not helper.pipe.poll(START_S) or not isinstance(helper.pipe.recv(), Ready):
            helper.kill()
            raise OSError("it did not start")
        return helper

    def _place(self, question: PictureQuestion) -> Path | None:
        if self._cache is None:
            return None
        meaning = repr((os.fsencode(question.path), question.version, question.box, question.size))
        suffix = ".png" if question.lossless else ".jpg"
        digest = hashlib.sha256(meaning.encode()).hexdigest()
        return self._cache / digest[:2] / f"{digest}{suffix}"

    def _keep(self, place: Path, drawn: Drawn) -> None:
        with contextlib.suppress(OSError):  # without the cache it is drawn again
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            part = place.with_name(f".{secrets.token_hex(8)}.part")
            size = drawn.width.to_bytes(4, "big") + drawn.height.to_bytes(4, "big")
            part.write_bytes(size + drawn.data)
            part.replace(place)
        self._drawn += 1
        if self._drawn % _LOOK_EVERY == 1:
            self._prune()

    def _prune(self) -> None:
        """Remove those drawn first where there are too many."""
        if self._cache is None:
            return
        with contextlib.suppress(OSError):
            files = sorted(
                (path for path in self._cache.glob("*/*") if path.is_file()),
                key=lambda path: path.stat().st_mtime,
            )
            for path in files[: max(0, len(files) - _MAX_CACHED)]:
                path.unlink(missing_ok=True)


def _read_cached(place: Path) -> Drawn | None:
    try:
        content = place.read_bytes()
    except OSError:
        return None
    kind = "image/png" if place.suffix == ".png" else "image/jpeg"
    width, height = int.from_bytes(content[:4], "big"), int.from_bytes(content[4:8], "big")
    return Drawn(content[8:], kind, width, height)


def _start_process(limits: Limits) -> HelperHandle:
    return HelperProcess(run_picture_process, limits)
