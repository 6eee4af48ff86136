"""A run: its states, what its steps hand over, and when its generator is closed."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from daemon.config.content_features import COLOUR, NOISE
from daemon.config.recipe import Recipe
from daemon.engine.backend import Staged
from daemon.engine.model_cache import ModelKey
from daemon.engine.runs import (
    AnyRun,
    CallsMade,
    GeneratorEnded,
    ResultsStaged,
    RunState,
    StepResult,
    make_run,
)
from daemon.messages.reports import Inspected, Measure, Restored
from daemon.messages.tasks import InspectTask, Job
from daemon.models.calls import AnswerWithNotes, DenoiseCall, ModelCalls
from daemon.photo import Limits, Photo, Picture
from daemon.system.errors import PhotoError
from tests.support.engine_fakes import ToyModel, ToyResult, fake_backend, read, toy_task, write

TOY = ModelKey("toy")


def toy_run(folder: Path, *, steps: int = 2, **functions: object) -> AnyRun:
    return make_run(1, toy_task(7, folder, steps=steps), backend(**functions), Limits())


def backend(**functions: object) -> Any:  # noqa: ANN401
    return fake_backend(ToyModel(), **functions)


def two_calls(recipe: Recipe, pictures: tuple[Picture, ...], seed: int) -> ModelCalls[ToyResult]:
    """Make two calls together; the measures are their answers."""
    x = torch.zeros(3, 8, 8)
    answers = yield [DenoiseCall("toy", x, 0.25), DenoiseCall("toy", x, 0.5)]
    levels = [float(answer[0, 0, 0]) for answer in answers if isinstance(answer, torch.Tensor)]
    measures = tuple(Measure(index, "level", level) for index, level in enumerate(levels))
    return ToyResult(pictures, measures, ("from the recipe",))


def step(run: AnyRun, result: StepResult) -> StepResult:
    """Take the run back after a step that gave this result."""
    assert run.end_step()
    return result


def wait_for(run: AnyRun, result: StepResult) -> Sequence[DenoiseCall]:
    assert isinstance(result, CallsMade)
    run.wait_for(result.calls)
    return [call for call in result.calls if isinstance(call, DenoiseCall)]


def test_a_run_goes_from_queued_to_its_outcome(tmp_path: Path) -> None:
    run = toy_run(tmp_path)
    states = [run.state]
    run.admit()
    states.append(run.state)
    result = step(run, run.start())
    for number in (1, 2):
        (call,) = wait_for(run, result)
        states.append(run.state)
        assert run.models_in_use == {TOY}
        run.count_pass()
        assert run.take_answer(0, call.x_t / 2 + call.t, 0.5 * number)
        assert run.models_in_use == {TOY}
        states.append(run.state)
        result = step(run, run.resume())
    assert result == GeneratorEnded()
    run.finish_generator()
    states.append(run.state)
    assert run.models_in_use == frozenset()
    assert step(run, run.write()) == ResultsStaged()
    run.end()
    states.append(run.state)
    assert [state.name for state in states] == [
        "QUEUED", "RESTORING", "WAITING", "RESTORING", "WAITING", "RESTORING", "WRITING", "ENDED",
    ]  # fmt: skip
    outcome = run.outcome("cpu")
    assert isinstance(outcome, Restored)
    assert (outcome.fence, outcome.device, len(outcome.files)) == (7, "cpu", 1)
    assert (outcome.timing.calls, outcome.timing.passes, outcome.timing.device_s) == (2, 2, 1.5)


def test_answers_reach_the_generator_in_the_order_of_its_calls(tmp_path: Path) -> None:
    run = toy_run(tmp_path, restore=two_calls)
    run.admit()
    wait_for(run, step(run, run.start()))
    assert not run.take_answer(1, torch.full((3, 8, 8), 2.0), 0.1)
    assert run.state is RunState.WAITING
    assert run.take_answer(0, torch.full((3, 8, 8), 1.0), 0.1)
    step(run, run.resume())
    run.finish_generator()
    step(run, run.write())
    outcome = run.outcome("cpu")
    assert isinstance(outcome, Restored)
    assert [measure.value for measure in outcome.measures] == [1.0, 2.0]


def test_notes_of_reading_answers_recipe_and_writing_are_kept_once_in_that_order(
    tmp_path: Path,
) -> None:
    def noted_read(photo: Photo, limits: Limits) -> Picture:
        return replace(read(photo, limits), notes=("from the file",))

    def noted_write(pictures: Sequence[Picture], job: Job, staging: Path) -> Staged:
        return write(pictures, job, staging)[0], ("from the file", "from the encoder")

    run = toy_run(tmp_path, read=noted_read, restore=two_calls, write=noted_write)
    run.admit()
    wait_for(run, step(run, run.start()))
    run.take_answer(0, AnswerWithNotes(torch.zeros(3, 8, 8), ("from the model",)), 0.1)
    run.take_answer(1, AnswerWithNotes(torch.zeros(3, 8, 8), ("from the model",)), 0.1)
    step(run, run.resume())
    run.finish_generator()
    step(run, run.write())
    outcome = run.outcome("cpu")
    assert isinstance(outcome, Restored)
    assert outcome.notes == (
        "from the file", "from the model", "from the recipe", "from the encoder",
    )  # fmt: skip


def closing(closed: list[str]) -> object:
    def restore(recipe: Recipe, pictures: tuple[Picture, ...], seed: int) -> ModelCalls[ToyResult]:
        try:
            yield [DenoiseCall("toy", torch.zeros(3, 8, 8), 1.0)]
        finally:
            closed.append("closed")
            raise ValueError("nobody hears of this")

    return restore


def test_a_run_that_ends_while_it_waits_closes_its_generator_at_once(tmp_path: Path) -> None:
    closed: list[str] = []
    run = toy_run(tmp_path, restore=closing(closed))
    run.admit()
    wait_for(run, step(run, run.start()))
    run.end()
    assert closed == ["closed"]


def test_a_run_that_ends_during_a_step_closes_its_generator_after_it(tmp_path: Path) -> None:
    closed: list[str] = []
    run = toy_run(tmp_path, restore=closing(closed))
    run.admit()
    run.start()
    run.end()
    assert closed == []
    assert not run.end_step()
    assert closed == ["closed"]


def test_the_run_of_an_inspection_reports_its_numbers(tmp_path: Path) -> None:
    task = InspectTask(toy_task(7, tmp_path).job.photos[0], (COLOUR, NOISE), 7, clip="x/clip")
    run = make_run(1, task, backend(), Limits())
    assert (run.models, run.pixels, run.bytes) == (("x/clip",), 0, 1)
    run.admit()
    (call,) = wait_for(run, step(run, run.start()))
    run.take_answer(0, call.x_t / 2 + call.t, 0.1)
    assert step(run, run.resume()) == GeneratorEnded()
    run.finish_generator()
    assert step(run, run.write()) == ResultsStaged()
    assert run.outcome("cpu") == Inspected(7, (7 / 512 + 1, 2.0))


def test_a_run_knows_its_models_memory_and_pixels_before_anything_is_read(tmp_path: Path) -> None:
    run = toy_run(
        tmp_path,
        footprint=lambda recipe, sizes: 100 * len(sizes),
        output_size=lambda recipe, width, height: (2 * width, 3 * height),
    )
    assert (run.models, run.bytes, run.pixels) == (("prior", "restoration"), 100, 6 * 96 * 96)


def test_a_result_beyond_the_limit_makes_no_run(tmp_path: Path) -> None:
    task = toy_task(7, tmp_path, size=(2000, 1000))
    with pytest.raises(PhotoError, match="2000x1000 pixels") as caught:
        make_run(1, task, backend(), Limits(max_output_megapixels=1.5))
    assert caught.value.photo == "7.png"
    assert caught.value.why == (
        "the result would have 2000x1000 pixels, 2.0 megapixels; max_output_megapixels allows 1.5"
    )
    assert caught.value.remedy == "raise that setting, or ask for a smaller result"
