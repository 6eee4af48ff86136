"""A model that gives nothing of use holds its recipe back, not its photographs to failed/."""

import json
from pathlib import Path

import pytest

from daemon.checkpoints.library import Library
from daemon.config.recipe import Recipe
from daemon.messages.reports import Failed, Outcome
from daemon.messages.tasks import RestoreTask
from daemon.service.status import read_status
from daemon.system.errors import ConfigError
from tests.support.fakes import FakeExecutor, restored
from tests.support.metrics_page import read, value
from tests.support.station_runs import drop_photo, open_daemon, run_once, write_settings

NAN = "model prior: its answer has NaN or infinities; nothing was published"


@pytest.fixture
def nan(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Recipes whose model gives NaN, and photographs at which every model does."""
    at_fault = {"denoise"}

    def restore(self: FakeExecutor, task: RestoreTask, name: str) -> Outcome:
        if at_fault.intersection((task.job.recipe.name, name)):
            return Failed(task.fence, NAN, model="prior")
        return restored(task)

    monkeypatch.setattr(FakeExecutor, "restore", restore)
    return at_fault


def test_a_recipe_whose_model_always_fails_is_held_and_goes_on_with_the_next_run(
    root: Path, nan: set[str]
) -> None:
    write_settings(root, retry_s=30)  # they come one by one, and the first waits for the others
    for number in range(5):
        drop_photo(root, f"denoise/{number}.png", size=9 + number)
    drop_photo(root, "colorize/grey.png")
    summary = run_once(root)
    assert (summary.done, summary.failed) == (1, 0)
    assert summary.held_up.startswith(f"denoise is held back, its photographs stay queued: {NAN}")
    nan.clear()
    write_settings(root)
    with open_daemon(root) as daemon:
        daemon._parts.ledger.clock_was_put_back(0)  # as if the first had waited long enough
        assert daemon.once().done == 5


def test_a_single_photograph_at_which_the_model_fails_goes_to_failed(
    root: Path, nan: set[str]
) -> None:
    nan.clear()
    nan.add("3.png")
    for number in range(5):
        drop_photo(root, f"denoise/{number}.png", size=9 + number)
    summary = run_once(root)
    assert (summary.done, summary.failed, summary.held_up) == (4, 1, "")
    assert json.loads((root / "failed/denoise/3.png.error.json").read_text())["why"] == NAN


def test_status_readyz_and_metrics_name_the_recipe_and_a_request_has_one_tried(
    root: Path, nan: set[str]
) -> None:
    write_settings(root, retry_s=2)
    for number in range(3):
        drop_photo(root, f"denoise/{number}.png", size=9 + number)
    with open_daemon(root) as daemon:
        for _ in range(100):
            daemon.turn(at_once=True)
            if daemon._parts.outcomes.holds.held:
                break
        daemon._publish_status(1e12)
        daemon.turn(at_once=True)
        notices = [notice.what for notice in read_status(daemon._parts.station).notices]
        assert any(what.startswith("denoise is held back") for what in notices), notices
        answer = daemon._parts.monitor._readyz()
        assert answer.body.decode() == f"ready\ndenoise is held back: {NAN}\n"
        samples = read(daemon._parts.monitor._page().body)
        assert value(samples, "restored_recipe_held", recipe="denoise") == 1
        assert value(samples, "restored_recipe_held", recipe="colorize") == 0
        nan.clear()
        (daemon._parts.station.requests / "ask.json").write_text('{"kind": "nothing"}')
        for _ in range(100):
            daemon.turn(at_once=True)
            if daemon._done == 3:
                break
        assert daemon._parts.outcomes.holds.held == ()
        assert daemon._done == 3


def test_a_checkpoint_that_is_gone_holds_its_recipe_until_it_is_back(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing, resolved = {"denoise"}, Library.resolved

    def resolve(library: Library, recipe: Recipe) -> tuple[Recipe, tuple[str, ...]]:
        if recipe.name in missing:
            raise ConfigError("model x/y is not on this machine; pull it")
        return resolved(library, recipe)

    monkeypatch.setattr(Library, "resolved", resolve)
    for number in range(3):
        drop_photo(root, f"denoise/{number}.png", size=9 + number)
    drop_photo(root, "colorize/grey.png")
    with open_daemon(root) as daemon:
        for _ in range(100):
            daemon.turn(at_once=True)
            if daemon._done == 1:
                break
        (held,) = daemon._parts.outcomes.holds.held
        assert held.why == "model x/y is not on this machine; pull it"
        assert daemon._failed == 0
        missing.clear()
        assert daemon.once().done == 4
