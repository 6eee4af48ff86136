from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from daemon.photo import Limits
from daemon.service.comparison_sheet import write_comparison
from daemon.system.errors import CannotWriteError, PhotoError


def changed_at(path: Path, size: tuple[int, int], box: tuple[int, int, int, int]) -> Path:
    picture = Image.new("RGB", size, (90, 90, 90))
    picture.paste((250, 20, 20), box)
    picture.save(path)
    return path


def test_a_sheet_has_a_column_for_each_result(tmp_path: Path) -> None:
    photo = changed_at(tmp_path / "x.png", (96, 48), (0, 0, 1, 1))
    red = changed_at(tmp_path / "red.png", (192, 96), (0, 0, 192, 96))
    write_comparison(photo, [("one", red), ("two", photo)], tmp_path / "s.png", Limits())
    with Image.open(tmp_path / "s.png") as sheet:
        assert sheet.width == 3 * (480 + 12) + 12
        middle = 12 + 26 + 120
        columns = [sheet.getpixel((12 + 240 + 492 * n, middle)) for n in range(3)]
    assert columns == [(90, 90, 90), (250, 20, 20), (90, 90, 90)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["red.png", "s.png", "x.png"]


def test_the_second_row_shows_what_has_changed_most_at_full_size(tmp_path: Path) -> None:
    photo = changed_at(tmp_path / "x.png", (500, 300), (0, 0, 1, 1))
    result = changed_at(tmp_path / "y.png", (1000, 600), (500, 20, 800, 320))
    write_comparison(photo, [("two", result)], tmp_path / "s.png", Limits())
    with Image.open(tmp_path / "s.png") as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    second = pixels[-(26 + 12 + 12 + 480) :]
    red = (second[..., 0] > 200) & (second[..., 1] < 100)
    assert red.sum() == pytest.approx(300 * 300, rel=0.01)
    assert red[:, :500].sum() == 0


def test_an_existing_sheet_is_kept_unless_forced(tmp_path: Path) -> None:
    photo = changed_at(tmp_path / "x.png", (96, 48), (0, 0, 1, 1))
    target = tmp_path / "s.png"
    target.write_bytes(b"mine")
    with pytest.raises(CannotWriteError, match="exists already"):
        write_comparison(photo, [("one", photo)], target, Limits())
    assert target.read_bytes() == b"mine"
    write_comparison(photo, [("one", photo)], target, Limits(), force=True)
    assert target.read_bytes() != b"mine"


def test_a_result_that_cannot_be_read_leaves_no_sheet(tmp_path: Path) -> None:
    photo = changed_at(tmp_path / "x.png", (96, 48), (0, 0, 1, 1))
    (tmp_path / "y.png").write_bytes(b"no picture")
    with pytest.raises(PhotoError):
        write_comparison(photo, [("one", tmp_path / "y.png")], tmp_path / "s.png", Limits())
    assert not (tmp_path / "s.png").exists()
