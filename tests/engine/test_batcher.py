"""The batcher: which calls share a pass, and how many may."""

import torch

from daemon.engine.batcher import LINGER_S, Batcher, Choice
from daemon.models.calls import (
    BatchKey,
    DecodeCall,
    DenoiseCall,
    EmbedCall,
    Embedding,
    EncodeCall,
    Guidance,
    ModelCall,
)
from tests.support.simulated_device import SimulatedDevice


def call(size: int = 96, t: float = 1.0, *, scale: float = 1.0) -> DenoiseCall:
    guidance = Guidance(Embedding(torch.zeros(1, 1)), None, scale)
    return DenoiseCall("toy", torch.zeros(1).expand(3, size, size), t, guidance=guidance)


def runs(choice: Choice) -> list[int]:
    return [pending.run for pending in choice.batch]


def restyling(steps: int, *, scale: float = 1.0, texts: int = 1) -> list[list[ModelCall]]:
    """The turns of a photograph that a checkpoint with latents restyles."""
    latent, guidance = torch.zeros(4, 64, 64), Guidance(Embedding(torch.zeros(1, 1)), None, scale)
    before: list[list[ModelCall]] = [[EmbedCall("sd", "a")]] * texts
    encode = EncodeCall("sd", torch.zeros(1).expand(3, 512, 512))
    sampled: list[list[ModelCall]] = [
        [DenoiseCall("sd", latent, 1 - k / steps, guidance=guidance, reduction=8)]
        for k in range(steps)
    ]
    return [*before, [encode], *sampled, [DecodeCall("sd", latent)]]


def stable_pass_s(key: BatchKey, rows: int) -> float:
    """Seconds of a pass of Stable Diffusion on a large GPU: most of it is fixed for few rows."""
    fixed = {"embed": 0.010, "encode": 0.020, "decode": 0.030, "predict": 0.040}
    each = {"embed": 0.001, "encode": 0.010, "decode": 0.020, "predict": 0.003}
    return fixed[key.operation] + each[key.operation] * rows


def device(cap: int = 16) -> SimulatedDevice:
    return SimulatedDevice(Batcher(cap * 512 * 512), stable_pass_s)


def test_the_cap_is_the_pixels_of_a_pass_and_at_least_one() -> None:
    batcher = Batcher(2**18)
    assert batcher.cap(call(96).key) == 28
    assert batcher.cap(call(512).key) == 1
    assert batcher.cap(call(1024).key) == 1


def test_the_fullest_batch_goes_first_and_keys_never_mix() -> None:
    batcher = Batcher(8 * 96 * 96)
    batcher.passed(call(192).key, 2.0, 0)
    batcher.passed(call(96).key, 2.0, 0)
    batcher.add(1, [call(192)], now=0)
    for run in range(2, 8):
        batcher.add(run, [call(96)], now=1)
    assert runs(batcher.pick(1)) == [2, 3, 4, 5, 6, 7]
    assert runs(batcher.pick(1)) == [1]
    assert batcher.pick(1) == Choice([])


def test_a_call_that_waited_too_long_goes_before_fuller_batches() -> None:
    batcher = Batcher(8 * 96 * 96)
    batcher.passed(call(64).key, 3.0, 0)
    batcher.passed(call(96).key, 3.0, 0)
    batcher.add(1, [call(64)], now=0)
    for run in range(2, 10):
        batcher.add(run, [call(96)], now=3)
    assert runs(batcher.pick(3.5, generating=[99])) == [1]


def test_a_batch_that_is_not_full_waits_for_generators_but_a_full_one_does_not() -> None:
    batcher = Batcher(4 * 96 * 96)
    for run in range(3):
        batcher.add(run, [call()], now=0)
    waiting = batcher.pick(0, generating=[3])
    assert waiting.batch == []
    assert waiting.wait_s == LINGER_S
    batcher.add(3, [call()], now=0)
    assert runs(batcher.pick(0, generating=[4])) == [0, 1, 2, 3]


def test_older_tasks_go_first_and_those_passed_over_before_them() -> None:
    batcher = Batcher(2 * 96 * 96)
    for run in (4, 5, 9):
        batcher.add(run, [call()], now=0)
    for _ in range(6):
        assert runs(batcher.pick(0)) == [4, 5]
        batcher.add(4, [call()], now=1)
        batcher.add(5, [call()], now=1)
    assert runs(batcher.pick(2)) == [4, 9]
    assert runs(batcher.pick(2)) == [5]


def test_the_run_with_the_least_left_goes_first_where_more_calls_wait_than_a_pass_holds() -> None:
    batcher = Batcher(96 * 96)
    for k in range(3):
        batcher.add(1, [call(t=1 - k / 100)], now=0)  # 98 of 100 left
        batcher.add(2, [call(t=1 - k / 10)], now=0)  # 8 of 10 left
        assert {runs(batcher.pick(0))[0], runs(batcher.pick(0))[0]} == {1, 2}
    batcher.add(1, [call(t=0.96)], now=0)
    batcher.add(2, [call(t=0.7)], now=0)
    batcher.add(3, [call(t=1.0)], now=0)
    assert [runs(batcher.pick(0)) for _ in range(3)] == [[3], [2], [1]]


