from pathlib import Path

import pytest

from daemon.checkpoints.library import Library
from daemon.config.features import COLOUR
from daemon.config.recipe import Recipe, read_recipe
from daemon.jobs.ledger.writer import Ledger
from daemon.jobs.scheduler import Scheduler
from daemon.jobs.staging import Staging
from daemon.messages.tasks import InspectTask, RestoreTask
from tests.support.claims import QUEUED_AT as NOW
from tests.support.claims import queued


@pytest.fixture
def recipes(tmp_path: Path) -> list[Recipe]:
    """One recipe, which takes grey photographs."""
    path = tmp_path / "grey.toml"
    path.write_text('[match]\ngrey = true\n[[steps]]\nkind = "denoise"\n')
    return [read_recipe(path)]


def test_a_recipe_chosen_by_content_wakes_the_loop_and_starts_in_its_next_turn(
    tmp_path: Path, ledger: Ledger, recipes: list[Recipe]
) -> None:
    (tmp_path / "staged").mkdir()
    woken: list[bool] = []
    scheduler = Scheduler(
        ledger, Staging(tmp_path / "staged", ledger), Library(), lambda: woken.append(True)
    )
    queued(ledger, tmp_path, "a.jpg", recipe="")
    (inspection,) = scheduler.tasks(recipes, 0, NOW)
    assert isinstance(inspection, InspectTask)
    assert scheduler.tasks(recipes, 1, NOW) == []
    assert woken == []
    ledger.remember("digest", [(COLOUR, 0.0)], clip_digest="")
    ledger.requeue(ledger.in_state("leased")[0].row)
    assert scheduler.tasks(recipes, 0, NOW) == []
    assert woken == [True]
    (task,) = scheduler.tasks(recipes, 0, NOW)
    assert isinstance(task, RestoreTask)
    assert task.job.recipe.name == "grey"
    assert woken == [True]
