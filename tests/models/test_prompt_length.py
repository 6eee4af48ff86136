"""Prompts longer than a text encoder reads: every kind of model notes it in the record."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from daemon.checkpoints.library import Library
from daemon.cli.main import exit_code
from daemon.models.calls import (
    AnswerWithNotes,
    EmbedCall,
    Embedding,
    PipelineCall,
    PipelineSettings,
)
from daemon.models.prompt_length import truncation_notes
from daemon.models.registry import Placement, load_model
from tests.support import tiny_flux
from tests.support.checkpoints import loaded, stock, tiny_folder

LONG = " ".join(["the cat"] * 45) + " red"


@pytest.mark.parametrize(
    ("name", "pipeline"),
    [("stable-1", "StableDiffusionPipeline"), ("stable-xl", "StableDiffusionXLPipeline")],
)
def test_the_part_of_a_prompt_beyond_the_last_token_is_quoted(name: str, pipeline: str) -> None:
    pipe = stock(pipeline, tiny_folder(name))
    (note,) = truncation_notes(pipe, LONG)
    # 91 words, each one token, between a start and an end; 75 of them are read.
    assert note.startswith("the prompt has 93 tokens, of which the model reads 77: ")
    assert repr(("cat " + "the cat " * 7 + "red")[:60])[:-1] in note
    assert truncation_notes(pipe, " ".join(["cat"] * 75)) == ()
    assert truncation_notes(pipe, " ".join(["cat"] * 76)) != ()
    assert truncation_notes(pipe, "") == ()


def test_the_text_encoder_that_reads_most_counts(tmp_path: Path) -> None:
    pipe = stock("FluxPipeline", tiny_flux.save_flux(tmp_path / "flux"))
    assert truncation_notes(pipe, LONG) == (), "T5 reads 512"
    (note,) = truncation_notes(pipe, " ".join(["cat"] * 600))
    assert "tokens, of which the model reads 512" in note


def test_a_stable_diffusion_notes_it_with_the_embedding_each_time() -> None:
    model = loaded(tiny_folder("stable-1"))
    for _ in range(2):
        long, short = model.predict([EmbedCall("m", LONG), EmbedCall("m", "the cat")])
        assert isinstance(long, AnswerWithNotes)
        assert isinstance(long.answer, Embedding)
        assert isinstance(short, Embedding)


def test_a_pipeline_notes_it_for_each_prompt_and_negative_of_a_batch(tmp_path: Path) -> None:
    folder = tiny_folder("stable-1")
    model = load_model(Placement(Library().checkpoint(str(folder)), "cpu"), as_pipeline=True)
    settings = PipelineSettings("text", 64, 64, 1)
    calls = [
        PipelineCall("m", settings, 1, LONG, "red"),
        PipelineCall("m", settings, 2, "cat", LONG),
    ]
    notes = [one.notes for one in model.predict(calls) if isinstance(one, AnswerWithNotes)]
    assert [len(one) for one in notes] == [1, 1]
    assert not isinstance(
        model.predict([PipelineCall("m", settings, 2, "cat", "red")])[0], AnswerWithNotes
    )
    flux = tiny_flux.save_flux(tmp_path / "flux")
    model = load_model(Placement(Library().checkpoint(str(flux)), "cpu"), as_pipeline=True)
    (one,) = model.predict([PipelineCall("m", settings, 1, "cat", "ink")])
    assert isinstance(one, AnswerWithNotes)
    assert one.notes == (f"{flux} takes no negative prompt: 'ink' was ignored",)


@pytest.mark.parametrize("kind", ["restyle", "generate"])
def test_the_record_quotes_the_unread_part_of_a_prompt(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESTORED_DTYPE", "fp32")
    source = tmp_path / ("a.txt" if kind == "generate" else "a.png")
    if kind == "generate":
        source.write_text(f"{LONG}\n")
    else:
        Image.fromarray(np.full((40, 40, 3), 90, np.uint8)).save(source)
    recipe = tmp_path / "mine.toml"
    prompt = f'prompt = "{LONG}"\n' if kind == "restyle" else ""
    recipe.write_text(
        f"[[steps]]\nkind = '{kind}'\nmodel = '{tiny_folder('stable-1')}'\nsteps = 1\n{prompt}"
    )
    out = tmp_path / "out"
    assert exit_code(["apply", str(recipe), str(source), "-o", str(out), "--record"]) == 0
    notes = json.loads((out / "a.png.json").read_text())["notes"]
    assert [note for note in notes if "of which the model reads 77" in note] == notes[-1:]
