"""High dynamic range: mid-tones stay, highlights are compressed, hues stay, and it is noted."""

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray

from daemon.photo import Limits, read_header
from daemon.photo.tone_mapping import exposed, mapped_to_srgb_curve
from daemon.system.errors import PhotoError
from tests.support.photos import cat, read

RAMP = np.linspace(0, 4, 400, dtype=np.float32)[None, :, None].repeat(3, 2)
NOTE = "high dynamic range ({}) was tone-mapped"


def pq(nits: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse of the decoder's curve, from SMPTE ST 2084."""
    power = (nits / 10_000) ** (2610 / 16384)
    return ((107 / 128 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)


def test_light_rises_to_white_and_stays_as_it_is_below_the_knee() -> None:
    codes = mapped_to_srgb_curve(RAMP)[0, :, 0].astype(int)
    assert (np.diff(codes) >= 0).all()
    assert codes[-1] == 65535
    assert len(np.unique(codes[150:])) > 200
    below = RAMP[0, 1:40, 0]
    wanted = np.where(below <= 0.0031308, 12.92 * below, 1.055 * below ** (1 / 2.4) - 0.055)
    assert np.abs(codes[1:40] / 65535 - wanted).max() < 1e-4


def test_hues_of_highlights_stay() -> None:
    light = np.array([[[3.0, 1.5, 0.75], [4, 4, 4]]], np.float32)
    code = mapped_to_srgb_curve(light)[0, 0] / 65535
    linear = ((code + 0.055) / 1.055) ** 2.4
    assert np.allclose(linear / linear[0], [1, 0.5, 0.25], atol=0.002)


def test_pq_of_what_sdr_holds_is_that(tmp_path: Path) -> None:
    light = np.linspace(0.001, 0.45, 48)[None, :, None].repeat(32, 0).repeat(3, 2)
    codes = np.rint(pq(light * 203) * 1023).astype(np.uint16)
    encoded = imagecodecs.avif_encode(
        codes, level=100, bitspersample=10, pixelformat="444", primaries=1, transfer=16
    )
    (tmp_path / "a.avif").write_bytes(encoded)
    picture = read(tmp_path / "a.avif")
    assert picture.notes == (NOTE.format("PQ"),)
    wanted = 1.055 * np.maximum(light, 0.0031308) ** (1 / 2.4) - 0.055
    assert np.abs(picture.pixels.astype(float) / 65535 - wanted)[:, 1:].max() < 0.006


def test_radiance(tmp_path: Path) -> None:
    light = (cat(48, 32) / 255).astype(np.float32) ** 2 * 5
    path = tmp_path / "a.hdr"
    path.write_bytes(imagecodecs.rgbe_encode(light, header=True))
    header = read_header(path, Limits())
    assert (header.format, header.width, header.height) == ("HDR", 48, 32)
    picture = read(path)
    assert picture.notes[0] == NOTE.format("Radiance")
    assert 20 < picture.pixels.mean() / 257 < 235
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(PhotoError):
        read(path)


@pytest.mark.parametrize("unit", [0.0001, 5000.0])
def test_light_of_any_unit_is_exposed(unit: float) -> None:
    scaled, notes = exposed((RAMP + 0.01) * np.float32(unit))
    assert len(notes) == 1
    assert 0.15 < float(np.exp(np.log(scaled).mean())) < 0.21