def test_guided_and_unguided_calls_share_a_pass_and_guided_ones_count_twice() -> None:
    batcher = Batcher(5 * 96 * 96)
    for run, scale in enumerate((5.0, 1.0, 5.0, 1.0, 5.0)):
        batcher.add(run, [call(scale=scale)], now=0)
    assert batcher.cap(call(scale=5.0).key) == 5
    assert runs(batcher.pick(0)) == [0, 1, 3]  # rows 2, 1 and 1: a third guided one is too much
    assert runs(batcher.pick(0)) == [2, 4]
    batcher.add(7, [call(512, scale=5.0)], now=0)  # does not fit and is alone in its pass
    assert runs(batcher.pick(0)) == [7]


def test_a_newcomer_catches_up_with_a_cohort_and_ends_before_it() -> None:
    cohort = device()
    for run in range(1, 5):
        cohort.arrive(run, 0.0, restyling(120))
    cohort.play()
    without_s = cohort.ended_s[4]
    joined = device()
    for run in range(1, 5):
        joined.arrive(run, 0.0, restyling(120))
    joined.arrive(5, 0.4, restyling(30, scale=5.0))
    joined.play()
    assert joined.ended_s[5] < 0.4 + 33 * 1.25 * stable_pass_s(restyling(1)[2][0].key, 6)
    assert joined.ended_s[4] < 1.06 * without_s
    steps = [one for one in joined.passes if 5 in one.runs and one.operation == "predict"]
    assert [len(one.runs) for one in steps] == [5] * 30


def test_a_short_pass_waits_for_the_one_that_runs_and_for_no_second_one() -> None:
    busy = device()
    for run in range(1, 33):  # two full passes' worth, so that the device is never free
        busy.arrive(run, 0.0, restyling(60))
    for run in range(33, 63):
        busy.arrive(run, 1.0 + run / 20, restyling(0, texts=3))
    busy.play()
    most = max(one.ended_s - one.began_s for one in busy.passes)
    for operation in ("embed", "encode", "decode"):
        waits = [one.longest_wait_s for one in busy.passes if one.operation == operation]
        own = max(one.ended_s - one.began_s for one in busy.passes if one.operation == operation)
        assert max(waits[3:]) <= own + most, (operation, max(waits), own, most)


def test_a_key_waits_as_long_as_its_own_pass_takes_and_for_one_pass_of_each_other() -> None:
    sizes = (256, 320, 384, 448, 512)
    busy = SimulatedDevice(Batcher(4 * 512 * 512), lambda key, rows: rows * key.pixels / 2**18 / 9)
    for run in range(40):
        busy.arrive(run, 0.0, [[call(sizes[run % 5], 1 - k / 30)] for k in range(30)])
    busy.play()
    longest = {
        one.key: max(o.seconds for o in busy.passes if o.key == one.key) for one in busy.passes
    }
    ended: dict[BatchKey, float] = {}
    for one in busy.passes:
        since = max(one.began_s - one.longest_wait_s, ended.get(one.key, 0.0))
        others_s = sum(seconds for key, seconds in longest.items() if key != one.key)
        assert one.began_s - since <= longest[one.key] + others_s
        ended[one.key] = one.ended_s


def test_long_runs_go_on_under_a_stream_of_short_ones() -> None:
    busy = device(cap=2)
    busy.arrive(0, 0.0, restyling(20))
    for run in range(1, 200):
        busy.arrive(run, run / 5, restyling(4))
    busy.play()
    assert busy.ended_s[0] < 10
    assert max(busy.ended_s[run] - run / 5 for run in range(1, 200)) < 2


def test_equal_runs_end_one_after_the_other() -> None:
    busy = device(cap=2)
    for run in range(8):
        busy.arrive(run, 0.0, restyling(20))
    busy.play()
    ended = [busy.ended_s[run] for run in range(8)]
    assert ended == sorted(ended)
    assert ended[1] < 0.7 * ended[7]


def test_runs_that_shared_a_pass_share_the_next_with_who_came_in_between() -> None:
    busy = device()
    busy.arrive(1, 0.0, restyling(10)[2:])
    busy.arrive(2, 0.0, restyling(10)[2:])
    busy.arrive(3, 0.02, restyling(5)[2:])  # in the midst of their first pass
    busy.play()
    assert [one.runs for one in busy.passes if one.operation == "predict"][:7] == [
        (1, 2),
        *[(1, 2, 3)] * 5,
        (1, 2),
    ]


def test_the_device_does_not_idle_for_a_run_while_another_key_waits() -> None:
    batcher = Batcher(8 * 96 * 96)
    batcher.add(1, [call()], now=0)
    batcher.add(2, [call()], now=0)
    assert runs(batcher.pick(0)) == [1, 2]
    batcher.passed(call().key, 0.1, 0.1)
    batcher.add(1, [call()], now=0.1)
    batcher.add(3, [call(64)], now=0.1)
    assert runs(batcher.pick(0.13, generating=[2])) == [3]  # run 2 may still join run 1
    assert runs(batcher.pick(0.13, generating=[2])) == [1]


def test_the_calls_of_a_dropped_run_are_gone() -> None:
    batcher = Batcher(8 * 96 * 96)
    batcher.add(1, [call(), call()], now=0)
    batcher.add(2, [call()], now=0)
    batcher.drop(1)
    assert len(batcher) == 1
    assert runs(batcher.pick(0)) == [2]


def test_a_folder_of_photographs_of_many_sizes_leaves_no_keys_behind() -> None:
    batcher = Batcher(8 * 96 * 96)
    for size in range(1, 50):
        batcher.add(size, [call(size)], now=size)
        (picked,) = batcher.pick(size).batch
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
