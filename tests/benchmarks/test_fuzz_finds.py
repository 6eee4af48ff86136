"""What `benchmarks.fuzz` found stays mended: each file below finds/TARGET is read by its target."""

from pathlib import Path

import pytest

from benchmarks.fuzz.oracle import judge
from benchmarks.fuzz.targets import TARGETS

FINDS = sorted(path for path in Path(__file__).with_name("finds").glob("*/*"))


@pytest.mark.parametrize("path", FINDS, ids=[f"{path.parent.name}-{path.name}" for path in FINDS])
def test_a_find_is_read_or_refused_as_declared(path: Path, tmp_path: Path) -> None:
    find = judge(TARGETS[path.parent.name], path.read_bytes(), tmp_path)
    assert find is None, f"{find.kind}\n{find.detail}"


def test_finds_are_small() -> None:
    sizes = [path.stat().st_size for path in FINDS]
    assert max(sizes) <= 2000
    assert sum(sizes) <= 200_000
