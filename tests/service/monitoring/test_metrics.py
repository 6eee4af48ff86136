"""Metrics: of a real run in this process, of the real daemon over HTTP, and in the dashboard."""

import contextlib
import json
import math
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from daemon.config.station_setup import find_station, make_station
from daemon.jobs.accounting import JobEnded, Stage, StageDuration
from daemon.jobs.ledger import bulk as bulk_rows
from daemon.jobs.ledger.entries import Waiting
from daemon.jobs.ledger.writer import Ledger
from daemon.messages.reports import BatchCounts, LoadedModel
from daemon.service.monitoring.metrics import Metrics
from daemon.service.monitoring.station_sizes import SIZES, StationSizes
from tests.support.daemon_process import (
    DEADLINE_S,
    RESTORED,
    drop_picture,
    photograph,
    running,
    worker_of,
)
from tests.support.metrics_page import Sample, get, read, value
from tests.support.station_runs import drop_photo, open_daemon, run_once, write_settings
from tests.support.waiting import wait_for

DASHBOARD = Path(__file__).parents[3] / "docs" / "grafana.json"
ALERTS = DASHBOARD.with_name("alerts.yml")


class Still:
    """A daemon that stands still."""

    def __init__(self, *waiting: Waiting) -> None:
        self.waiting = waiting

    def queue(self) -> Sequence[Waiting]:
        return self.waiting

    def flags(self) -> dict[str, bool]:
        return {"disk_full": False, "paused": True}

    def workers_ready(self) -> dict[str, bool]:
        return {"1": True}

    def sizes(self) -> dict[str, float]:
        return {"archive_bytes": 7}

    def held_recipes(self) -> tuple[str, ...]:
        return ()


def test_batch_sizes_are_a_histogram_of_what_the_worker_counted() -> None:
    metrics = Metrics(Still(), lambda: 0)
    metrics.record_batches(
        BatchCounts((1, 0, 2, 0, 0, 0, 0, 0, 1), 208, 3.5, 2), (LoadedModel("prior", 9),)
    )
    metrics.record_batches(
        BatchCounts((0, 1, 0, 0, 0, 0, 0, 0, 0), 2, 0.5), (LoadedModel("prior", 9),)
    )
    samples = read(metrics.page())
    below = [
        value(samples, "restored_group_size_bucket", le=bound)
        for bound in ("1.0", "2.0", "4.0", "128.0", "+Inf")
    ]
    assert below == [1, 2, 4, 4, 5]
    assert value(samples, "restored_group_size_count") == 5
    assert value(samples, "restored_group_size_sum") == 210
    assert value(samples, "restored_device_busy_seconds_total", worker="1") == 4
    assert value(samples, "restored_out_of_memory_total", worker="1") == 2
    assert value(samples, "restored_model_bytes", model="prior", worker="1") == 9


def test_the_busy_share_is_that_of_the_last_minute() -> None:
    now = 0.0
    metrics = Metrics(Still(), lambda: now)
    metrics.record_batches(BatchCounts(busy_s=20), ())
    now = 50
    metrics.record_batches(BatchCounts(busy_s=10), ())
    assert value(read(metrics.page()), "restored_device_busy_ratio", worker="1") == 0.5
    now = 70
    assert value(read(metrics.page()), "restored_device_busy_ratio", worker="1") == pytest.approx(
        1 / 6
    )
    now = 200
    assert value(read(metrics.page()), "restored_device_busy_ratio", worker="1") == 0


def test_models_are_gone_with_their_worker() -> None:
    metrics = Metrics(Still(), lambda: 0)
    metrics.record_batches(BatchCounts(), (LoadedModel("prior", 9),))
    metrics.count_worker_death()
    samples = read(metrics.page())
    assert value(samples, "restored_worker_deaths_total", worker="1") == 1
    assert not [name for name, _ in samples if name == "restored_model_bytes"]


