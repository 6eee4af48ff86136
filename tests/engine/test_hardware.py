"""The machine's device and memory."""

import pytest

from daemon.engine import hardware
from daemon.system.errors import DeviceError


def test_a_device_that_is_there_is_taken_by_name() -> None:
    assert hardware.pick_device("cpu") == "cpu"
    assert hardware.pick_device("auto").partition(":")[0] in hardware.PASS_PIXELS


def test_a_device_that_is_not_there_is_an_error_that_names_the_way_out() -> None:
    with pytest.raises(DeviceError, match=r"device 'cuda:99' is not there; device = \"auto\""):
        hardware.pick_device("cuda:99")


def test_every_kind_of_device_has_a_size_of_pass() -> None:
    assert hardware.pass_pixels("cpu") == 2**18
    assert hardware.pass_pixels("cuda:3") == 2**22


def test_tasks_get_half_of_what_the_machine_or_the_container_has_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hardware, "_free_in_machine", lambda: 8 << 30)
    monkeypatch.setattr(hardware, "free_bytes", lambda: 4 << 30)
    assert hardware.memory_budget() == 2 << 30
    assert hardware.model_budget("cpu") == pytest.approx(0.3 * (4 << 30), abs=1)
    monkeypatch.setattr(hardware, "free_bytes", lambda: 1 << 20)
    assert hardware.memory_budget() == 256 << 20
