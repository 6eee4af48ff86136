"""What the loop records becomes messages at a server of the test, and counts in metrics."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.config.station import InboxFolder, Station
from daemon.config.station_setup import make_station
from daemon.intake.arrivals import Arrival
from daemon.jobs.ledger.writer import Ledger
from daemon.messages.reports import (
    HandedBack,
    Heartbeat,
    LoadedModel,
    ModelLoaded,
    WorkerDied,
    WorkerReady,
)
from daemon.service.monitoring.health import Health
from daemon.service.monitoring.monitor import Monitor, MonitorSettings
from daemon.system.errors import ConfigError, LedgerError
from tests.support.message_server import MessageServer
from tests.support.metrics_page import get, read, value
from tests.support.station_runs import drop_photo, open_daemon, run_once, write_settings


@pytest.fixture
def root(tmp_path: Path, fake_executor: None) -> Path:
    """A station whose name is in every message."""
    make_station(tmp_path / "attic")
    return tmp_path / "attic"


@pytest.fixture
def message_server() -> Iterator[MessageServer]:
    message_server = MessageServer()
    yield message_server
    message_server.close()


def test_many_failures_are_a_message_before_the_run_ends(
    root: Path, message_server: MessageServer
) -> None:
    write_settings(root, notify=[f"json://{message_server.address}/"], notify_failures_per_hour=2)
    for number in range(3):
        drop_photo(root, f"denoise/broken{number}.png")
    drop_photo(root, "denoise/good.png")
    assert run_once(root).failed == 3
    assert message_server.titles() == ["attic: photographs fail"]


def test_few_failures_are_no_message(root: Path, message_server: MessageServer) -> None:
    write_settings(root, notify=[f"json://{message_server.address}/"], notify_failures_per_hour=2)
    for number in range(2):
        drop_photo(root, f"denoise/broken{number}.png")
    assert run_once(root).failed == 2
    assert message_server.titles() == []


def test_a_worker_that_keeps_dying_is_a_message(root: Path, message_server: MessageServer) -> None:
    write_settings(root, notify=[f"json://{message_server.address}/"])
    drop_photo(root, "denoise/killer.png")
    assert run_once(root).failed == 1
    assert message_server.titles() == ["attic: the worker keeps dying"]
    assert message_server.messages[0]["message"].endswith("The last time: signal 9")


def test_a_full_disk_is_a_message(root: Path, message_server: MessageServer) -> None:
    write_settings(root, notify=[f"json://{message_server.address}/"], min_free_mb=1e12)
    drop_photo(root, "denoise/scan.png")
    assert run_once(root).held_up
    assert message_server.titles() == ["attic: the disk is full"]


def test_a_disk_without_room_for_the_ledger_is_a_message(
    root: Path, message_server: MessageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_settings(root, notify=[f"json://{message_server.address}/"], min_free_mb=1e12)

    def refuse(ledger: Ledger, notices: object) -> None:
        raise LedgerError("ledger.sqlite3", "database or disk is full", no_space=True)

    monkeypatch.setattr(Ledger, "set_notices", refuse)
    drop_photo(root, "denoise/scan.png")
    assert run_once(root).held_up
    assert message_server.titles() == ["attic: the disk is full"]


def test_a_mail_server_that_refuses_does_not_disturb_the_work(root: Path) -> None:
    write_settings(root, notify=["json://127.0.0.1:1/"], notify_failures_per_hour=0)
    drop_photo(root, "denoise/broken.png")
    drop_photo(root, "denoise/good.png")
    assert (run_once(root).done, run_once(root).failed) == (1, 0)


def test_a_wrong_address_is_found_at_the_start(root: Path) -> None:
    write_settings(root, notify=["jsno://hunter2"])
    with pytest.raises(ConfigError, match=r"notify\[0\] \(jsno\)"), open_daemon(root):
        pass


class MonitorByHand:
    """A monitor whose clock and disk are set by hand."""

    def __init__(self, tmp_path: Path, monitor_settings: MonitorSettings) -> None:
        self.now, self.full = 1000.0, False
        self.health = Health(stall_s=60)
        station = Station(tmp_path, tmp_path / "none", tmp_path / "logs", tmp_path)
        self.monitor = Monitor(
            station, self.health, monitor_settings, lambda: self.full, lambda: self.now
        )


def test_health_is_what_the_watchdog_goes_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports: list[int] = []
    monkeypatch.setattr(
        "daemon.service.monitoring.monitor._log.info",
        lambda event, **fields: ports.append(fields["port"]),
    )
    by_hand = MonitorByHand(tmp_path, MonitorSettings(port=0))
    health = by_hand.health
    with by_hand.monitor.serving():
        (port,) = ports
        health.loop_advanced(1000, working=False)
        assert get(port, "/readyz") == (503, b"the worker loads its models\n")
        health.worker_reported(1000, ready=True)
        assert get(port, "/readyz") == (200, b"ready\n")
        by_hand.full = True
        assert get(port, "/readyz") == (503, b"the disk is full\n")
        assert get(port, "/livez") == (200, b"alive\n")
        health.loop_advanced(1061, working=True)
        by_hand.now = 1061
        assert get(port, "/livez") == (503, b"the worker has taken no step for 61 s\n")
        health.worker_reported(1062)
        by_hand.now = 1062
        assert get(port, "/livez")[0] == 200
        by_hand.now = 1400
        assert get(port, "/livez") == (503, b"the loop has stood still for 339 s\n")
        samples = read(get(port, "/metrics")[1])
        assert value(samples, "restored_disk_full") == 1
        assert value(samples, "restored_worker_ready", worker="1") == 1


def test_without_a_port_nothing_is_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.service.monitoring.monitor.MonitoringServer", None)
    with MonitorByHand(tmp_path, MonitorSettings()).monitor.serving():
        pass


def test_reports_and_arrivals_are_counted(tmp_path: Path) -> None:
    by_hand = MonitorByHand(tmp_path, MonitorSettings())
    one = LoadedModel("prior", 5)
    by_hand.monitor.record_reports(
        [
            WorkerReady("cpu", (one,)),
            ModelLoaded("prior", 1.0, 5),
            Heartbeat(loaded_models=(one, LoadedModel("org/large", 7))),
            HandedBack((1,)),
        ]
    )
    folder = InboxFolder(tmp_path, None, tmp_path, tmp_path, tmp_path)
    arrivals = [Arrival(folder, Path(str(n)), 1, 1, missed=n < 2) for n in range(3)]
    by_hand.monitor.record_arrivals(arrivals)
    samples = read(by_hand.monitor._page().body)
    assert value(samples, "restored_model_bytes", model="prior", worker="1") == 5
    assert value(samples, "restored_model_bytes", model="org/large", worker="1") == 7
    assert value(samples, "restored_model_loads_total", model="prior", worker="1") == 1
    assert value(samples, "restored_rescan_finds_total") == 2
    by_hand.monitor.record_reports([WorkerDied((), "gone")])
    samples = read(by_hand.monitor._page().body)
    assert value(samples, "restored_worker_deaths_total", worker="1") == 1
    assert ("restored_model_bytes", frozenset({("model", "prior"), ("worker", "1")})) not in samples
