"""Which calls share a pass."""

import torch

from daemon.engine.batcher import Batcher, PendingCall
from daemon.models.calls import DenoiseCall


def call(size: int = 96, t: float = 1.0) -> DenoiseCall:
    return DenoiseCall("toy", torch.zeros(3, size, size), t)


def orders(asks: list[PendingCall]) -> list[int]:
    return [ask.order for ask in asks]


def test_the_cap_is_the_pixels_of_a_pass_and_at_least_one() -> None:
    groups = Batcher(2**18)
    assert groups.cap(call(96).key) == 28
    assert groups.cap(call(512).key) == 1
    assert groups.cap(call(1024).key) == 1


def test_the_fullest_group_goes_first_and_keys_never_mix() -> None:
    groups = Batcher(8 * 96 * 96)
    groups.add(1, [call(192)], now=0)
    for order in range(2, 8):
        groups.add(order, [call(96)], now=1)
    assert orders(groups.pick(1, more_coming=False)) == [2, 3, 4, 5, 6, 7]
    assert orders(groups.pick(1, more_coming=False)) == [1]
    assert groups.pick(1, more_coming=False) == []


def test_a_call_that_waited_too_long_goes_before_fuller_groups() -> None:
    groups = Batcher(8 * 96 * 96, patience_s=3)
    groups.add(1, [call(64)], now=0)
    for order in range(2, 10):
        groups.add(order, [call(96)], now=3)
    assert orders(groups.pick(3.5, more_coming=True)) == [1]


def test_a_group_that_is_not_full_waits_for_generators_but_a_full_one_does_not() -> None:
    groups = Batcher(4 * 96 * 96)
    for order in range(3):
        groups.add(order, [call()], now=0)
    assert groups.pick(0, more_coming=True) == []
    groups.add(3, [call()], now=0)
    assert orders(groups.pick(0, more_coming=True)) == [0, 1, 2, 3]


def test_older_orders_go_first_and_the_impatient_before_them() -> None:
    groups = Batcher(2 * 96 * 96, patience_s=3)
    groups.add(9, [call()], now=0)
    groups.add(5, [call()], now=3.5)
    groups.add(4, [call()], now=3.5)
    assert orders(groups.pick(3.6, more_coming=False)) == [9, 4]
    assert orders(groups.pick(3.6, more_coming=False)) == [5]


def test_an_order_that_is_dropped_waits_no_more() -> None:
    groups = Batcher(8 * 96 * 96)
    groups.add(1, [call(), call()], now=0)
    groups.add(2, [call()], now=0)
    groups.drop(1)
    assert len(groups) == 1
    assert orders(groups.pick(0, more_coming=False)) == [2]


def test_the_cap_of_a_key_is_halved_remembered_and_probed_up_again() -> None:
    groups = Batcher(16 * 96 * 96)
    key, other = call().key, call(64).key
    groups.failed(key, 16)
    assert groups.cap(key) == 8
    assert groups.cap(other) == 36
    groups.failed(key, 8)
    assert groups.cap(key) == 4
    for _ in range(1000):
        groups.fitted(key, 3)  # a group that is not full proves nothing
    assert groups.cap(key) == 4
    grew = _successes_until_growth(groups, 4)
    assert groups.cap(key) == 8
    groups.failed(key, 8)
    assert groups.cap(key) == 4
    assert _successes_until_growth(groups, 4) == 2 * grew
    assert groups.cap(key) == 8


def _successes_until_growth(groups: Batcher, cap: int) -> int:
    count = 0
    while groups.cap(call().key) == cap:
        groups.fitted(call().key, cap)
        count += 1
    return count


def test_the_cap_never_falls_below_one() -> None:
    groups = Batcher(2 * 96 * 96)
    for _ in range(5):
        groups.failed(call().key, 2)
    assert groups.cap(call().key) == 1