def test_each_worker_has_counts_and_models_of_its_own() -> None:
    metrics = Metrics(Still(), lambda: 0)
    for worker, busy_s in (("1", 6), ("2", 30)):
        metrics.record_batches(BatchCounts(busy_s=busy_s), (LoadedModel("prior", 9),), worker)
    metrics.count_model_load("org/a", "2")
    metrics.count_worker_death("2")
    metrics.record_batches(BatchCounts(), (LoadedModel("prior", 9),), "3")
    metrics.count_worker_loss("3")
    samples = read(metrics.page())
    ratios = [value(samples, "restored_device_busy_ratio", worker=name) for name in "12"]
    assert ratios == pytest.approx([0.1, 0.5])
    deaths = [value(samples, "restored_worker_deaths_total", worker=name) for name in "12"]
    assert deaths == [0, 1]
    assert value(samples, "restored_worker_losses_total", worker="3") == 1
    assert value(samples, "restored_model_bytes", model="prior", worker="1") == 9
    assert [
        dict(labels)["worker"] for name, labels in samples if name == "restored_model_bytes"
    ] == ["1"]
    assert value(samples, "restored_model_loads_total", model="org/a", worker="2") == 1


def test_unknown_recipes_share_one_label() -> None:
    metrics = Metrics(Still(Waiting("", 2, 5), Waiting("gone", 3, 9), Waiting("denoise", 1, 2)))
    metrics.set_recipes(["denoise", "colorize"])
    metrics.count_ended(
        [JobEnded("denoise", "restored"), JobEnded("x.jpg", "failed"), JobEnded("", "failed")]
    )
    metrics.observe_durations([StageDuration("queue", "IMG_0001.jpg", 3)])
    samples = read(metrics.page())
    labels = {dict(labels)["recipe"] for _, labels in samples if "recipe" in dict(labels)}
    assert labels == {"denoise", "colorize", "(other)"}
    assert value(samples, "restored_jobs_total", recipe="(other)", outcome="failed") == 2
    assert value(samples, "restored_queue_jobs", recipe="(other)") == 5
    assert value(samples, "restored_queue_jobs", recipe="colorize") == 0
    assert value(samples, "restored_queue_oldest_seconds", recipe="(other)") == 9
    assert value(samples, "restored_queue_oldest_seconds", recipe="denoise") == 2
    assert value(samples, "restored_worker_ready", worker="1") == 1
    flags = [value(samples, f"restored_{name}") for name in ("disk_full", "paused")]
    assert flags == [0, 1]


def test_nothing_on_the_page_acts_on_a_terminal() -> None:
    metrics = Metrics(Still())
    metrics.count_model_load("models/a\x1b\u202e")
    metrics.record_batches(BatchCounts(), (LoadedModel("models/a\x1b\u202e", 9),))
    page = metrics.page().decode()
    assert {c for c in page if c != "\n" and not c.isprintable()} == set()
    assert (
        value(read(metrics.page()), "restored_model_bytes", model=r"models/a\x1b\u202e", worker="1")
        == 9
    )


def test_two_daemons_in_one_process_share_nothing() -> None:
    first, second = Metrics(Still()), Metrics(Still())
    first.count_rescan_finds(3)
    assert value(read(first.page()), "restored_rescan_finds_total") == 3
    assert value(read(second.page()), "restored_rescan_finds_total") == 0


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[Sample, float], str, list[Path]]:
    """The metrics of a station that restored with the inline executor; and its records."""
    root = tmp_path_factory.mktemp("metrics") / "station"
    make_station(root)
    (root / "restored.toml").write_text("settle_s = 0\nthreads = 1\narriving_s = 0\n")
    for number in range(3):
        drop_picture(root, f"denoise/secret-{number}.png", photograph(96, 20 * number))
    drop_picture(root, "super-resolve/secret.png", photograph(64))
    (root / "inbox/denoise/secret-broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno picture")
    with open_daemon(root, executor="inline") as daemon:
        summary = daemon.once()
        assert (summary.done, summary.failed) == (4, 1)
        page = daemon._parts.monitor._metrics.page()
    again = root / "archive/denoise/secret-0.png"
    again.rename(root / "inbox/denoise/secret-0.png")
    with open_daemon(root, executor="inline") as daemon:
        assert daemon.once().done == 1
        second = read(daemon._parts.monitor._metrics.page())
    assert value(second, "restored_jobs_total", recipe="denoise", outcome="duplicate") == 1
    return read(page), page.decode(), sorted(root.glob("outbox/**/*.json"))


