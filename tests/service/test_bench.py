from pathlib import Path

import pytest

from daemon.cli.main import exit_code
from daemon.config.recipe import SHIPPED_RECIPES, load_recipes, recipe_named
from daemon.messages.tasks import Compute
from daemon.service import bench
from daemon.service.estimate import trial_picture

UNFADE = recipe_named("unfade", load_recipes([SHIPPED_RECIPES]))


def record(device_s: float, host_s: float, side_px: int = 1000) -> dict[str, object]:
    return {
        "device": "cuda:0",
        "timing": {"device_s": device_s, "decode_s": host_s / 2, "encode_s": host_s / 2},
        "inputs": [{"role": "photo", "width": side_px, "height": side_px}],
    }


@pytest.mark.parametrize(
    ("device_s", "host_s", "by_device", "per_hour"),
    [(2.0, 4.0, True, 1800), (1.0, 8.0, False, 1800), (1.0, 2.0, True, 3600)],
)
def test_the_slower_of_device_and_cores_decides(
    device_s: float,
    host_s: float,
    by_device: bool,
    per_hour: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    records = [record(device_s, host_s)] * 3
    monkeypatch.setattr(bench, "trial_records", lambda *given: records)
    speed = bench.measure(UNFADE, [], Compute(threads=4))
    assert (speed.device, speed.photographs, speed.megapixels) == ("cuda:0", 3, 1.0)
    assert speed.is_bound_by_device is by_device
    assert speed.per_hour == pytest.approx(per_hour)
    assert speed.seconds(100) == pytest.approx(360000 / per_hour)


def test_bench_restores_and_says_what_bounds_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = trial_picture(tmp_path / "a.png", (300, 200), 0)
    assert exit_code(["bench", "unfade", str(photo), "--photos", "20"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("unfade on cpu: about ")
    assert lines[0].endswith(" photographs of 0.1 megapixels an hour, judged by 1 just now")
    assert lines[2].startswith("bound by reading and writing")
    assert lines[3].startswith("20 of them as a bulk job: about ")
    assert list(tmp_path.iterdir()) == [photo]
