from collections import Counter
from itertools import count

from daemon.jobs.fair_queue import AGING_S, FairQueue, RecipeQueue

NOW = 1_800_000_000.0


class Crowd:
    """Recipes of which photographs never run out, each with rows of its own."""

    def __init__(self, **of: tuple[int, float]) -> None:
        self._of = of
        self._fair_queue = FairQueue()
        self._rows = count(1)

    def shares(self, limit: int, now: float = NOW) -> Counter[str]:
        lines = [
            RecipeQueue(name, tuple(next(self._rows) for _ in range(limit)), priority, weight)
            for name, (priority, weight) in self._of.items()
        ]
        names = {row: line.recipe for line in lines for row in line.rows}
        return Counter(names[row] for row in self._fair_queue.take(lines, limit, now))


def many(first: int, number: int) -> tuple[int, ...]:
    return tuple(range(first, first + number))


def test_one_photograph_behind_ten_thousand_of_another_recipe_is_among_the_next() -> None:
    fair_queue = FairQueue()
    crowd = RecipeQueue("crowd", many(1, 10_000), 0, 1)
    assert fair_queue.take([crowd], 192, NOW) == list(range(1, 193))
    rest = RecipeQueue("crowd", many(193, 9_808), 0, 1)
    assert 10_001 in fair_queue.take([rest, RecipeQueue("single", (10_001,), 0, 1)], 2, NOW + 1)


def test_a_newcomer_is_next_even_beside_a_thousandfold_weight() -> None:
    fair_queue = FairQueue()
    fair_queue.take([RecipeQueue("heavy", many(1, 192), 0, 1000)], 192, NOW)
    lines = [RecipeQueue("heavy", many(193, 192), 0, 1000), RecipeQueue("light", (900,), 0, 1)]
    assert 900 in fair_queue.take(lines, 48, NOW)


def test_recipes_share_by_weight_over_many_batches() -> None:
    crowd = Crowd(one=(0, 1), three=(0, 3))
    total: Counter[str] = Counter()
    for _ in range(10):
        total += crowd.shares(48)
    assert total == {"one": 120, "three": 360}


def test_a_recipe_saves_up_no_starts_while_it_has_nothing_to_start() -> None:
    fair_queue = FairQueue()
    fair_queue.take(
        [RecipeQueue("a", many(1, 10), 0, 1), RecipeQueue("b", many(11, 10), 0, 1)], 20, NOW
    )
    fair_queue.take([RecipeQueue("a", many(100, 192), 0, 1)], 192, NOW)
    taken = fair_queue.take(
        [RecipeQueue("a", many(400, 40), 0, 1), RecipeQueue("b", many(500, 40), 0, 1)], 40, NOW
    )
    assert sum(row >= 500 for row in taken) == 20


def test_within_a_recipe_and_between_equals_first_come_is_first_served() -> None:
    lines = [RecipeQueue("b", (1, 4), 0, 1), RecipeQueue("a", (2, 3), 0, 1)]
    assert FairQueue().take(lines, 4, NOW) == [1, 2, 3, 4]


def test_priority_goes_first_and_the_rest_of_the_room_goes_to_the_others() -> None:
    lines = [RecipeQueue("low", many(1, 9), 0, 1000), RecipeQueue("high", (50, 51), 1, 0.001)]
    assert FairQueue().take(lines, 4, NOW) == [50, 51, 1, 2]


def test_a_recipe_that_is_passed_over_rises_shares_once_and_falls_back() -> None:
    crowd = Crowd(high=(2, 1), low=(0, 1))
    assert crowd.shares(10) == {"high": 10}
    assert crowd.shares(10, NOW + 2 * AGING_S - 1) == {"high": 10}
    assert crowd.shares(10, NOW + 2 * AGING_S) == {"high": 5, "low": 5}
    assert crowd.shares(10, NOW + 2 * AGING_S + 1) == {"high": 10}
    # However long it waits, it shares and does not push the others out.
    assert crowd.shares(10, NOW + 99 * AGING_S) == {"high": 5, "low": 5}


def test_time_in_which_a_recipe_could_not_start_does_not_age_it() -> None:
    fair_queue = FairQueue()
    low, high = RecipeQueue("low", (1,), 0, 1), RecipeQueue("high", (2, 3), 1, 1)
    assert fair_queue.take([low, high], 1, NOW) == [2]
    assert fair_queue.take([high], 1, NOW + 5) == [2]  # the window of `low` has closed
    assert fair_queue.take([low, high], 1, NOW + AGING_S) == [2]


def test_a_clock_that_is_set_back_lowers_no_recipe() -> None:
    crowd = Crowd(one=(0, 1), two=(0, 1))
    crowd.shares(10)
    assert crowd.shares(10, NOW - 9 * AGING_S) == {"one": 5, "two": 5}