def test_jobs_are_counted_by_recipe_and_outcome(
    run: tuple[dict[Sample, float], str, list[Path]],
) -> None:
    samples, text, _ = run
    counted = {
        (dict(labels)["recipe"], dict(labels)["outcome"]): count
        for (name, labels), count in samples.items()
        if name == "restored_jobs_total"
    }
    assert counted == {
        ("denoise", "restored"): 3,
        ("denoise", "rejected"): 1,
        ("super-resolve", "restored"): 1,
    }
    assert "secret" not in text, "no file names"


def test_stages_are_timed_as_the_records_say(
    run: tuple[dict[Sample, float], str, list[Path]],
) -> None:
    samples, _, paths = run
    records = [json.loads(path.read_text()) for path in paths]
    for recipe in ("denoise", "super-resolve"):
        timings = [record["timing"] for record in records if record["recipe"] == recipe]
        refused = recipe == "denoise"
        for stage in get_args(Stage):
            count = value(samples, "restored_stage_seconds_count", stage=stage, recipe=recipe)
            total = value(samples, "restored_stage_seconds_sum", stage=stage, recipe=recipe)
            assert count == len(timings) + (refused and stage in ("settle", "claim"))
            if f"{stage}_s" in timings[0]:
                expected = sum(timing[f"{stage}_s"] for timing in timings)
                assert total == pytest.approx(expected, abs=1e-3)
            inside = value(
                samples, "restored_stage_seconds_bucket", stage=stage, recipe=recipe, le="7200.0"
            )
            assert inside == count
            assert total > 0 or stage in ("settle", "queue")


def test_batches_passes_and_models_are_those_of_the_engine(
    run: tuple[dict[Sample, float], str, list[Path]],
) -> None:
    samples, _, paths = run
    timings = [json.loads(path.read_text())["timing"] for path in paths]
    assert value(samples, "restored_group_size_sum") == sum(timing["calls"] for timing in timings)
    passes = value(samples, "restored_group_size_count")
    assert max(timing["passes"] for timing in timings) <= passes
    assert passes <= sum(timing["passes"] for timing in timings)
    device_s = sum(timing["device_s"] for timing in timings)
    busy_s = value(samples, "restored_device_busy_seconds_total", worker="1")
    assert math.isclose(busy_s, device_s, rel_tol=0.05, abs_tol=0.05)
    assert value(samples, "restored_model_loads_total", model="restoration", worker="1") == 1
    weights = Path(__file__).parents[3] / "daemon/checkpoints/weights/restoration"
    size = sum(path.stat().st_size for path in weights.glob("*.safetensors"))
    assert value(samples, "restored_model_bytes", model="restoration", worker="1") >= size
    assert value(samples, "restored_out_of_memory_total", worker="1") == 0
    assert value(samples, "restored_in_flight_jobs") == 0


def expressions(board: object) -> Iterator[str]:
    if isinstance(board, dict):
        for key, part in board.items():
            if key in ("expr", "query") and isinstance(part, str):
                yield part
            yield from expressions(part)
    elif isinstance(board, list):
        for part in board:
            yield from expressions(part)


def test_every_expression_of_the_dashboard_uses_existing_metrics(
    run: tuple[dict[Sample, float], str, list[Path]],
) -> None:
    samples, _, _ = run
    known: dict[str, set[str]] = {}
    for name, labels in samples:
        known.setdefault(name, {"instance"}).update(label for label, _ in labels)
    asked = [text for text in expressions(json.loads(DASHBOARD.read_text())) if "_" in text]
    assert len(asked) > 20
    shown = set()
    for text in asked:
        names = re.findall(r"\b(?:restored|process)_\w+", text)
        assert names, text
        for name in names:
            assert name in known, text
            shown.add(name)
        used = re.findall(r"by \(([^)]*)\)", text) + re.findall(r"[{,](\w+)=", text)
        for label in {part.strip() for parts in used for part in parts.split(",")}:
            assert all(label in known[name] for name in names), f"{label} in {text}"
    families = {re.sub(r"_(total|bucket|sum|count|created)$", "", name) for name in known}
    missing = {
        family
        for family in families
        if family.startswith("restored_")
        and not any(re.sub(r"_(total|bucket|sum|count)$", "", name) == family for name in shown)
    }
    assert missing == set(), "every metric has its place in the dashboard"


