from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest

from daemon.config.recipe import read_recipe, schema
from daemon.config.schedule import Schedule
from daemon.system.errors import ConfigError

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> float:
    """An instant; without an offset, the first time the clock in Berlin reads this."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=BERLIN)).timestamp()


def local_time(instant: float) -> str:
    return datetime.fromtimestamp(instant, BERLIN).isoformat(timespec="minutes")


def berlin(**values: Any) -> Schedule:  # noqa: ANN401
    return Schedule(timezone="Europe/Berlin", **values)


@pytest.mark.parametrize(
    ("clock", "opens"),
    [
        ("2026-11-25T21:59", "2026-11-25T22:00"),
        ("2026-11-25T22:00", "2026-11-25T22:00"),
        ("2026-11-25T23:59", "2026-11-25T23:59"),
        ("2026-11-26T05:59", "2026-11-26T05:59"),
        ("2026-11-26T06:00", "2026-11-26T22:00"),
    ],
)
def test_a_window_over_midnight_opens_in_the_evening(clock: str, opens: str) -> None:
    schedule = berlin(window="22:00-06:00")
    assert local_time(schedule.next_opening(at(clock))) == local_time(at(opens))
    assert schedule.is_open(at(clock)) == (clock == opens)


def test_a_window_that_begins_on_friday_belongs_to_friday() -> None:
    schedule = berlin(window="22:00-06:00", days=["fri"])
    assert schedule.is_open(at("2026-11-28T05:59"))  # Saturday morning
    assert not schedule.is_open(at("2026-11-28T22:30"))  # Saturday night
    assert not schedule.is_open(at("2026-11-27T05:00"))  # Friday morning belongs to Thursday
    assert local_time(schedule.next_opening(at("2026-11-28T06:00"))) == local_time(
        at("2026-12-04T22:00")
    )


def test_several_windows_open_in_turn_and_days_alone_last_from_midnight_to_midnight() -> None:
    schedule = berlin(window=["12:00-13:00", "20:30-24:00"])
    assert local_time(schedule.next_opening(at("2026-11-25T09:00"))) == local_time(
        at("2026-11-25T12:00")
    )
    assert local_time(schedule.next_opening(at("2026-11-25T13:00"))) == local_time(
        at("2026-11-25T20:30")
    )
    assert local_time(schedule.next_opening(at("2026-11-26T00:00"))) == local_time(
        at("2026-11-26T12:00")
    )
    weekend = berlin(days=["sat", "sun"])
    assert local_time(weekend.next_opening(at("2026-11-25T09:00"))) == local_time(
        at("2026-11-28T00:00")
    )
    assert weekend.is_open(at("2026-11-29T23:59"))
    assert not weekend.is_open(at("2026-11-30T00:00"))


def open_minutes(schedule: Schedule, start: float, hours: int) -> list[float]:
    return [t for m in range(hours * 60) if schedule.is_open(t := start + 60 * m)]


def test_where_the_clock_is_put_forward_the_night_is_an_hour_shorter() -> None:
    night = berlin(window="22:00-06:00")
    assert len(open_minutes(night, at("2026-03-28T12:00"), 23)) == 7 * 60
    # 02:30 is skipped: the window opens when the clock jumps over it.
    half_past_two = berlin(window="02:30-05:00")
    opening = half_past_two.next_opening(at("2026-03-28T12:00"))
    assert local_time(opening) == "2026-03-29T03:00+02:00"
    assert not half_past_two.is_open(opening - 1)
    # A window that is skipped as a whole opens the day after.
    skipped = berlin(window="02:00-03:00")
    assert local_time(skipped.next_opening(at("2026-03-28T12:00"))) == "2026-03-30T02:00+02:00"
    assert local_time(
        berlin(window="02:00-03:00", days=["sun"]).next_opening(at("2026-03-28T12:00"))
    ) == ("2026-04-05T02:00+02:00")


def test_where_the_clock_is_put_back_the_night_is_an_hour_longer() -> None:
    night = berlin(window="22:00-06:00")
    assert len(open_minutes(night, at("2026-10-24T12:00"), 25)) == 9 * 60
    # The clock reads 02:00 to 03:00 twice, so a window within opens twice.
    window = berlin(window="02:10-02:40")
    first = window.next_opening(at("2026-10-24T12:00"))
    assert local_time(first) == "2026-10-25T02:10+02:00"
    assert not window.is_open(first + 30 * 60)
    assert local_time(window.next_opening(first + 30 * 60)) == "2026-10-25T02:10+01:00"
    # One that ends within is open again when the clock is put back.
    late = berlin(window="01:00-02:30")
    closed = at("2026-10-25T02:30+02:00")
    assert not late.is_open(closed)
    assert local_time(late.next_opening(closed)) == "2026-10-25T02:00+01:00"


@pytest.mark.parametrize("noon", ["2026-03-28T12:00", "2026-10-24T12:00"])
def test_the_predicted_opening_is_the_first_minute_that_is_open(noon: str) -> None:
    schedule = berlin(window=["01:00-02:30", "22:00-06:00"], days=["sat", "sun"])
    minutes = [at(noon) + 60 * n for n in range(36 * 60)]
    opening = schedule.next_opening(minutes[-1])
    for minute in reversed(minutes):
        opening = minute if schedule.is_open(minute) else opening
        assert schedule.next_opening(minute) == opening


def test_cron_fires_once_a_night_whatever_the_clock_does() -> None:
    schedule = berlin(cron="30 2 * * *")
    skipped = schedule.next_firing(at("2026-03-28T12:00"))
    assert local_time(skipped) == "2026-03-29T03:00+02:00"
    assert schedule.last_firing(skipped) == skipped
    assert local_time(schedule.last_firing(skipped - 1)) == "2026-03-28T02:30+01:00"
    doubled = schedule.next_firing(at("2026-10-24T12:00"))
    assert local_time(doubled) == "2026-10-25T02:30+02:00"
    assert local_time(schedule.next_firing(doubled)) == "2026-10-26T02:30+01:00"


def test_without_a_time_zone_that_of_the_system_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.config.schedule.local_zone", lambda: ZoneInfo("Asia/Kathmandu"))
    schedule = Schedule(window=("22:00-06:00",))
    opening = schedule.next_opening(at("2026-11-25T12:00+00:00"))
    assert opening == at("2026-11-25T16:15+00:00")


def test_a_system_without_a_known_time_zone_is_found_when_the_recipe_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def conflicting() -> ZoneInfo:
        raise ZoneInfoNotFoundError("Multiple conflicting time zone configurations found")

    monkeypatch.setattr("daemon.system.clock.tzlocal.get_localzone", conflicting)
    path = tmp_path / "nightly.toml"
    path.write_text(f'[schedule]\nwindow = "22:00-06:00"\n{STEP}')
    with pytest.raises(ConfigError, match=r"nightly\.toml: schedule: .*Multiple conf.*; set TZ"):
        read_recipe(path)
    path.write_text(f'[schedule]\nwindow = "22:00-06:00"\ntimezone = "Asia/Tokyo"\n{STEP}')
    assert read_recipe(path).schedule.zone.key == "Asia/Tokyo"
    path.write_text(STEP)
    read_recipe(path)


STEP = '\n[[steps]]\nkind = "denoise"\n'


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('window = "22-6"', "schedule.window is '22-6'; allowed: hours such as 22:00-06:00"),
        ('window = "08:00-08:00"', "schedule.window is '08:00-08:00', which is empty"),
        ('days = ["monday"]', "schedule.days[0] is 'monday'; allowed: mon, tue"),
        ("priority = 11", "schedule.priority is 11; allowed: whole numbers -10 to 10"),
        ("weight = 0", "schedule.weight is 0; allowed: numbers 0.001 to 1000"),
        ('cron = "0 25 * * *"', "schedule.cron is '0 25 * * *'; allowed: five fields"),
        ('cron = "0 0 * * * *"', "schedule.cron is '0 0 * * * *'; allowed: five fields"),
        ('cron = "0 0 30 2 *"', "schedule.cron is '0 0 30 2 *'; allowed: five fields"),
        ('timezone = "Berlin"', "schedule.timezone is 'Berlin'; allowed: names of the IANA"),
        ('windows = "22:00-06:00"', "schedule.windows is not a known key; did you mean window"),
    ],
)
def test_a_wrong_schedule_is_named_with_what_is_allowed(
    tmp_path: Path, line: str, message: str
) -> None:
    path = tmp_path / "nightly.toml"
    path.write_text(f"[schedule]\n{line}\n{STEP}")
    with pytest.raises(ConfigError) as caught:
        read_recipe(path)
    assert str(caught.value).startswith(f"{path}: {message}")


def test_the_schedule_does_not_change_what_a_recipe_is(tmp_path: Path) -> None:
    path = tmp_path / "nightly.toml"
    path.write_text(STEP)
    before = read_recipe(path).digest
    path.write_text(f'[schedule]\nwindow = "22:00-06:00"\npriority = 3\n{STEP}')
    recipe = read_recipe(path)
    assert recipe.schedule.window == ("22:00-06:00",)
    assert recipe.digest == before


def test_the_schema_says_that_a_window_is_one_or_several() -> None:
    kinds = schema()["$defs"]["Schedule"]["properties"]["window"]["anyOf"]
    assert [kind["type"] for kind in kinds] == ["string", "array"]
