import numpy as np

from benchmarks.before_after import Pair, draw


def test_the_picture_has_inputs_above_and_results_below() -> None:
    given, restored = (np.full((400, 400, 3), level, np.uint8) for level in (50, 150))
    sheet = np.asarray(draw([Pair("one", given, restored), Pair("two", restored, given)]))
    assert sheet.shape == (848, 808, 3)
    assert [sheet[row, column, 0] for row in (60, 700) for column in (200, 600)] == [
        50, 150, 150, 50,
    ]  # fmt: skip
