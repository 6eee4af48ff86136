import io
import json
import os
import re

import pytest
import structlog

from daemon.system.logging import configure, set_level


def test_a_line_is_json_with_event_fields_and_utc_time() -> None:
    stream = io.StringIO()
    configure(stream)
    structlog.get_logger().info("restored", row="ab", recipe="denoise", photo="x.jpg", seconds=1.5)
    line = json.loads(stream.getvalue())
    assert line.pop("time").endswith("Z")
    assert line == {
        "event": "restored",
        "level": "info",
        "row": "ab",
        "recipe": "denoise",
        "photo": "x.jpg",
        "seconds": 1.5,
    }


def test_a_name_that_is_no_utf_8_is_printable() -> None:
    stream = io.StringIO()
    configure(stream)
    structlog.get_logger().info("settled", photo=os.fsdecode(b"caf\xe9.jpg"))
    assert json.loads(stream.getvalue())["photo"] == r"caf\xe9.jpg"


def test_a_terminal_gets_lines_for_people() -> None:
    stream = io.StringIO()
    configure(stream, console=True)
    structlog.get_logger().info("settled", photo="x.jpg")
    assert "settled" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


HOSTILE = "a\x1b[2J\n\x7f\x9b\u202e.jpg"
SHOWN = r"a\x1b[2J\n\x7f\x9b\u202e.jpg"


@pytest.mark.parametrize("console", [False, True])
def test_nothing_in_a_line_of_the_log_acts_on_whoever_reads_it(console: bool) -> None:
    stream = io.StringIO()
    configure(stream, console=console)
    try:
        raise OSError(2, "gone", HOSTILE)
    except OSError:
        structlog.get_logger().exception("failed", photo=HOSTILE, paths=[HOSTILE])
    text = re.sub(r"\x1b\[\d*m", "", stream.getvalue())  # colours of the console
    assert {c for c in text if c != "\n" and not c.isprintable()} == set()
    assert not any(line.startswith("a") for line in text.splitlines())


def test_a_reader_of_the_log_gets_names_as_status_shows_them() -> None:
    stream = io.StringIO()
    configure(stream)
    structlog.get_logger().info("settled", photo=HOSTILE)
    assert json.loads(stream.getvalue())["photo"] == SHOWN


def test_a_level_leaves_out_what_is_less_serious() -> None:
    stream = io.StringIO()
    try:
        set_level("warning")
        configure(stream, console=False)
        structlog.get_logger().info("restored")
        structlog.get_logger().warning("failed")
    finally:
        set_level("info")
        configure()
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["failed"]
