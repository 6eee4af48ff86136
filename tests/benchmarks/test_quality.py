import json
from pathlib import Path

import numpy as np

from benchmarks.measurements import Entry, Measurements, table
from benchmarks.quality import FILE, ciede2000, damaged
from benchmarks.quality_sheet import extremes
from benchmarks.trials import trials

OURS = Entry({"a": 30.0, "b": 34.0}, {"a": 0.9, "b": 0.8}, cpu_s={"a": 0.2, "b": 0.4}, megabytes=1)
OTHER = Entry({"a": 31.0, "b": 32.0}, {"a": 0.9, "b": 0.9})


def test_a_table_has_means_the_least_and_the_other_set_beside_them() -> None:
    sets = {"public": {"noise": {"restored": OURS}}, "validation": {"noise": {"restored": OTHER}}}
    assert table(sets, "noise", ["restored", "unknown"]).splitlines() == [
        "| program | PSNR, dB | least | SSIM | validation, dB | CPU s | MB |",
        "|---|---|---|---|---|---|---|",
        "| restored | 32.00 | 30.00 | 0.850 | 31.50 | 0.30 | 1.0 |",
    ]


def test_colours_have_columns_where_they_were_measured() -> None:
    entry = Entry({"a": 30.0}, {"a": 0.9}, {"a": 9.5}, {"a": 40.25})
    title, _, row = table({"public": {"grey": {"restored": entry}}}, "grey", ["restored"]).split(
        "\n"
    )
    assert "CIEDE2000 | colourfulness" in title
    assert "| 9.50 | 40.2 |" in row


def test_an_entry_is_kept_beside_those_of_other_times(tmp_path: Path) -> None:
    file = tmp_path / "quality.json"
    Measurements(file).add("public", "noise", "restored", OURS)
    Measurements(file).add("public", "noise", "other", OTHER)
    assert Measurements(file).sets == {"public": {"noise": {"restored": OURS, "other": OTHER}}}


def test_the_sheet_shows_the_worst_and_the_best_photograph_beside_the_best_other() -> None:
    given = Entry({"a": 20.0, "b": 33.0})
    found = extremes({"noise": {"restored": OURS, "other": OTHER, "given": given}}, "noise")
    assert found == {"worst": ("a", -1.0), "best": ("b", 1.0)}
    assert extremes({}, "noise") == {}


def test_damage_is_the_same_in_every_run_and_harms() -> None:
    truth = np.random.default_rng(0).integers(40, 200, (64, 64, 3), dtype=np.uint8)
    for trial in trials():
        first, again = damaged(trial, truth), damaged(trial, truth)
        if first is None or again is None:
            continue
        assert np.array_equal(first[1], again[1]), trial.name
        assert first[1].shape != first[0].shape or ciede2000(*first) > 0, trial.name


def test_every_kind_of_damage_was_measured_for_restored_and_for_others() -> None:
    measured = json.loads(FILE.read_text("utf-8"))
    for trial in trials():
        programs = measured["scikit-image"][trial.name]
        assert set(trial.contenders) <= set(programs), trial.name
        for name in trial.contenders:
            assert programs[name]["day"] and programs[name]["psnr"], (trial.name, name)


def test_ciede2000_of_a_picture_with_itself_is_nothing() -> None:
    picture = np.full((4, 4, 3), 100, np.uint8)
    assert ciede2000(picture, picture) == 0
