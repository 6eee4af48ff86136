"""Who is at fault when workers die: a photograph, the machine, or somebody outside."""

import pytest

from daemon.jobs.worker_deaths import DeathWatch, halves

NOW = 1_800_000_000.0
ONE, TWO, GOOD = 1, 2, 3


@pytest.fixture
def watch() -> DeathWatch:
    return DeathWatch(attempts=3, retry_s=10)


def die(watch: DeathWatch, row: int, times: int = 1, *, outside: bool = False) -> None:
    for _ in range(times):
        watch.died_alone(row, "signal 11", NOW, outside=outside)


def test_one_that_dies_alone_three_times_is_at_fault_even_if_nothing_else_was_tried(
    watch: DeathWatch,
) -> None:
    die(watch, ONE, 2)
    assert not watch.is_at_fault(ONE, deaths=2)
    die(watch, ONE)
    assert watch.is_at_fault(ONE, deaths=3)
    assert watch.why_waiting(NOW) == ""


def test_two_that_die_alone_in_turn_are_not_at_fault_and_everything_waits_longer_each_time(
    watch: DeathWatch,
) -> None:
    die(watch, ONE, 2)
    die(watch, TWO)
    assert "the worker dies whatever it works on" in watch.why_waiting(NOW + 9)
    assert watch.why_waiting(NOW + 10) == ""
    die(watch, ONE)
    assert not watch.is_at_fault(ONE, deaths=3)
    assert "tried again after 20 s" in watch.why_waiting(NOW + 19)
    die(watch, TWO, 9)
    assert "tried again after 600 s" in watch.why_waiting(NOW + 599)


def test_after_other_work_was_done_both_are_at_fault(watch: DeathWatch) -> None:
    die(watch, ONE, 2)
    die(watch, TWO, 2)
    assert watch.needs_control
    watch.lived(GOOD)
    assert not watch.needs_control
    assert watch.why_waiting(NOW) == ""
    for row in (ONE, TWO):
        die(watch, row)
        assert watch.is_at_fault(row, deaths=3)
        assert watch.why_waiting(NOW) == ""


def test_deaths_from_outside_prove_nothing_however_many_and_make_everything_wait(
    watch: DeathWatch,
) -> None:
    die(watch, ONE, 2, outside=True)
    assert watch.why_waiting(NOW) == ""
    die(watch, ONE, outside=True)
    assert "dies whatever it works on" in watch.why_waiting(NOW)
    assert not watch.is_at_fault(ONE, deaths=0)
    die(watch, ONE, 2)
    assert not watch.is_at_fault(ONE, deaths=2)


def test_after_five_waits_in_a_row_it_is_no_use_to_wait(watch: DeathWatch) -> None:
    die(watch, ONE)
    die(watch, TWO, 4)
    assert watch.why_hopeless == ""
    die(watch, TWO)
    assert "the worker dies" in watch.why_hopeless
    watch.lived(GOOD)
    assert watch.why_hopeless == ""


def test_suspects_are_halved_until_one_is_alone() -> None:
    assert halves([1, 2, 3, 4, 5]) == [[1, 2, 3], [4, 5]]
    assert halves([1]) == [[1]]
    assert halves([]) == []


def test_what_another_worker_does_well_proves_nothing_of_the_one_in_which_it_died(
    watch: DeathWatch,
) -> None:
    for _ in range(2):
        watch.died_alone(ONE, "signal 11", NOW, outside=False, worker="2")
        watch.lived(GOOD, "1")
    watch.died_alone(TWO, "signal 11", NOW, outside=False, worker="2")
    watch.died_alone(ONE, "signal 11", NOW, outside=False, worker="2")
    assert not watch.is_at_fault(ONE, deaths=3)
    watch.lived(GOOD, "2")
    watch.died_alone(ONE, "signal 11", NOW, outside=False, worker="2")
    assert watch.is_at_fault(ONE, deaths=4)


def test_one_that_dies_in_a_worker_that_does_well_is_at_fault_wherever_else_it_died(
    watch: DeathWatch,
) -> None:
    watch.died_alone(ONE, "signal 11", NOW, outside=False, worker="2")
    watch.lived(GOOD, "1")
    watch.died_alone(ONE, "signal 11", NOW, outside=False, worker="1")
    watch.died_alone(ONE, "signal 11", NOW, outside=False, worker="1")
    assert watch.is_at_fault(ONE, deaths=3)
