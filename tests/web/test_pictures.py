"""Pictures are drawn in processes that may hang or die of a photograph."""

import os
import signal
import threading
import time
from multiprocessing import Pipe
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from daemon.photo import Limits
from daemon.photo.profiles import ADOBE_RGB_ICC
from daemon.system.helper_process import Death, HelperProcess, Ready
from daemon.web.picture_process import run_picture_process
from daemon.web.picture_questions import Drawn, NotDrawn, PictureQuestion
from daemon.web.pictures import Pictures
from tests.support.web_site import PictureThread


def question(path: Path, **more: object) -> PictureQuestion:
    status = path.stat()
    version = (status.st_mtime_ns, status.st_size)
    return PictureQuestion(path, path.name, None, version, **more)  # type: ignore[arg-type]


def opened(drawn: object, tmp_path: Path) -> Image.Image:
    assert isinstance(drawn, Drawn), drawn
    (tmp_path / "drawn").write_bytes(drawn.data)
    return Image.open(tmp_path / "drawn").convert("RGB")


def test_sixteen_bits_are_rounded_and_opacity_lies_on_white(tmp_path: Path) -> None:
    grey = np.full((4, 6), 0x8081, np.uint16)
    Image.fromarray(grey).save(tmp_path / "deep.png")
    Image.new("RGBA", (6, 4), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    pictures = Pictures(Limits(), None, PictureThread)
    deep = opened(pictures.draw(question(tmp_path / "deep.png", lossless=True)), tmp_path)
    assert deep.getpixel((0, 0)) == (128, 128, 128)
    clear = opened(pictures.draw(question(tmp_path / "clear.png", lossless=True)), tmp_path)
    assert (clear.size, clear.getpixel((0, 0))) == ((6, 4), (255, 255, 255))
    pictures.close()


def test_the_profile_of_a_photograph_is_respected(tmp_path: Path) -> None:
    image = Image.new("RGB", (4, 4), (60, 200, 60))
    image.save(tmp_path / "wide.png", icc_profile=ADOBE_RGB_ICC)
    pictures = Pictures(Limits(), None, PictureThread)
    drawn = opened(pictures.draw(question(tmp_path / "wide.png", lossless=True)), tmp_path)
    assert drawn.getpixel((0, 0)) != (60, 200, 60)
    pictures.close()


def test_what_was_drawn_is_kept_until_the_file_changes(tmp_path: Path) -> None:
    path, cache = tmp_path / "a.png", tmp_path / "cache"
    Image.new("RGB", (4, 4), "red").save(path)
    pictures = Pictures(Limits(), cache, PictureThread)
    first = pictures.draw(question(path))
    assert pictures.draw(question(path)) == first
    assert len([one for one in cache.rglob("*") if one.is_file()]) == 1
    Image.new("RGB", (5, 5), "blue").save(path)
    again = pictures.draw(question(path))
    assert isinstance(again, Drawn)
    assert again.width == 5
    pictures.close()
    kept = Pictures(Limits(), cache, PictureThread).draw(question(path))
    assert kept == again


def test_what_is_no_picture_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"nonsense")
    pictures = Pictures(Limits(max_input_megapixels=0.00001, max_output_megapixels=0.00001), None,
                        PictureThread)  # fmt: skip
    answer = pictures.draw(question(tmp_path / "a.png"))
    assert isinstance(answer, NotDrawn)
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    answer = pictures.draw(question(tmp_path / "a.png"))
    assert isinstance(answer, NotDrawn)
    assert "megapixels" in answer.why
    pictures.close()


class Misbehaving:
    """A helper that dies or hangs at files called so."""

    started = 0

    def __init__(self, limits: Limits) -> None:
        type(self).started += 1
        self.pipe, self._theirs = Pipe()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        self._theirs.send(Ready())
        while True:
            asked = self._theirs.recv()
            if "killer" in asked.name:
                self._theirs.close()
                return
            if "hang" in asked.name:
                return
            self._theirs.send(Drawn(b"x", "image/png", 1, 1))

    def kill(self) -> None:
        """It has ended."""

    def is_stopped(self) -> bool:
        return False

    def end(self) -> Death:
        return Death("was killed by signal 11")


@pytest.mark.parametrize(("name", "why"), [("killer.png", "killed"), ("hang.png", "more than")])
def test_a_picture_that_kills_its_reader_costs_only_itself(
    tmp_path: Path, name: str, why: str
) -> None:
    for one in (name, "good.png"):
        (tmp_path / one).touch()
    pictures = Pictures(Limits(), None, Misbehaving, answer_s=0.05)
    answer = pictures.draw(question(tmp_path / name))
    assert isinstance(answer, NotDrawn)
    assert why in answer.why
    for _ in range(3):
        assert isinstance(pictures.draw(question(tmp_path / "good.png")), Drawn)
    pictures.close()


def test_a_real_process_that_is_killed_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.web.pictures._PROCESSES", 1)
    Image.new("RGB", (4, 4), "red").save(tmp_path / "a.png")
    started: list[HelperProcess] = []

    def start(limits: Limits) -> HelperProcess:
        started.append(HelperProcess(run_picture_process, limits))
        return started[-1]

    pictures = Pictures(Limits(), None, start)
    assert isinstance(pictures.draw(question(tmp_path / "a.png")), Drawn)
    os.kill(started[0]._process.pid or 0, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while len(started) < 2 or not isinstance(pictures.draw(question(tmp_path / "a.png")), Drawn):
        assert time.monotonic() < deadline
        pictures.draw(question(tmp_path / "a.png"))
    pictures.close()
