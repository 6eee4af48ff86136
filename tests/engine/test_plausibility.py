"""What a model or a decoder gives that cannot be right is named and never written."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from daemon.config.steps import Inpaint
from daemon.engine.plausibility import check_answer, check_result, check_source, must_show_something
from daemon.messages.reports import Failed, Restored
from daemon.models.calls import AnswerWithNotes, DenoiseCall, EmbedCall, Embedding, ModelCalls
from daemon.photo import Limits, Photo, Picture
from daemon.system.errors import ModelError
from tests.support.answering import picture, recipe_of
from tests.support.engine_fakes import (
    ToyModel,
    ToyResult,
    fake_backend,
    restore,
    running_engine,
    toy_task,
    write,
)
from tests.support.photographs import photograph


class Broken(ToyModel):
    """Answers the photograph of level 7 with one value that is no number."""

    value = float("nan")

    def predict(self, calls: Sequence[DenoiseCall]) -> list[Tensor]:
        answers = super().predict(calls)
        for call, answer in zip(calls, answers, strict=True):
            if float(call.x_t[0, 0, 0]) == 7 / 256:
                answer[0, 3, 3] = self.value
        return answers


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_none_fail_only_the_photograph_they_belong_to_and_name_the_model(
    tmp_path: Path, value: float
) -> None:
    model = Broken()
    model.value = value
    with running_engine(fake_backend(model)) as (engine, recorder):
        for fence in range(5, 10):
            engine.submit(toy_task(fence, tmp_path))
        recorder.wait_until(lambda: len(recorder.reports) == 5)
    report = recorder.of(7)
    assert isinstance(report, Failed)
    assert not report.passing
    assert report.trace == ""
    assert report.reason.startswith("model toy: its answer has NaN or infinities; nothing was")
    assert all(isinstance(recorder.of(fence), Restored) for fence in (5, 6, 8, 9))


def test_a_result_of_one_colour_of_a_photograph_is_never_written(tmp_path: Path) -> None:
    written: list[int] = []

    def read(photo: Photo, limits: Limits) -> Picture:
        return picture(photograph(96))

    def emptied(recipe, pictures, seed):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        def run() -> ModelCalls[ToyResult]:
            result = yield from restore(recipe, pictures, seed)
            (whole,) = result.pictures
            empty = replace(whole, pixels=np.zeros_like(whole.pixels))
            return ToyResult((empty if seed == 1 else whole,))

        return run()

    def kept(pictures, job, staging):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        written.append(len(pictures))
        return write(pictures, job, staging)

    backend = fake_backend(ToyModel(), read=read, restore=emptied, write=kept)
    with running_engine(backend) as (engine, recorder):
        for fence in (1, 2):
            engine.submit(toy_task(fence, tmp_path))
        recorder.wait_until(lambda: len(recorder.reports) == 2)
    report = recorder.of(1)
    assert isinstance(report, Failed)
    assert report.reason.startswith("model prior or restoration: its result has one colour only")
    assert isinstance(recorder.of(2), Restored)
    assert written == [1]


def test_every_part_of_every_answer_is_looked_at() -> None:
    call = EmbedCall("it", "a cat")
    good, bad = torch.zeros(2, 3), torch.full((2, 3), torch.nan)
    check_answer(call, AnswerWithNotes(Embedding(good, good[0]), ("cut",)))
    for answer in (bad, Embedding(bad), Embedding(good, bad[0]), AnswerWithNotes(bad, ())):
        with pytest.raises(ModelError, match=r"^model it: "):
            check_answer(call, answer)


def test_a_model_that_makes_the_picture_even_within_rounding_is_at_fault() -> None:
    even = np.full((96, 80, 3), 90, np.uint8)
    even[:40] = 92
    for pixels in (even, even.astype(np.uint16) * 257):
        with pytest.raises(ModelError, match="one colour"):
            check_result([picture(photograph(96)), picture(pixels)], ["prior"])
    check_result([picture(photograph(96)), picture(even[:20, :20])], ["prior"])


def noise(side: int, deviation: float) -> Picture:
    levels = 128 + deviation * np.random.default_rng(1).standard_normal((side, side, 3))
    return picture(levels.clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize(
    ("step", "sources", "wanted"),
    [
        ({"kind": "denoise"}, [picture(photograph(96))], True),
        ({"kind": "denoise"}, [picture(photograph(96).astype(np.uint16) * 257)], True),
        ({"kind": "interpolate"}, [picture(photograph(96)), noise(96, 0)], False),
        ({"kind": "denoise"}, [noise(96, 0)], False),
        ({"kind": "denoise"}, [noise(64, 50)], False),
        ({"kind": "denoise"}, [picture(photograph(40))], False),
        (Inpaint(find=True, mask_only=True).model_dump(exclude_unset=True)
         | {"kind": "inpaint"}, [picture(photograph(96))], False),
    ],
)  # fmt: skip
def test_walls_noise_and_masks_may_rightly_become_one_colour(
    step: dict[str, object], sources: list[Picture], wanted: bool
) -> None:
    assert must_show_something(recipe_of(step), sources) is wanted


def test_what_a_decoder_gives_is_a_picture_though_it_may_be_of_one_colour() -> None:
    check_source(noise(4, 0))
    flat = np.zeros((4, 5), np.uint8)
    for wrong in (
        replace(noise(4, 0), pixels=flat),
        replace(noise(4, 0), pixels=np.zeros((4, 4, 3), np.float32)),
        replace(noise(4, 0), alpha=flat),
    ):
        with pytest.raises(RuntimeError, match="decoded"):
            check_source(wrong)
