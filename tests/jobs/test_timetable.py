import math
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from daemon.config.recipe import Recipe
from daemon.jobs.fair_queue import FairQueue
from daemon.jobs.ledger.writer import Ledger
from daemon.jobs.timetable import HeldBack, held_back, startable
from tests.support.claims import queued
from tests.support.ledgers import vm_steps

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


NOON = at("2026-11-25T12:00")


def recipe(name: str, **schedule: object) -> Recipe:
    return Recipe.model_validate(
        {
            "name": name,
            "steps": [{"kind": "denoise"}],
            "schedule": {"timezone": "Europe/Berlin"} | schedule,
        }
    )


def queue(ledger: Ledger, folder: Path, name: str, number: int, now: float) -> list[int]:
    names = [f"{name}-{n}.jpg" for n in range(number)]
    return [entry.row for entry in queued(ledger, folder, *names, recipe=name, now=now)]


def startable_rows(ledger: Ledger, recipes: list[Recipe], now: float) -> dict[str, tuple[int, ...]]:
    return {line.recipe: line.rows for line in startable(ledger, recipes, 9, now, alone=False)}


def test_jobs_outside_their_window_wait_and_the_others_start(
    ledger: Ledger, tmp_path: Path
) -> None:
    recipes = [recipe("nightly", window="22:00-06:00"), recipe("plain", priority=3, weight=2)]
    nightly = queue(ledger, tmp_path, "nightly", 3, NOON)
    plain = queue(ledger, tmp_path, "plain", 2, NOON)
    (line,) = startable(ledger, recipes, 9, NOON, alone=False)
    assert (line.recipe, line.rows, line.priority, line.weight) == ("plain", tuple(plain), 3, 2)
    evening = at("2026-11-25T22:00")
    assert held_back(ledger, recipes, NOON) == (HeldBack("nightly", 3, evening, BERLIN),)
    assert startable_rows(ledger, recipes, evening - 1) == {"plain": tuple(plain)}
    assert startable_rows(ledger, recipes, evening)["nightly"] == tuple(nightly)
    assert held_back(ledger, recipes, evening) == ()


def test_cron_releases_what_was_queued_by_then_for_as_long_as_it_takes(
    ledger: Ledger, tmp_path: Path
) -> None:
    recipes = [recipe("weekly", cron="0 20 * * fri")]
    early = queue(ledger, tmp_path, "weekly", 2, NOON)
    friday = at("2026-11-27T20:00")
    assert startable_rows(ledger, recipes, friday - 1) == {}
    queue(ledger, tmp_path, "weekly", 1, friday + 5)
    for now in (friday + 9, at("2026-12-04T19:59")):
        assert startable_rows(ledger, recipes, now) == {"weekly": tuple(early)}
    (late,) = held_back(ledger, recipes, friday + 9)
    assert (late.jobs, late.until) == (1, at("2026-12-04T20:00"))


def test_jobs_that_cron_releases_outside_the_window_wait_for_the_window(
    ledger: Ledger, tmp_path: Path
) -> None:
    recipes = [recipe("both", cron="0 20 * * fri", window="22:00-06:00")]
    queue(ledger, tmp_path, "both", 1, NOON)
    assert [h.until for h in held_back(ledger, recipes, NOON)] == [at("2026-11-27T22:00")]
    friday = at("2026-11-27T21:00")
    assert startable_rows(ledger, recipes, friday) == {}
    queue(ledger, tmp_path, "both", 2, friday)
    assert [(h.jobs, h.until) for h in held_back(ledger, recipes, friday)] == [
        (1, at("2026-11-27T22:00")),
        (2, at("2026-12-04T22:00")),
    ]


@pytest.mark.parametrize("schedule", [{}, {"window": "22:00-06:00"}, {"cron": "0 0 1 1 *"}])
@pytest.mark.parametrize("alone", [True, False])
def test_choosing_costs_the_same_however_many_wait(
    ledger: Ledger, tmp_path: Path, schedule: dict[str, str], *, alone: bool
) -> None:
    recipes = [recipe("crowd", **schedule)]

    def ask() -> None:
        found = startable(ledger, recipes, 48, NOON + 1, alone=alone)
        assert [len(line.rows) for line in found] == ([48] if not schedule and not alone else [])

    queue(ledger, tmp_path, "crowd", 100, NOON)
    few = vm_steps(ledger, ask)
    queue(ledger, tmp_path, "crowd", 2_000, NOON)
    assert vm_steps(ledger, ask) <= few + 50


def test_one_photograph_behind_ten_thousand_of_another_recipe_is_in_the_next_batch(
    ledger: Ledger, tmp_path: Path
) -> None:
    fair_queue = FairQueue()
    crowd = queue(ledger, tmp_path, "crowd", 10_000, NOON)

    def batch(limit: int) -> list[int]:
        rows = fair_queue.take(startable(ledger, [], limit, NOON + 1, alone=False), limit, NOON + 1)
        ledger.lease([(row, str(row)) for row in rows])
        return rows

    assert batch(192) == crowd[:192]
    (single,) = queue(ledger, tmp_path, "single", 1, NOON + 1)
    assert batch(48) == [single, *crowd[192:239]]


def test_a_recipe_that_is_gone_holds_nothing_back(ledger: Ledger, tmp_path: Path) -> None:
    rows = queue(ledger, tmp_path, "gone", 1, NOON)
    assert startable_rows(ledger, [], NOON) == {"gone": tuple(rows)}
    assert held_back(ledger, [], NOON) == ()


def test_jobs_that_are_leased_or_must_run_alone_are_not_in_the_queue(
    ledger: Ledger, tmp_path: Path
) -> None:
    one, two, three = queue(ledger, tmp_path, "plain", 3, NOON)
    ledger.lease([(one, "x"), (two, "y")])
    ledger.suspect([[two]])
    assert startable_rows(ledger, [], NOON) == {"plain": (three,)}
    (line,) = startable(ledger, [], 9, NOON, alone=True)
    assert line.rows == (two,)


def test_waiting_jobs_are_described_with_the_time_zone_of_that_day() -> None:
    held = HeldBack("denoise", 120, at("2026-10-25T22:00"), BERLIN)
    assert held.describe(at("2026-10-24T23:00")) == "denoise: 120 wait for Sun 22:00 CET"
    assert held.describe(at("2026-10-25T12:00")) == "denoise: 120 wait for 22:00 CET"
    one = HeldBack("denoise", 1, at("2026-07-01T22:00"), BERLIN)
    assert one.describe(at("2026-07-01T12:00")) == "denoise: 1 waits for 22:00 CEST"
    never = HeldBack("denoise", 2, math.inf, BERLIN)
    assert never.describe(NOON) == "denoise: 2 wait for a time that the clock never reads"