def test_every_alert_uses_existing_metrics(
    run: tuple[dict[Sample, float], str, list[Path]],
) -> None:
    known = {name for name, _ in run[0]}
    text = ALERTS.read_text("utf-8")
    names = set(re.findall(r"\b(?:restored|process)_\w+", text))
    assert len(names) > 8
    assert names - known == set()
    jobs = re.findall(r'job="([^"]*)"', text)
    assert set(jobs) == {"restored"}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool")
def test_promtool_finds_nothing_wrong_with_the_alerts() -> None:
    command = ["promtool", "check", "rules", str(ALERTS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_sizes_are_of_the_ledger_and_of_the_disk(tmp_path: Path, fake_executor: None) -> None:
    root = make_station(tmp_path / "s").root
    write_settings(root)
    size = len(drop_photo(root, "denoise/a.png"))
    assert run_once(root).done == 1
    with contextlib.closing(Ledger(find_station(root).ledger)) as ledger:
        bulk_rows.save(ledger, bulk_rows.BulkJob("a", "1", "denoise", (tmp_path,), 1.0, 0.0))
        summary = bulk_rows.BulkCounts(done=1)
        ended = bulk_rows.BulkJob("b", "2", "denoise", (tmp_path,), 1.0, 0.0, "ended")
        bulk_rows.save(ledger, replace(ended, summary=summary))
    sizes = StationSizes(find_station(root)).read()
    assert set(sizes) == set(SIZES)
    assert (sizes["archive_bytes"], sizes["bulk_jobs"]) == (size, 1)
    assert sizes["disk_free_bytes"] > 0


def test_the_daemon_serves_what_its_worker_process_did(tmp_path: Path) -> None:
    root = tmp_path / "station"
    make_station(root)
    with running(root, RESTORED_METRICS_PORT="0") as process:
        log = root / "run.log"
        wait_for(lambda: b'"metrics_served"' in log.read_bytes(), "the port")
        events = [json.loads(line) for line in log.read_text().splitlines()]
        (port,) = [event["port"] for event in events if event["event"] == "metrics_served"]
        status, why = get(port, "/readyz")
        assert status == 200 or why == b"the worker loads its models\n"
        wait_for(lambda: get(port, "/readyz") == (200, b"ready\n"), "a worker")
        assert get(port, "/livez") == (200, b"alive\n")

        drop_picture(root, "denoise/one.png", photograph(96))
        record = root / "outbox/denoise/one.png.json"
        wait_for(record.exists, "the result")
        timing = json.loads(record.read_text())["timing"]

        def samples() -> dict[Sample, float]:
            return read(get(port, "/metrics")[1])

        calls = timing["calls"]
        wait_for(lambda: value(samples(), "restored_group_size_sum") == calls, "the beat")
        found = samples()
        assert value(found, "restored_group_size_count") == timing["passes"]
        assert value(found, "restored_jobs_total", recipe="denoise", outcome="restored") == 1
        decode_s = value(found, "restored_stage_seconds_sum", stage="decode", recipe="denoise")
        assert decode_s == pytest.approx(timing["decode_s"], abs=1e-3)
        assert value(found, "restored_model_bytes", model="prior", worker="1") > 1e6
        assert value(found, "restored_worker_ready", worker="1") == 1

        environment = os.environ | {"RESTORED_METRICS_PORT": str(port)}
        make_station(tmp_path / "other")
        second = subprocess.run(
            [RESTORED, "--station", tmp_path / "other", "run"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
        )
        assert second.returncode == 78
        assert f"metrics_port is {port}" in second.stderr

        worker = worker_of(process)
        assert worker is not None
        os.kill(worker, signal.SIGKILL)
        wait_for(
            lambda: value(samples(), "restored_worker_deaths_total", worker="1") == 1, "the death"
        )
        wait_for(lambda: get(port, "/readyz")[0] == 200, "the next worker")
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 0
