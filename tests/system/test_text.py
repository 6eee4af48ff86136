"""Text for people: what names and messages may do to a terminal."""

import json
import unicodedata
from pathlib import Path

import pytest

from daemon.system.files import as_text, shown
from daemon.system.text import json_text, paragraph, printable, same_name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Übung 写真.jpg", "Übung 写真.jpg"),
        ("a\x1b[2J\n\x7f\x9b.jpg", "a\\x1b[2J\\n\\x7f\\x9b.jpg"),
        ("a\u202egpj.exe", "a\\u202egpj.exe"),
        ("a\u200b\u2066\ufeff", "a\\u200b\\u2066\\ufeff"),
        ("a\u2028b\u2029c", "a\\u2028b\\u2029c"),
        ("\ud800", "\\ud800"),
        ("a\U000e0041", "a\\U000e0041"),
    ],
)
def test_nothing_that_a_name_holds_can_move_the_cursor(text: str, said: str) -> None:
    assert printable(text) == said


def test_no_character_that_is_left_is_of_a_category_that_acts() -> None:
    every = "".join(map(chr, range(0x110000)))
    left = {unicodedata.category(c) for c in printable(every)}
    assert left.isdisjoint({"Cc", "Cf", "Cs", "Zl", "Zp"})


def test_a_name_is_escaped_for_people_and_whole_for_programs() -> None:
    path = Path("a\n\u202e\udce9.jpg")
    assert shown(path) == "a\\n\\u202e\\xe9.jpg"
    assert as_text(path) == "a\n\u202e\\xe9.jpg"


def test_a_later_line_of_a_message_does_not_look_like_a_message() -> None:
    assert paragraph("failed: a: one\nfailed: b\x1b") == "failed: a: one\n  failed: b\\x1b"


def test_json_escapes_what_acts_and_gives_it_back_to_programs() -> None:
    name = "a\x1b\x7f\x9b\u202e\u2028\n.jpg"
    text = json_text({"photo": name})
    assert text.isascii()
    assert text.isprintable()
    assert json.loads(text) == {"photo": name}


def test_composed_and_decomposed_names_compare_alike() -> None:
    assert same_name(unicodedata.normalize("NFD", "Zoë")) == unicodedata.normalize("NFC", "Zoë")
    assert same_name("caf\udce9") == "caf\udce9"
