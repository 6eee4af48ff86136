import io
import json
import os

import structlog

from daemon.system.logging import configure


def test_a_line_is_json_with_event_fields_and_utc_time() -> None:
    stream = io.StringIO()
    configure(stream)
    structlog.get_logger().info("restored", job="ab", recipe="denoise", photo="x.jpg", seconds=1.5)
    line = json.loads(stream.getvalue())
    assert line.pop("time").endswith("Z")
    assert line == {
        "event": "restored",
        "level": "info",
        "job": "ab",
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
