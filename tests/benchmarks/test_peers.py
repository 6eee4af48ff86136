from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import peers
from benchmarks.peers import Measured, Program, measure, run_folder, table


def folder_of_two(path: Path) -> Path:
    path.mkdir()
    for name in ("a.png", "b.png"):
        Image.new("RGB", (16, 12), (90, 80, 70)).save(path / name)
    return path


def pixels_of(path: Path) -> np.ndarray:
    with Image.open(path) as opened:
        return np.asarray(opened)


def test_the_first_row_is_what_the_others_are_compared_with() -> None:
    rows = [
        Measured("restored", each_s=0.5, core_s=0.8, peak_mb=300),
        Measured("BM3D", each_s=5, core_s=9.7, peak_mb=193),
        Measured("FFDNet", missing="ffdnet is not installed"),
    ]
    assert table("noise", rows).splitlines()[2:] == [
        "| restored | 2.00 | 0.80 | 300 |  |",
        "| BM3D | 0.20 | 9.70 | 193 | 10.00x as fast |",
        "| FFDNet | ffdnet is not installed | | | |",
    ]


def test_a_program_restores_every_file_of_a_folder(tmp_path: Path) -> None:
    given, out = folder_of_two(tmp_path / "in"), tmp_path / "out"
    out.mkdir()
    run_folder("enlarge", "bicubic", given, out)
    assert {file.name: pixels_of(file).shape for file in out.iterdir()} == {
        "a.png": (24, 32, 3),
        "b.png": (24, 32, 3),
    }


def test_a_process_is_measured_with_all_that_it_took(tmp_path: Path) -> None:
    given = folder_of_two(tmp_path / "in")
    copy = "import shutil, sys; shutil.copytree(*sys.argv[1:], dirs_exist_ok=True)"
    found = measure(Program("copy", "", ("-c", copy)), given, tmp_path / "out")
    assert found.each_s > 0 and found.core_s > 0 and found.peak_mb > 1
    with pytest.raises(RuntimeError, match="0 of 2 results"):
        measure(Program("none", "", ("-c", "pass")), given, tmp_path / "other")


def test_what_is_not_installed_is_said(tmp_path: Path) -> None:
    found = measure(Program("x", "no_such_package", ()), tmp_path, tmp_path / "out")
    assert found.missing == "no_such_package is not installed"


@pytest.mark.parametrize(("task", "side_px"), [("noise", 32), ("enlarge", 16), ("diffusion", 64)])
def test_photographs_are_of_the_size_that_the_task_takes(
    tmp_path: Path, task: str, side_px: int
) -> None:
    folder = peers._write_photographs(tmp_path / "in", task, 2, 32)
    assert [pixels_of(file).shape for file in folder.iterdir()] == [(side_px, side_px, 3)] * 2
