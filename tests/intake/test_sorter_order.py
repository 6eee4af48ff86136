"""Pairs in every order of arrival: no file is lost, none is claimed twice."""

import tempfile
from collections import Counter
from itertools import pairwise
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from daemon.config.recipe import Recipe
from daemon.config.station import InboxFolder
from daemon.intake.arrivals import Arrival
from daemon.intake.sorter import Sorter
from daemon.jobs.companions import by_name, half_of
from tests.support.file_reads import ReadsNow

RECIPES = [
    Recipe.model_validate(
        {"name": "both", "steps": [{"kind": "interpolate"}, {"kind": "colorize"}]}
    ),
    Recipe.model_validate(
        {"name": "one", "steps": [{"kind": "colorize"}], "match": {"plain_inbox": True}}
    ),
]

STEMS = st.sampled_from(
    ["x-a", "x-b", "X-B", "x_1", "x_2", "x-1", "y-a", "y-b", "p", "q", "x-a.hints"]
)
FILES = st.builds(
    lambda folder, stem, suffix: f"{folder}{stem}{'.png' if 'hints' in stem else suffix}",
    st.sampled_from(["both/", "both/s/", "both/t/", "one/", ""]),
    STEMS,
    st.sampled_from([".png", ".jpg"]),
)
BATCHES = st.lists(FILES, unique=True, max_size=14).flatmap(
    lambda files: st.tuples(
        st.permutations(files), st.lists(st.integers(0, len(files)), max_size=4).map(sorted)
    )
)


@settings(max_examples=150, deadline=None)
@given(BATCHES)
def test_every_file_is_claimed_once_or_waits(batches: tuple[list[str], list[int]]) -> None:
    order, cuts = batches
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        folder = InboxFolder(root, None, outbox=root, failed=root, archive=root)
        sorter = Sorter(RECIPES, reads=ReadsNow(), pair_wait_s=0)
        claimed: list[Arrival] = []
        edges = [0, *cuts, len(order), len(order)]
        for start, end in pairwise(edges):
            arrivals = [put(root, folder, file) for file in order[start:end]]
            decision = sorter.sort(arrivals, 0.0)
            assert decision.again == ()
            for claim in decision.claims:
                assert claim.refusal == ""
                assert len(claim.arrivals) == (2 if claim.recipe == "both" else 1)
                claimed += claim.files
            for arrival in claimed:
                arrival.path.unlink(missing_ok=True)
        again = sorter.sort((), 0.0)  # a photograph may have waited for what is claimed now
        claimed += [arrival for claim in again.claims for arrival in claim.files]
        waiting = [n.path.relative_to(root).as_posix() for n in sorter.waiting(0, at_once=True)]
        fate = Counter([a.relative.as_posix() for a in claimed] + waiting)
        assert fate == Counter(order)
        assert sorted(str(notice.path) for notice in sorter.waiting(0.0)) == sorted(
            str(n.path) for n in sorter.waiting(0, at_once=True)
        )
        assert all(notice.what for notice in sorter.waiting(0.0))
        for below in ("both", "both/s", "both/t"):
            left = [f.rpartition("/")[2] for f in waiting if f.rpartition("/")[0] == below]
            assert by_name(file for file in left if "hints" not in file) == []


@given(st.lists(st.from_regex(r"[xy][-_][abAB12]\.(png|jpg)", fullmatch=True), unique=True))
def test_pairs_are_alike_in_order_and_as_many_as_can_be(names: list[str]) -> None:
    pairs = by_name(names)
    used = [name for pair in pairs for name in (pair.first, pair.second)]
    assert len(used) == len(set(used)) and set(used) <= set(names)
    assert by_name(reversed(names)) == pairs
    for pair in pairs:
        first, second = half_of(pair.first), half_of(pair.second)
        assert first is not None and second is not None
        assert first.half in "a1" and second.half in "b2"
        assert first.other.casefold() == f"{second.name}{second.mark}{second.half}".casefold()
    assert by_name(set(names) - set(used)) == []


def put(root: Path, folder: InboxFolder, name: str) -> Arrival:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (1, 1)).save(path, format="PNG")
    status = path.lstat()
    return Arrival(folder, Path(name), status.st_size, status.st_mtime_ns)
