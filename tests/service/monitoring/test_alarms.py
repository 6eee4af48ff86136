"""What is worth a message, with the clock passed in."""

import pytest

from daemon.service.monitoring.alarms import Alarms

Told = list[tuple[str, str, str]]


@pytest.fixture
def told() -> Told:
    return []


def alarms(told: Told, failures_per_hour: int = 3) -> Alarms:
    return Alarms(lambda *message: told.append(message), "attic", failures_per_hour)


def test_more_failures_in_an_hour_than_the_setting_are_one_message(told: Told) -> None:
    watch = alarms(told)
    watch.jobs_failed(3, 0)
    assert told == []
    watch.jobs_failed(1, 3599)
    assert [(kind, title) for kind, title, _ in told] == [("failures", "attic: photographs fail")]
    assert "More than 3 photographs" in told[0][2]
    watch.jobs_failed(3, 3600)
    assert len(told) == 1, "the window begins anew"


def test_as_many_failures_over_a_longer_time_are_no_message(told: Told) -> None:
    watch = alarms(told)
    watch.jobs_failed(3, 0)
    watch.jobs_failed(1, 3600)
    assert told == []


def test_with_a_rate_of_zero_every_group_of_failures_is_a_message(told: Told) -> None:
    watch = alarms(told, failures_per_hour=0)
    watch.jobs_failed(0, 0)
    assert told == []
    watch.jobs_failed(5, 0)
    watch.jobs_failed(1, 10_000)
    assert len(told) == 2


def test_three_dead_workers_in_an_hour_are_a_message_with_the_last_reason(
    told: Told,
) -> None:
    watch = alarms(told)
    for reason, now in (("one", 0.0), ("two", 3500.0), ("three", 3700.0)):
        watch.worker_died(reason, now)
    assert told == []
    watch.worker_died("four", 3800)
    assert [kind for kind, _, _ in told] == ["worker-deaths"]
    assert told[0][2].endswith("The last time: four")


def test_a_disk_is_a_message_when_it_becomes_full(told: Told) -> None:
    watch = alarms(told)
    for full in (False, True, True, False, True):
        watch.disk_checked(full=full)
    assert [kind for kind, _, _ in told] == ["disk-full", "disk-full"]
