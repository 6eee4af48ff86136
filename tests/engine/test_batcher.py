"""The batcher: which calls share a pass, and how many may."""

import torch

from daemon.engine.batcher import Batcher, PendingCall
from daemon.models.calls import DenoiseCall


def call(size: int = 96, t: float = 1.0) -> DenoiseCall:
    return DenoiseCall("toy", torch.zeros(3, size, size), t)


def runs(batch: list[PendingCall]) -> list[int]:
    return [pending.run for pending in batch]


def test_the_cap_is_the_pixels_of_a_pass_and_at_least_one() -> None:
    batcher = Batcher(2**18)
    assert batcher.cap(call(96).key) == 28
    assert batcher.cap(call(512).key) == 1
    assert batcher.cap(call(1024).key) == 1


def test_the_fullest_batch_goes_first_and_keys_never_mix() -> None:
    batcher = Batcher(8 * 96 * 96)
    batcher.add(1, [call(192)], now=0)
    for run in range(2, 8):
        batcher.add(run, [call(96)], now=1)
    assert runs(batcher.pick(1, more_coming=False)) == [2, 3, 4, 5, 6, 7]
    assert runs(batcher.pick(1, more_coming=False)) == [1]
    assert batcher.pick(1, more_coming=False) == []


def test_a_call_that_waited_too_long_goes_before_fuller_batches() -> None:
    batcher = Batcher(8 * 96 * 96, patience_s=3)
    batcher.add(1, [call(64)], now=0)
    for run in range(2, 10):
        batcher.add(run, [call(96)], now=3)
    assert runs(batcher.pick(3.5, more_coming=True)) == [1]


def test_a_batch_that_is_not_full_waits_for_generators_but_a_full_one_does_not() -> None:
    batcher = Batcher(4 * 96 * 96)
    for run in range(3):
        batcher.add(run, [call()], now=0)
    assert batcher.pick(0, more_coming=True) == []
    batcher.add(3, [call()], now=0)
    assert runs(batcher.pick(0, more_coming=True)) == [0, 1, 2, 3]


def test_older_tasks_go_first_and_late_calls_before_them() -> None:
    batcher = Batcher(2 * 96 * 96, patience_s=3)
    batcher.add(9, [call()], now=0)
    batcher.add(5, [call()], now=3.5)
    batcher.add(4, [call()], now=3.5)
    assert runs(batcher.pick(3.6, more_coming=False)) == [9, 4]
    assert runs(batcher.pick(3.6, more_coming=False)) == [5]


def test_the_calls_of_a_dropped_run_are_gone() -> None:
    batcher = Batcher(8 * 96 * 96)
    batcher.add(1, [call(), call()], now=0)
    batcher.add(2, [call()], now=0)
    batcher.drop(1)
    assert len(batcher) == 1
    assert runs(batcher.pick(0, more_coming=False)) == [2]


def test_a_folder_of_photographs_of_many_sizes_leaves_no_keys_behind() -> None:
    batcher = Batcher(8 * 96 * 96)
    for size in range(1, 50):
        batcher.add(size, [call(size)], now=size)
        (picked,) = batcher.pick(size, more_coming=False)
        batcher.fitted(picked.call.key, 1)
    assert len(batcher._pending) <= 1
    assert not batcher._caps


def test_the_cap_of_a_key_is_halved_remembered_and_probed_up_again() -> None:
    batcher = Batcher(16 * 96 * 96)
    key, other = call().key, call(64).key
    batcher.failed(key, 16)
    assert batcher.cap(key) == 8
    assert batcher.cap(other) == 36
    batcher.failed(key, 8)
    assert batcher.cap(key) == 4
    for _ in range(1000):
        batcher.fitted(key, 3)  # a batch that is not full proves nothing
    assert batcher.cap(key) == 4
    grew = _successes_until_growth(batcher, 4)
    assert batcher.cap(key) == 8
    batcher.failed(key, 8)
    assert batcher.cap(key) == 4
    assert _successes_until_growth(batcher, 4) == 2 * grew
    assert batcher.cap(key) == 8


def _successes_until_growth(batcher: Batcher, cap: int) -> int:
    count = 0
    while batcher.cap(call().key) == cap:
        batcher.fitted(call().key, cap)
        count += 1
    return count


def test_the_cap_never_falls_below_one() -> None:
    batcher = Batcher(2 * 96 * 96)
    for _ in range(5):
        batcher.failed(call().key, 2)
    assert batcher.cap(call().key) == 1
