import shutil
from pathlib import Path

import pytest

from daemon.cli.main import exit_code
from daemon.executors import EXECUTORS
from daemon.messages.reports import Heartbeat, WorkerDied
from daemon.models.registry import MODELS
from tests.support.fakes import FakeExecutor
from tests.support.tiny_pipelines import save_pixel


@pytest.fixture(autouse=True)
def no_worker_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXECUTORS, "process", "tests.support.fakes:FakeExecutor")


class Unable(FakeExecutor):
    """A worker that cannot start."""

    def start(self) -> None:
        self._report(Heartbeat())
        self._report(WorkerDied((), "the worker process 7 could not start (once): no libcudart"))


def test_a_worker_that_cannot_start_is_a_problem_in_its_own_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(EXECUTORS, "process", f"{__name__}:Unable")
    exit_code(["init", str(tmp_path / "s")])
    assert exit_code(["--station", str(tmp_path / "s"), "check"]) == 78
    why = "the worker process 7 could not start (once): no libcudart"
    assert capsys.readouterr().err == f"restored: {why}\n"


def test_every_problem_is_listed_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "s"
    exit_code(["init", str(root)])
    assert exit_code(["--station", str(root), "check"]) == 0
    monkeypatch.setitem(MODELS, "prior", f"{__name__}:broken")
    shutil.rmtree(root / "archive")
    (root / "restored.toml").write_text(
        f'[[watch]]\npath = "{tmp_path}"\nrecipe = "sharpen"\noutbox = "{tmp_path}/none"\n'
    )
    (root / "recipes/portrait.toml").write_text(
        '[match]\nlooks_like = "a portrait"\n[[steps]]\nkind = "denoise"\n'
    )
    capsys.readouterr()
    assert exit_code(["--station", str(root), "check"]) == 78
    said = capsys.readouterr().err
    assert "no recipe is named 'sharpen'" in said
    portrait = root / "recipes/portrait.toml"
    assert f"{portrait}: match.looks_like is 'a portrait', which needs a CLIP model" in said
    assert f"{root}/archive: no such folder; make it" in said
    assert f"{tmp_path}/none: no such folder; make it" in said
    assert "model 'prior': the weights are torn" in said


def test_space_kept_free_that_would_stop_the_intake_first_is_a_problem(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "s"
    exit_code(["init", str(root)])
    (root / "restored.toml").write_text("min_free_mb = 2000\nkeep_free_gb = 2\n")
    capsys.readouterr()
    assert exit_code(["--station", str(root), "check"]) == 78
    said = capsys.readouterr().err
    assert "keep_free_gb is 2 GB, not more than min_free_mb, 2000 MB: intake stops" in said
    (root / "restored.toml").write_text("min_free_mb = 2000\nkeep_free_gb = 2.1\n")
    assert exit_code(["--station", str(root), "check"]) == 0


def test_what_keeps_results_from_being_signed_ends_check_and_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "s"
    exit_code(["init", str(root)])
    settings = {
        f'c2pa_key = "{tmp_path}/key.pem"\n': "c2pa_key needs c2pa_certificate; set it, or leave",
        f'c2pa_key = "{tmp_path}/key.pem"\nc2pa_certificate = "{tmp_path}/none.pem"\n': (
            f"c2pa_certificate is {tmp_path}/none.pem, which cannot be read: No such file"
        ),
    }
    for text, message in settings.items():
        (root / "restored.toml").write_text(text)
        for command in ("check", "once"):
            capsys.readouterr()
            assert exit_code(["--station", str(root), command]) == 78
            assert message in capsys.readouterr().err


def broken(placement: object) -> None:
    raise OSError("the weights are torn")


def test_check_prints_the_memory_of_each_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "s"
    exit_code(["init", str(root)])
    save_pixel(root / "nets" / "pixel")
    (root / "recipes" / "mine.toml").write_text(
        '[[steps]]\nkind = "restyle"\nmodel = "../nets/pixel"\n'
    )
    exit_code(["init", str(root)])
    monkeypatch.setenv("RESTORED_MODEL_MEMORY_MB", "2000")
    capsys.readouterr()
    assert exit_code(["--station", str(root), "check"]) == 0
    said = capsys.readouterr().out
    assert f"{root}/nets/pixel: an unconditional checkpoint" in said
    assert "of 2.1 GB for models\n" in said
