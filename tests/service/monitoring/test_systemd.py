"""What systemd hears, on a real datagram socket, with the clock passed in."""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.config.station_setup import open_station
from daemon.engine.activity import MAX_LOAD_S
from daemon.service.daemon import Daemon
from daemon.service.monitoring.systemd import SystemdNotifier, systemd_notifier


class Manager:
    """The service manager's end of the socket."""

    def __init__(self, name: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(name)

    def received(self) -> list[str]:
        messages = []
        while True:
            try:
                messages.append(self._socket.recv(4096, socket.MSG_DONTWAIT).decode())
            except BlockingIOError:
                return messages

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def address(tmp_path: Path) -> str:
    return str(tmp_path / "notify")


@pytest.fixture
def manager(address: str) -> Iterator[Manager]:
    manager = Manager(address)
    yield manager
    manager.close()


def test_loading_models_extends_the_start_but_not_for_ever(address: str, manager: Manager) -> None:
    notifier = SystemdNotifier(address)
    notifier.loop_advanced(100, working=False)
    notifier.loop_advanced(101, working=False)
    assert manager.received() == ["EXTEND_TIMEOUT_USEC=60000000"]
    notifier.worker_reported(110, died=True)
    notifier.loop_advanced(100 + MAX_LOAD_S + 1, working=False)
    assert manager.received() == []


def test_the_alive_file_is_touched_whenever_the_watchdog_is_fed(tmp_path: Path) -> None:
    alive = tmp_path / "alive"

    def touched() -> bool:
        found = alive.exists()
        alive.unlink(missing_ok=True)
        return found

    notifier = SystemdNotifier(stall_s=900, alive_file=alive)
    notifier.loop_advanced(0, working=False)
    assert touched()
    notifier.worker_reported(100, ready=True)
    notifier.loop_advanced(105, working=True)
    assert touched()
    notifier.loop_advanced(106, working=True)
    assert not touched()
    notifier.loop_advanced(1005, working=True)
    assert not touched()
    SystemdNotifier(alive_file=tmp_path / "none" / "alive").loop_advanced(0, working=False)


def test_ready_is_sent_once_when_the_models_are_loaded(address: str, manager: Manager) -> None:
    notifier = SystemdNotifier(address)
    notifier.worker_reported(5, ready=True)
    notifier.worker_reported(6, died=True)
    notifier.worker_reported(7, ready=True)
    assert manager.received() == ["READY=1"]


def test_a_silent_worker_with_tasks_stops_the_watchdog_messages(
    address: str, manager: Manager
) -> None:
    notifier = SystemdNotifier(address, stall_s=900)
    notifier.worker_reported(0, ready=True)
    notifier.loop_advanced(5000, working=False)
    notifier.loop_advanced(5100, working=True)
    assert manager.received() == ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]
    notifier.loop_advanced(5901, working=True)
    assert manager.received() == []
    notifier.worker_reported(5902)
    notifier.loop_advanced(5910, working=True)
    assert manager.received() == ["WATCHDOG=1"]


def test_a_worker_that_was_replaced_may_load_longer_than_it_may_stall(
    address: str, manager: Manager
) -> None:
    notifier = SystemdNotifier(address, stall_s=10)
    notifier.worker_reported(0, ready=True)
    notifier.worker_reported(100, died=True)
    notifier.loop_advanced(100 + MAX_LOAD_S - 1, working=True)
    assert manager.received() == ["READY=1", "WATCHDOG=1"]
    notifier.loop_advanced(100 + MAX_LOAD_S + 10, working=True)
    assert manager.received() == []


def test_a_status_is_sent_when_it_has_changed(address: str, manager: Manager) -> None:
    notifier = SystemdNotifier(address)
    for text in ("1 in flight", "1 in flight", "2 in flight"):
        notifier.status(text)
    assert manager.received() == ["STATUS=1 in flight", "STATUS=2 in flight"]


def test_a_name_in_the_status_cannot_send_a_message_of_its_own(
    address: str, manager: Manager
) -> None:
    SystemdNotifier(address).status("waits: a\nSTOPPING=1\x1b\u202e.jpg")
    assert manager.received() == [r"STATUS=waits: a\nSTOPPING=1\x1b\u202e.jpg"]


def test_a_reload_before_the_service_is_ready_does_not_send_ready(
    address: str, manager: Manager
) -> None:
    notifier = SystemdNotifier(address)
    with notifier.reloading(1):
        pass
    assert manager.received() == []


def test_a_missing_service_manager_is_no_error(address: str) -> None:
    SystemdNotifier(address).stopping(1)
    systemd_notifier({}, 900).stopping(1)


def test_messages_go_to_an_abstract_socket() -> None:
    name = f"restored-test-{os.getpid()}"
    manager = Manager("\0" + name)
    systemd_notifier({"NOTIFY_SOCKET": "@" + name}, 900).stopping(2.5)
    assert manager.received() == ["STOPPING=1\nEXTEND_TIMEOUT_USEC=2500000"]
    manager.close()


def test_the_daemon_reports_its_state_from_start_to_stop(
    root: Path, address: str, manager: Manager
) -> None:
    station, settings = open_station(root)
    systemd = SystemdNotifier(address)
    heard: list[str] = []

    def wait_for(message: str) -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and not any(message in one for one in heard):
            heard.extend(manager.received())
            time.sleep(0.01)

    def operate() -> None:
        wait_for("WATCHDOG=1")
        os.kill(os.getpid(), signal.SIGHUP)
        wait_for("RELOADING=1")
        os.kill(os.getpid(), signal.SIGTERM)

    operator = threading.Thread(target=operate)
    operator.start()
    with Daemon.open(station, settings, executor="fake", systemd=systemd) as daemon:
        daemon.run()
    operator.join()
    heard += manager.received()
    assert "STATUS=0 in flight; since the start 0 restored, 0 failed" in heard
    others = [message for message in heard if not message.startswith("STATUS=")]
    assert [message.partition("=")[0] for message in others] == [
        *("EXTEND_TIMEOUT_USEC", "READY", "WATCHDOG"),
        *("RELOADING", "READY", "STOPPING"),
    ]
    assert "MONOTONIC_USEC=" in others[3]
    assert systemd.health.why_not_ready(full=False) == "the daemon is stopping"
    assert others[5] == "STOPPING=1\nEXTEND_TIMEOUT_USEC=31000000"
