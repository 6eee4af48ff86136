"""Signs of life, with the clock passed in."""

from pathlib import Path

from daemon.engine.activity import MAX_LOAD_S
from daemon.service.monitoring.health import LOOP_S, Health


def test_before_the_first_turn_it_is_alive_and_not_ready() -> None:
    health = Health()
    assert health.why_not_alive(1e6) == ""
    assert health.why_not_ready(full=False) == "the worker loads its models"


def test_a_loop_that_hangs_is_not_alive() -> None:
    health = Health(stall_s=1e9)
    health.worker_reported(100, ready=True)
    health.loop_advanced(100, working=False)
    assert health.why_not_alive(100 + LOOP_S - 1) == ""
    assert health.why_not_alive(100 + LOOP_S) == "the loop has stood still for 300 s"


def test_models_may_load_for_ten_minutes() -> None:
    health = Health(stall_s=1)
    health.loop_advanced(0, working=True)
    health.loop_advanced(MAX_LOAD_S - 1, working=True)
    assert health.why_not_alive(MAX_LOAD_S - 1) == ""
    assert health.why_not_alive(MAX_LOAD_S) == "no worker was ready within 600 s"


def test_a_silent_worker_with_tasks_is_not_alive() -> None:
    health = Health(stall_s=50)
    health.worker_reported(0, ready=True)
    health.loop_advanced(100, working=False)
    health.loop_advanced(149, working=True)
    assert health.why_not_alive(149) == ""
    health.loop_advanced(150, working=True)
    assert health.why_not_alive(150) == "the worker has taken no step for 50 s"
    health.worker_reported(151)
    assert health.why_not_alive(151) == ""


def test_a_worker_that_is_silent_for_a_minute_with_tasks_is_not_ready() -> None:
    health = Health(stall_s=900)
    health.worker_reported(0, ready=True)
    health.loop_advanced(100, working=False)
    health.loop_advanced(160, working=True)
    assert health.why_not_ready(full=False, now=159) == ""
    assert health.why_not_ready(full=False, now=160) == "the worker has taken no step for 60 s"
    assert health.stalled(999) == {}
    assert health.stalled(1000) == {"1": "the worker has taken no step for 900 s"}


def test_an_idle_worker_that_says_nothing_is_not_ready_and_then_replaced() -> None:
    health = Health(stall_s=900)
    health.worker_reported(100, ready=True)
    for now in range(100, 1100, 100):
        health.loop_advanced(now, working=False)
    assert health.why_not_ready(full=False, now=159) == ""
    assert health.why_not_ready(full=False, now=160) == "the idle worker has said nothing for 60 s"
    assert health.stalled(999) == {}
    assert health.stalled(1000) == {"1": "the idle worker has said nothing for 900 s"}
    health.worker_reported(1001)
    assert health.why_not_ready(full=False, now=1002) == ""


def test_what_holds_all_work_up_is_a_reason_for_not_being_ready() -> None:
    health = Health()
    health.worker_reported(0, ready=True)
    health.held_up = "the worker dies whatever it works on"
    assert health.why_not_ready(full=False) == "the worker dies whatever it works on"


def test_every_reason_for_not_being_ready_is_named() -> None:
    health = Health()
    health.worker_reported(0, ready=True)
    assert health.why_not_ready(full=False) == ""
    assert health.why_not_ready(full=True) == "the disk is full"
    health.stopping = True
    health.worker_reported(1, died=True)
    assert health.why_not_ready(full=False) == (
        "the daemon is stopping; the worker loads its models"
    )


def test_the_units_allow_the_loop_as_much_as_the_health_check_does() -> None:
    units = Path(__file__).parents[3] / "systemd"
    for unit in ("restored.service", "restored@.service"):
        assert f"WatchdogSec={LOOP_S / 60:g}min" in (units / unit).read_text()


def test_one_of_several_workers_that_hangs_is_replaced_and_the_daemon_is_alive_and_ready() -> None:
    health = Health(stall_s=50)
    for worker in ("1", "2"):
        health.worker_reported(0, ready=True, worker=worker)
    health.loop_advanced(0, working=["1", "2"])
    health.worker_reported(49, worker="2")
    health.loop_advanced(60, working=["1", "2"])
    assert health.stalled(60) == {"1": "the worker has taken no step for 60 s"}
    assert health.why_not_alive(60) == ""
    assert health.why_not_ready(full=False, now=60) == ""
    assert health.why_not_alive(99) == "the worker has taken no step for 99 s"
    assert health.why_not_ready(full=False, now=99) == "the worker has taken no step for 99 s"
    health.worker_reported(100, died=True, worker="1")
    assert health.worker_loaded() == {"1": False, "2": True}


def test_a_worker_that_starts_is_replaced_after_ten_minutes_while_another_works() -> None:
    health = Health(stall_s=50)
    health.worker_reported(0, ready=True)
    health.worker_reported(0, worker="2")
    health.loop_advanced(0, working=["2"])
    health.loop_advanced(MAX_LOAD_S, working=["2"])
    health.worker_reported(MAX_LOAD_S)
    assert list(health.stalled(MAX_LOAD_S)) == ["2"]
    assert health.why_not_alive(MAX_LOAD_S) == ""
