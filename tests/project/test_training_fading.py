"""The fit behind `unfade`: photographs faded on purpose in, the regression out."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from daemon.restorers.dye_fading import COEFFICIENTS, QUANTILES, faded, quantiles, small_copy
from training.fading import fit, main, random_fading, scanned
from training.photos import Pixels, is_validation


def photographs() -> list[Pixels]:
    return [getattr(data, name)()[::4, ::4] for name in ("astronaut", "coffee", "chelsea")]


def test_the_fit_tells_how_far_photographs_it_knows_have_faded() -> None:
    regression = fit(photographs() * 6, np.random.default_rng(0))
    rng = np.random.default_rng(9)
    errors, spread = [], []
    for photograph in photographs() * 6:
        fading = random_fading(rng)
        seen = quantiles(small_copy(scanned(faded(photograph, fading), rng)))
        assert seen is not None
        found = np.exp(-regression.predict(seen[None])[0, :3])
        errors.append(np.abs(found - fading.contrast).mean())
        spread.append(np.abs(0.65 - fading.contrast).mean())
    assert np.mean(errors) < 0.6 * np.mean(spread)


def test_a_scan_is_a_little_noisy_and_the_same_for_the_same_seed() -> None:
    (photograph, *_) = photographs()
    one, two, other = (scanned(photograph, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)
    assert 0.3 < np.abs(one.astype(int) - photograph).mean() < 8


def test_the_command_writes_what_the_package_reads_and_passes_grey_and_held_out_by(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    names = [f"{number}.png" for number in range(40)]
    learnt = [name for name in names if not is_validation(name)][:3]
    (held_out, *_) = (name for name in names if is_validation(name))
    for name, pixels in zip([*learnt[:2], held_out], photographs(), strict=True):
        Image.fromarray(pixels).save(photos / name)
    Image.fromarray(photographs()[0]).convert("L").save(photos / learnt[2])
    main(["--photos", str(photos), "--out", str(tmp_path / "new.json")])
    assert capsys.readouterr().out.startswith("2 photographs")
    shapes = [
        {key: np.array(value).shape for key, value in json.loads(path.read_text()).items()}
        for path in (tmp_path / "new.json", COEFFICIENTS)
    ]
    count = 2 * 3 * len(QUANTILES) + 3
    assert shapes[0] == {"mean": (count,), "deviation": (count,), "weights": (2 * count + 1, 6)}
    assert shapes[0] == shapes[1]
