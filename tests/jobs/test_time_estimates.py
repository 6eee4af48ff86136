import pytest

from daemon.jobs.time_estimates import JobTime, LinearFit, Pace, estimate_s, pace_of


def job_times(fixed_s: float, per_megapixel_s: float, *sizes: float) -> list[JobTime]:
    return [JobTime(size, fixed_s + per_megapixel_s * size, size / 100) for size in sizes]


def test_without_finished_jobs_nothing_is_known() -> None:
    assert pace_of([]) is None


def test_a_fixed_cost_and_one_by_area_are_told_apart() -> None:
    pace = pace_of(job_times(0.5, 4, 0.1, 0.4, 2, 9))
    assert pace is not None
    assert (pace.device.fixed_s, pace.device.per_megapixel_s) == pytest.approx((0.5, 4))
    assert pace.samples == 4
    assert estimate_s([1, 1, 10], pace) == pytest.approx(3 * 0.5 + 12 * 4)


def test_photographs_of_one_size_say_only_what_an_area_costs() -> None:
    pace = pace_of(job_times(1, 4, 2, 2, 2.01))
    assert pace is not None
    assert pace.device.fixed_s == 0
    assert estimate_s([4], pace) == pytest.approx(18, rel=0.01)


@pytest.mark.parametrize("seconds", [(9, 5, 1), (1, 50, 100)])
def test_neither_part_of_the_cost_is_below_zero(seconds: tuple[float, ...]) -> None:
    pace = pace_of([JobTime(size, s, 0) for size, s in zip((1, 5, 9), seconds, strict=True)])
    assert pace is not None
    assert min(pace.device.fixed_s, pace.device.per_megapixel_s) >= 0
    assert estimate_s([1, 5, 9], pace) == pytest.approx(sum(seconds), rel=0.01)


def test_the_slower_of_network_and_files_decides() -> None:
    pace = Pace(device=LinearFit(1, 0), host=LinearFit(6, 0), samples=1)
    assert estimate_s([1] * 10, pace, cores=2) == 30
    assert estimate_s([1] * 10, pace, cores=16) == 10
    assert estimate_s([1] * 10, pace, cores=64, devices=4) == 2.5
    assert estimate_s([], pace) == 0
