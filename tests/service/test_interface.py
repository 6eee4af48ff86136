import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage import data

import daemon
from daemon.service.apply import Working
from daemon.service.interface import Given, RestoredPicture, restore, restore_each
from daemon.system.errors import PhotoError, UsageError

ROOT = Path(__file__).parents[2]
RAMP = np.tile(np.linspace(90, 150, 64).astype(np.uint8), (48, 1))


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The names that the example of the guide leaves, and the folder where it ran."""
    folder = tmp_path_factory.mktemp("python")
    Image.fromarray(RAMP).convert("RGB").save(folder / "scan.png")
    (source,) = re.findall(r"^```python\n(.+?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {"folder": folder}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(compile(source, "docs/python.md", "exec"), names)
    return names


GUIDE = (ROOT / "docs/python.md").read_text("utf-8")


def test_the_example_of_the_guide_runs(shown: dict[str, Any]) -> None:
    result: RestoredPicture = shown["result"]
    assert result.pixels is not None
    assert result.pixels.shape == (48, 64, 3)
    assert result.pixels.dtype == np.uint8
    assert (shown["folder"] / "scan.restored.png").read_bytes() == result.content
    assert result.record["recipe"] == "restore"
    assert np.std(shown["cleaner"].pixels) > 0
    assert shown["cleaner"].record["repeatable"] == "within one level of 255"
    with Image.open(shown["folder"] / "unfaded.png") as unfaded:
        assert np.ptp(np.asarray(unfaded)) > np.ptp(RAMP)


def test_arrays_of_16_bits_and_images_come_back_in_their_depth() -> None:
    deep = (RAMP.astype(np.uint16) << 8) + 17
    given: list[Given] = [deep, Image.fromarray(RAMP)]
    events = list(restore_each(given, "unfade", strength=0.0))
    assert isinstance(events[0], Working)
    done = {type(e.given): e for e in events if isinstance(e, RestoredPicture)}
    pixels = done[np.ndarray].pixels
    assert pixels is not None
    assert pixels.dtype == np.uint16
    assert np.array_equal(pixels[..., 0], deep)
    assert done[np.ndarray].record["repeatable"] == "exactly"
    image = done[Image.Image].pixels
    assert image is not None
    assert image.dtype == np.uint8


def test_what_is_refused_is_raised_or_told_beside_the_others(tmp_path: Path) -> None:
    (tmp_path / "no.png").write_text("no picture")
    with pytest.raises(PhotoError, match="recipe colorize refuses it"):
        restore(data.astronaut()[::4, ::4], "colorize")
    events = restore_each([tmp_path / "no.png", RAMP], "unfade")
    done = [event for event in events if isinstance(event, RestoredPicture)]
    assert [bool(one.error) for one in done] == [True, False]
    assert done[0].given == tmp_path / "no.png"
    for wrong in (RAMP.astype(np.float32), RAMP[None, None]):
        with pytest.raises(UsageError, match="give \\(H, W\\) or"):
            restore(wrong)
    with pytest.raises(UsageError, match="scale: recipe denoise has no step"):
        restore(RAMP, "denoise", scale=2)
    with pytest.raises(UsageError, match="takes pairs"):
        restore(RAMP, "interpolate")


def test_the_package_alone_imports_nothing() -> None:
    script = (
        "import sys, daemon; print({'numpy', 'torch', 'PIL', 'pydantic'} & set(sys.modules)); "
        "daemon.no_such_name"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "set()\n"
    assert "module 'daemon' has no attribute 'no_such_name'" in done.stderr
    assert daemon.restore_each is restore_each
