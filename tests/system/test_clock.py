from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from daemon.system.clock import duration_in_words, instant_in_words

BERLIN = ZoneInfo("Europe/Berlin")


def at(reading: str) -> float:
    return datetime.fromisoformat(reading).replace(tzinfo=BERLIN).timestamp()


def test_an_instant_is_said_as_people_say_it() -> None:
    now = at("2026-11-25T21:00")
    assert instant_in_words(at("2026-11-25T22:00"), now, BERLIN) == "22:00 CET"
    assert instant_in_words(at("2026-11-26T06:00"), now, BERLIN) == "06:00 CET"
    assert instant_in_words(at("2026-11-27T22:00"), now, BERLIN) == "Fri 22:00 CET"
    assert instant_in_words(at("2026-12-24T22:00"), now, BERLIN) == "2026-12-24 22:00 CET"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (4.4, "4 s"),
        (89, "89 s"),
        (90, "2 min"),
        (5399, "1 h 30 min"),
        (7200, "2 h"),
        (200_000, "2 d 8 h"),
    ],
)
def test_a_duration_is_said_as_people_say_it(seconds: float, words: str) -> None:
    assert duration_in_words(seconds) == words
