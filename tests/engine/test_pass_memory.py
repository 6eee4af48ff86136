"""Memory that passes take, as measured: how many rows fit into the next one."""

from functools import partial

import torch

from daemon.engine.batcher import Batcher
from daemon.engine.device import Device
from daemon.engine.pass_memory import PassMemory
from daemon.models.calls import BatchKey, DenoiseCall
from tests.support.engine_fakes import ToyModel, fake_backend

GIB = 2**30


class FakeMeter:
    """A device on which every pass takes the same."""

    def __init__(self) -> None:
        self.started = 0

    def start(self) -> None:
        self.started += 1

    def peak_bytes(self) -> int:
        return 1000 * self.started

    def room_bytes(self) -> int:
        return 5 * GIB


def key(side: int, model: str = "sd") -> BatchKey:
    x_t = torch.zeros(1).expand(4, side // 8, side // 8)
    return DenoiseCall(model, x_t, 1.0, reduction=8).key


def test_the_first_pass_of_an_operation_is_a_probe_of_one_row() -> None:
    assert PassMemory(lambda: 6 * GIB).most_rows(key(512)) == 1


def test_rows_fill_the_room_of_a_small_and_of_a_large_card() -> None:
    for room_gib, rows in ((2, 3), (12, 20), (100, 170)):
        memory = PassMemory(partial(int, room_gib * GIB))
        memory.note(key(512), 1, GIB // 2)
        assert memory.most_rows(key(512)) == rows


def test_a_larger_pass_measures_a_row_more_closely_and_a_smaller_one_does_not() -> None:
    memory = PassMemory(lambda: 10 * GIB)
    memory.note(key(512), 1, 2 * GIB)
    assert memory.most_rows(key(512)) == 4
    memory.note(key(512), 4, 5 * GIB)
    assert memory.most_rows(key(512)) == 6
    memory.note(key(512), 1, 2 * GIB)
    assert memory.most_rows(key(512)) == 6


def test_another_size_is_estimated_with_caution_until_it_is_measured() -> None:
    memory = PassMemory(lambda: 10 * GIB)
    memory.note(key(512), 1, GIB // 2)
    assert memory.most_rows(key(1024)) == 2  # 4 times the pixels, and half as much again
    memory.note(key(1024), 2, 2 * GIB)
    assert memory.most_rows(key(1024)) == 8
    assert memory.most_rows(key(512, "another")) == 1


def test_where_memory_limits_nothing_the_pixels_of_a_pass_do() -> None:
    memory = PassMemory()
    assert memory.most_rows(key(512)) is None
    assert Batcher(16 * 512 * 512, memory).cap(key(512)) == 16


def test_a_batch_holds_what_is_worth_a_pass_and_fits() -> None:
    room = [GIB]
    memory = PassMemory(lambda: room[0])
    batcher = Batcher(16 * 512 * 512, memory)
    for run in range(40):
        batcher.add(run, [DenoiseCall("sd", torch.zeros(1).expand(4, 64, 64), 1.0, reduction=8)], 0)
    sizes = []
    for room_gib in (1, 1, 100):
        room[0] = room_gib * GIB
        batch = batcher.pick(0).batch
        sizes.append(len(batch))
        memory.note(key(512), len(batch), len(batch) * GIB // 8)
    assert sizes == [1, 6, 16]


def test_the_device_measures_each_pass_by_itself() -> None:
    device = Device("cpu", fake_backend(ToyModel()), GIB, lambda: None, lambda _: None, FakeMeter())
    call = DenoiseCall("prior", torch.zeros(3, 8, 8), 1.0)
    for passes in (1, 2):
        assert not isinstance(device.predict([call]), Exception)
        assert device.peak_bytes == 1000 * passes
    assert device.room_bytes() == 5 * GIB


def test_a_processor_limits_no_batch_by_memory() -> None:
    device = Device("cpu", fake_backend(ToyModel()), GIB, lambda: None, lambda _: None)
    assert not isinstance(device.predict([DenoiseCall("p", torch.zeros(3, 8, 8), 1.0)]), Exception)
    assert (device.peak_bytes, device.room_bytes()) == (None, None)
