"""The oracle of `benchmarks.fuzz` can fail: it tells each kind of find from what may come out."""

import io
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.fuzz import mutations, seeds
from benchmarks.fuzz.isolation import judge_apart, minimise
from benchmarks.fuzz.oracle import MAX_MESSAGE, BrokenPromiseError, Target, judge
from benchmarks.fuzz.targets import TARGETS
from daemon.photo.input_formats import format_names, format_of
from daemon.system.errors import PhotoError

PICTURES = ("headers", "decoders", "results", "side-files")


def target(read: Callable[[bytes, Path], None], cpu_s: float = 1.0) -> Target:
    return Target("toy", read, (PhotoError,), list, mutations.picture, cpu_s, memory_mb=64)


def refuse(content: bytes, scratch: Path) -> None:
    raise PhotoError("a.jpg", "is no photograph")


def fail(content: bytes, scratch: Path) -> None:
    if content[:1] == b"x":
        raise KeyError("x")


def promise(content: bytes, scratch: Path) -> None:
    raise BrokenPromiseError("a picture without pixels")


def take_memory(content: bytes, scratch: Path) -> None:
    bytearray(256 << 20)


def take_time(content: bytes, scratch: Path) -> None:
    until = time.process_time() + 0.1
    while time.process_time() < until:
        pass


def say_too_much(content: bytes, scratch: Path) -> None:
    raise PhotoError("a.jpg", "x" * (MAX_MESSAGE + 1))


def say_no_text(content: bytes, scratch: Path) -> None:
    raise PhotoError("a.jpg", "\udcff")


def kill(content: bytes, scratch: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def end(content: bytes, scratch: Path) -> None:
    os._exit(3)


def hang(content: bytes, scratch: Path) -> None:
    signal.pause()


def test_what_a_reader_returns_or_declares_is_no_find(tmp_path: Path) -> None:
    assert judge(target(fail), b"", tmp_path) is None
    assert judge(target(refuse), b"", tmp_path) is None
    assert judge_apart(target(refuse), b"") is None


@pytest.mark.parametrize(
    ("read", "kind"),
    [
        (fail, "KeyError in test_fuzz_oracle.fail"),
        (promise, "promise: a picture without pixels"),
        (take_memory, "MemoryError in test_fuzz_oracle.take_memory"),
        (say_too_much, "long message in test_fuzz_oracle.say_too_much"),
        (say_no_text, "message that is no text in test_fuzz_oracle.say_no_text"),
    ],
)
def test_whatever_else_comes_out_is_a_find_that_says_where(
    read: Callable[[bytes, Path], None], kind: str, tmp_path: Path
) -> None:
    find = judge(target(read), b"x", tmp_path)
    assert find is not None
    assert find.kind == kind
    apart = judge_apart(target(read), b"x")
    assert apart is not None
    assert apart.kind == kind


def test_what_takes_more_cpu_time_than_its_target_allows_is_a_find(tmp_path: Path) -> None:
    find = judge(target(take_time, cpu_s=0.02), b"", tmp_path)
    assert find is not None
    assert find.kind == "too slow"
    assert judge(target(take_time, cpu_s=0.02), b"", tmp_path, patience=100) is None


@pytest.mark.parametrize(
    ("read", "kind"),
    [(kill, "killed by SIGKILL"), (end, "ends its process"), (hang, "hangs")],
)
def test_what_ends_or_hangs_its_process_is_a_find(
    read: Callable[[bytes, Path], None], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if read is hang:
        monkeypatch.setattr("benchmarks.fuzz.isolation._LEAST_WAIT_S", 0.2)
        monkeypatch.setattr("benchmarks.fuzz.isolation._HANG", 0.2)
    find = judge_apart(target(read), b"")
    assert find is not None
    assert find.kind == kind


def test_a_find_is_made_as_small_as_what_is_wrong_with_it() -> None:
    content = bytes(range(1, 200)) + b"KEY" + bytes(range(1, 200))
    assert minimise(content, lambda smaller: b"KEY" in smaller) == b"KEY"
    longer = minimise(content, lambda smaller: b"KEY" in smaller and len(smaller) > 5)
    assert sorted(longer.strip(b"KEY")) == [0] * (len(longer) - 3)


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_to_begin_with_are_sound(name: str, tmp_path: Path) -> None:
    for content in seeds.pictures()[:: 4 if name == "results" else 1]:
        TARGETS[name].read(content, tmp_path)


def test_every_format_has_a_file_to_begin_with() -> None:
    found = [format_of(io.BytesIO(content)) for content in seeds.headers()]
    assert {one.name for one in found if one is not None} == set(format_names())


@pytest.mark.parametrize("name", sorted({*TARGETS} - {*PICTURES}))
def test_texts_to_begin_with_are_no_finds(name: str, tmp_path: Path) -> None:
    for content in TARGETS[name].seeds():
        assert judge(TARGETS[name], content, tmp_path) is None


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_changes_along_the_structure_follow_from_their_seed(name: str) -> None:
    def changed(seed: int) -> list[bytes]:
        rng = random.Random(seed)
        return [TARGETS[name].mutate(one, rng) for one in TARGETS[name].seeds() for _ in range(5)]

    assert changed(1) == changed(1)
    assert changed(1) != changed(2)


STARTS = (
    *(b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0", b"MM\0+\0\x08\0\0", b"\x89PNG\r\n\x1a\n", b"BM", b""),
    *(b"\xff\xd8\xff\xe1", b"\xff\xd8\xff\xe1\0\x40Exif\0\0II*\0", b"RIFF\0\0\0\0WEBP"),
    *(b"\0\0\0\x18ftypavif", b"\0\0\0\x0cJXL ", b"\0\0\0\x0cjP  "),
)


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_changes_never_fail_whatever_an_input_holds(name: str) -> None:
    rng = random.Random(5)
    damaged = [start + fill * 80 for start in STARTS for fill in (b"", b"\0", b"\xff")]
    for content in [*TARGETS[name].seeds(), *damaged]:
        for _ in range(50):
            content = TARGETS[name].mutate(content, rng)[: seeds.MAX_BYTES]
