"""Recipes that ask for the content: from the inbox to the recipe, and what a crash leaves."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image
from rich.console import Console

from daemon.cli.status_text import print_status
from daemon.config.content_features import COLOUR, NOISE
from daemon.config.recipe import SHIPPED_RECIPES, load_recipes
from daemon.config.station import Station
from daemon.jobs.ledger.reader import LedgerReader
from daemon.service.daemon import RunSummary
from daemon.service.status import RecipeStatus, read_status
from daemon.system.errors import ConfigError
from tests.support.fakes import FakeExecutor, everything_below
from tests.support.station_runs import drop_photo, open_daemon, run_once

GREY = '[match]\ngrey = true\n[[steps]]\nkind = "denoise"\n'
NOISY = '[match]\nnoise_above = 8.0\n[[steps]]\nkind = "denoise"\n'
REST = '[match]\nnames = ["*.png"]\n[[steps]]\nkind = "denoise"\nmode = "gaussian"\n'


@pytest.fixture
def root(root: Path) -> Iterator[Path]:
    for name, text in (("a-grey", GREY), ("b-noisy", NOISY), ("c-rest", REST)):
        (root / f"recipes/{name}.toml").write_text(text)
    FakeExecutor.inspect_tasks.clear()
    yield root
    FakeExecutor.inspect_tasks.clear()


def recipe_of(root: Path, result: str) -> str:
    name: str = json.loads((root / "outbox" / f"{result}.json").read_text())["recipe"]
    return name


def test_the_content_of_a_photograph_in_the_plain_inbox_chooses_its_recipe(root: Path) -> None:
    drop_photo(root, "grey.png", "grey")
    drop_photo(root, "album/noisy.png", "green")
    drop_photo(root, "plain.png", "blue")
    assert run_once(root) == RunSummary(done=3)
    assert recipe_of(root, "grey.png") == "a-grey"
    assert recipe_of(root, "album/noisy.png") == "b-noisy"
    assert recipe_of(root, "plain.png") == "c-rest"
    assert {inspect_task.features for inspect_task in FakeExecutor.inspect_tasks} == {
        (COLOUR, NOISE)
    }
    assert len(everything_below(root / "archive")) == 3
    assert everything_below(root / ".restored/work") == {}


def test_what_is_chosen_by_content_waits_for_the_schedule_of_its_recipe(root: Path) -> None:
    yearly = root / "recipes/a-grey.toml"
    yearly.write_text('[schedule]\ncron = "0 0 1 1 *"\n' + GREY)
    drop_photo(root, "grey.png", "grey")
    drop_photo(root, "plain.png", "blue")
    tally = run_once(root)
    assert (tally.done, tally.failed) == (1, 0)
    assert [(held.recipe, held.jobs) for held in tally.held_back] == [("a-grey", 1)]
    yearly.write_text(GREY)
    assert run_once(root) == RunSummary(done=1)


def test_a_photograph_that_no_conditional_recipe_could_take_is_not_looked_at(root: Path) -> None:
    (root / "recipes/a-grey.toml").write_text(GREY.replace("grey =", 'names = ["x*"]\ngrey ='))
    (root / "recipes/b-noisy.toml").unlink()
    drop_photo(root, "plain.png")
    assert run_once(root) == RunSummary(done=1)
    assert recipe_of(root, "plain.png") == "c-rest"
    assert FakeExecutor.inspect_tasks == []


def test_what_was_seen_is_remembered_by_content(root: Path) -> None:
    drop_photo(root, "grey.png", "grey")
    run_once(root)
    drop_photo(root, "grey-again.png", "grey")
    (root / "recipes/b-noisy.toml").unlink()
    assert run_once(root) == RunSummary(done=1)
    assert len(FakeExecutor.inspect_tasks) == 1
    assert recipe_of(root, "grey-again.png") == "a-grey"


def test_where_no_recipe_takes_the_content_the_original_goes_to_failed_and_says_why(
    root: Path,
) -> None:
    (root / "recipes/c-rest.toml").unlink()
    for shipped in load_recipes([SHIPPED_RECIPES]):
        (root / f"recipes/{shipped.name}.toml").write_text(REST.replace("*.png", "*.never"))
    original = drop_photo(root, "plain.png")
    assert run_once(root) == RunSummary(failed=1)
    assert (root / "failed/plain.png").read_bytes() == original
    why = json.loads((root / "failed/plain.png.error.json").read_text())["why"]
    assert "a-grey: it has 30.0 levels of colour; grey = true, and up to 7 is grey" in why
    assert "b-noisy: it has 0.0 levels of noise, not above 8" in why


def test_the_folder_of_a_recipe_refuses_what_its_match_refuses(root: Path) -> None:
    drop_photo(root, "a-grey/grey.png", "grey")
    drop_photo(root, "a-grey/red.png", "red")
    assert run_once(root) == RunSummary(done=1, failed=1)
    assert recipe_of(root, "a-grey/grey.png") == "a-grey"
    why = json.loads((root / "failed/a-grey/red.png.error.json").read_text())["why"]
    assert why.startswith("a-grey/red.png: recipe a-grey refuses it: it has 30.0 levels of colour")


def test_both_photographs_of_a_pair_are_looked_at(root: Path) -> None:
    pair = '[match]\ngrey = true\n[[steps]]\nkind = "interpolate"\n'
    (root / "recipes/pair.toml").write_text(pair)
    drop_photo(root, "pair/grey-a.png", "grey")
    drop_photo(root, "pair/grey-b.png", "black")
    drop_photo(root, "pair/grey_1.png", "white")
    drop_photo(root, "pair/grey_2.png", "blue")
    assert run_once(root) == RunSummary(done=2)
    assert len(FakeExecutor.inspect_tasks) == 4


def test_a_pair_of_which_one_is_refused_fails_together(root: Path) -> None:
    (root / "recipes/pair.toml").write_text(
        '[match]\ngrey = true\n[[steps]]\nkind = "interpolate"\n'
    )
    for name, colour in (("grey.png", "grey"), ("red.png", "red")):
        drop_photo(root, f"pair/both/{name}", colour)
    assert run_once(root) == RunSummary(failed=1)
    assert len(FakeExecutor.inspect_tasks) == 2
    assert (root / "failed/pair/both/grey.png").exists()
    assert (root / "failed/pair/both/red.png").exists()


def test_the_side_files_of_all_candidates_go_along(root: Path) -> None:
    colorize = '[match]\ngrey = true\n[[steps]]\nkind = "colorize"\n'
    (root / "recipes/a-grey.toml").write_text(colorize)
    drop_photo(root, "grey.png", "grey")
    drop_photo(root, "grey.hints.png", "red")
    assert run_once(root) == RunSummary(done=1)
    inputs = json.loads((root / "outbox/grey.png.json").read_text())["inputs"]
    assert [(one["role"], one["file"]) for one in inputs] == [
        ("photo", "grey.png"),
        ("hints", "grey.hints.png"),
    ]


@pytest.mark.usefixtures("read_at_once")
def test_a_photograph_that_waits_to_be_looked_at_is_told_by_status_and_kept(
    root: Path, station: Station
) -> None:
    original = drop_photo(root, "held-grey.png", "grey")
    with open_daemon(root) as daemon:  # as one that is killed in the middle
        daemon.turn(at_once=True)
        daemon.turn(at_once=True)
        (row,) = read_status(station).recipes
        assert row == RecipeStatus("", queued=0, in_flight=1, done=0, failed=0)
        console = Console(record=True, width=200)
        print_status(read_status(station), console)
        assert "(being inspected)" in console.export_text()
    (entry,) = in_state(station, "leased")
    assert entry.claim.files[0].path.read_bytes() == original


def in_state(station: Station, state: str) -> list:  # type: ignore[type-arg]
    ledger = LedgerReader(station.ledger)
    try:
        return ledger.in_state(state)  # type: ignore[arg-type]
    finally:
        ledger.close()


def test_a_photograph_that_kills_whoever_looks_at_it_is_found_and_set_aside(root: Path) -> None:
    original = drop_photo(root, "killer.png")
    drop_photo(root, "grey.png", "grey")
    assert run_once(root) == RunSummary(done=1, failed=1)
    assert (root / "failed/killer.png").read_bytes() == original
    why = json.loads((root / "failed/killer.png.error.json").read_text())["why"]
    assert why.startswith("the worker process died 3 times with this photograph")


def test_a_damaged_photograph_fails_when_it_is_looked_at(root: Path) -> None:
    drop_photo(root, "broken.png")
    (root / "restored.toml").write_text("settle_s = 0\nmin_free_mb = 0\narriving_s = 0\n")
    assert run_once(root) == RunSummary(failed=1)
    why = json.loads((root / "failed/broken.png.error.json").read_text())["why"]
    assert why == "broken.png: it ends early"


def test_looks_like_without_a_clip_model_says_what_to_set(root: Path) -> None:
    (root / "recipes/portrait.toml").write_text(
        '[match]\nlooks_like = "a portrait"\n[[steps]]\nkind = "denoise"\n'
    )
    with pytest.raises(ConfigError, match=r"portrait.toml: .*set clip_model in restored.toml"):
        run_once(root)


@pytest.mark.parametrize("executor", ["inline", "process"])
def test_real_photographs_are_sorted_by_colour_and_noise(root: Path, executor: str) -> None:
    """Through the real engine, in this process and in the worker."""
    astronaut = Image.fromarray(skimage.data.astronaut()).resize((96, 96))
    grey = np.asarray(astronaut.convert("L"))[..., None]
    toned = Image.fromarray((grey * (1, 0.9, 0.7)).round().astype(np.uint8))
    (root / "inbox").mkdir(exist_ok=True)
    astronaut.save(root / "inbox/colour.png")
    toned.save(root / "inbox/toned.png")
    assert run_once(root, executor=executor) == RunSummary(done=2)
    assert recipe_of(root, "toned.png") == "a-grey"
    assert recipe_of(root, "colour.png") in {"b-noisy", "c-rest"}
