import io
import json
import logging
import os
import warnings
from pathlib import Path

import pytest
import structlog

from daemon.system import log_stream
from daemon.system.logging import LibraryHandler, configure, lost_lines


def test_a_line_for_a_full_disk_is_counted_and_the_work_goes_on() -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123
        configure(full)
        for number in range(3):
            structlog.get_logger().info("restored", row=number)
        lost = lost_lines()
    assert lost is not None
    assert (lost.lines, lost.why) == (3, "No space left on device")


def test_lost_lines_are_told_once_lines_can_be_written_again(tmp_path: Path) -> None:
    with open("/dev/full", "w") as stream:  # noqa: PTH123
        configure(stream)
        structlog.get_logger().info("lost")
        other = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
        os.dup2(other, stream.fileno())
        os.close(other)
        structlog.get_logger().info("written")
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["written", "log_lines_lost"]
    assert lines[1]["lines"] == 1
    assert lost_lines() is None


def test_no_line_goes_to_a_file_that_has_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    with open("/dev/null", "w") as stream:  # noqa: PTH123
        configure(stream)
        number = stream.fileno()
    with open(tmp_path / "ledger", "w") as other:  # noqa: PTH123
        assert other.fileno() == number
        structlog.get_logger().info("restored")
        lost = lost_lines()
    assert (tmp_path / "ledger").read_text() == ""
    assert lost is not None


def test_a_reader_that_has_gone_ends_nothing() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        configure(stream)
        structlog.get_logger().info("restored")
        lost = lost_lines()
    assert lost is not None
    assert lost.why == "Broken pipe"


def test_a_reader_that_has_stopped_blocks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_stream, "_PATIENCE_S", 0.01)
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb"), os.fdopen(writing, "w") as stream:
        configure(stream)
        for _ in range(400):  # 64 kB is what a pipe takes
            structlog.get_logger().info("restored", photo="x" * 500)
        lost = lost_lines()
    assert lost is not None
    assert 200 < lost.lines < 400
    assert lost.why == "nobody reads it"


def test_a_closed_stream_ends_nothing() -> None:
    stream = io.StringIO()
    configure(stream)
    stream.close()
    structlog.get_logger().info("restored")
    assert lost_lines() is not None


def test_warnings_of_libraries_are_events() -> None:
    stream = io.StringIO()
    configure(stream)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        configure(stream)
        warnings.warn_explicit("Corrupt EXIF data", UserWarning, "PIL/TiffImagePlugin.py", 935)
    logging.getLogger("PIL.Image").warning("odd %s", "chunk")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["event"], line["what"], line["where"]) for line in lines] == [
        ("library_warning", "UserWarning: Corrupt EXIF data", "PIL/TiffImagePlugin.py:935"),
        ("library_warning", "odd chunk", "PIL.Image"),
    ]


def test_what_a_library_repeats_is_counted_and_told_after_a_minute() -> None:
    stream = io.StringIO()
    configure(stream)
    now = 0.0
    handler = LibraryHandler(logging.WARNING, lambda: now)

    def say(what: str) -> None:
        handler.handle(logging.LogRecord("web", logging.WARNING, "", 0, what, (), None))

    for now in (0.0, 1.0, 59.0):  # noqa: B007  # the clock reads it
        say("too many connections")
    say("something else")
    for now in (60.0, 120.0):  # noqa: B007
        say("too many connections")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["what"], line.get("repeated")) for line in lines] == [
        ("too many connections", None),
        ("something else", None),
        ("too many connections", 2),
        ("too many connections", None),
    ]


def test_a_library_that_never_repeats_itself_fills_no_memory() -> None:
    stream = io.StringIO()
    configure(stream)
    handler = LibraryHandler(logging.WARNING, lambda: 0.0)
    for number in range(1000):
        handler.handle(logging.LogRecord("web", logging.WARNING, "", 0, str(number), (), None))
    assert len(handler._said) <= 256
    assert len(stream.getvalue().splitlines()) == 1000
