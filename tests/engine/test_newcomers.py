"""A photograph that comes late to others in flight: it joins their passes and ends before them."""

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from daemon.config.recipe import Recipe
from daemon.engine.device import ForwardPass
from daemon.messages.reports import fences_of
from daemon.models.calls import (
    Answer,
    DecodeCall,
    DenoiseCall,
    EmbedCall,
    Embedding,
    EncodeCall,
    Guidance,
    ModelCall,
    ModelCalls,
    ask,
    embed,
)
from daemon.photo import Picture
from tests.support.engine_fakes import (
    DEADLINE_S,
    ToyResult,
    fake_backend,
    running_engine,
    toy_task,
)

PASS_S = {"embed": 0.002, "encode": 0.006, "predict": 0.008, "decode": 0.006}
"""Seconds of a pass of each operation, whatever its size."""

LATENT = (4, 8, 8)


class SlowLatent:
    """A Stable Diffusion whose passes take as long as `PASS_S` says."""

    def predict(self, calls: Sequence[ModelCall]) -> list[Answer]:
        time.sleep(PASS_S[calls[0].key.operation])
        return [self._answer(call) for call in calls]

    def _answer(self, call: ModelCall) -> Answer:
        match call:
            case EmbedCall():
                return Embedding(torch.zeros(2, 3))
            case DecodeCall():
                return torch.zeros(3, 64, 64)
            case _:
                return torch.zeros(LATENT)


def restyle(recipe: Recipe, pictures: tuple[Picture, ...], seed: int) -> ModelCalls[ToyResult]:
    """The calls of a photograph that a checkpoint with latents restyles, guided if odd."""
    steps = recipe.steps[0].steps or 1
    (prompt,) = yield from embed("toy", f"photograph {seed}")
    (latent,) = yield from ask([EncodeCall("toy", torch.zeros(3, 64, 64))])
    guidance = Guidance(prompt, None, 5.0 if seed % 2 else 1.0)
    for k in range(steps):
        t = 1 - k / steps
        (latent,) = yield from ask([DenoiseCall("toy", latent, t, guidance=guidance, reduction=8)])
    yield from ask([DecodeCall("toy", latent)])
    return ToyResult(pictures)


def test_a_short_newcomer_joins_long_runs_in_flight_and_ends_long_before_them(
    tmp_path: Path,
) -> None:
    passes: list[ForwardPass] = []
    under_way = threading.Event()

    def note(one: ForwardPass) -> None:
        passes.append(one)
        if sum(one.key.operation == "predict" for one in passes) == 10:
            under_way.set()

    backend = fake_backend(SlowLatent(), restore=restyle)  # type: ignore[arg-type]
    with running_engine(backend, pixels=8 * 64 * 64, on_pass=note) as (engine, recorder):
        for fence in range(1, 5):
            engine.submit(toy_task(fence, tmp_path, steps=120))
        assert under_way.wait(DEADLINE_S)
        engine.submit(toy_task(5, tmp_path, steps=30))
        recorder.wait_until(lambda: len(recorder.reports) == 5)
    assert fences_of(recorder.reports[0]) == (5,)
    of_fifth = [one for one in passes if any(member.fence == 5 for member in one.members)]
    steps = [one for one in of_fifth if one.key.operation == "predict"]
    assert len(steps) == 30
    shared = sum(len(one.members) > 1 for one in steps)
    assert shared > 15, shared
