"""One rule for names that belong together, whoever asks: inbox, retry, redo, bulk, apply, estimate.

Every user of the rule is shown the same names and must find the same companions.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from daemon.bulk.walk import slices
from daemon.cli.main import exit_code
from daemon.config.recipe import recipe_named
from daemon.config.station import InboxFolder
from daemon.config.station_setup import find_station, known_recipes
from daemon.intake.arrivals import Arrival, Claim
from daemon.intake.retry import retry_failed
from daemon.intake.sorter import Sorter
from daemon.jobs.companions import (
    COMPANIONS,
    Companions,
    SideFiles,
    SideFilesOnDisk,
    by_name,
    called_like,
    companion_of,
    group_names,
    nearly_side_of,
    other_half,
    side_of,
    without_side_files,
)
from daemon.jobs.ledger.bulk import BulkJob
from daemon.messages.tasks import Compute
from daemon.photo import Limits
from daemon.service.apply_plan import ApplyOptions, group_inputs, plan_job, with_side_files
from daemon.service.estimate import work_in
from tests.support.fakes import everything_below
from tests.support.file_reads import ReadsNow
from tests.support.station_runs import (
    assert_no_leftovers,
    cut_off_after,
    drop_photo,
    ended_by_kill,
    open_daemon,
    published_results,
    run_once,
)

SIDE_FILES = [
    ("a.png", ("a.mask.png",), "a.mask.png"),
    ("a.png", ("a.MASK.PNG",), "a.MASK.PNG"),
    ("a.png", ("a.Mask.pnG",), "a.Mask.pnG"),
    ("a.JPG", ("a.JPG.mask.png",), "a.JPG.mask.png"),
    ("a.JPG", ("a.JPG.MASK.png",), "a.JPG.MASK.png"),
    ("a.jpg", ("a.jpg.mask.png", "a.mask.png"), "a.mask.png"),
    ("a.jpg", ("a.MASK.PNG", "a.mask.png"), "a.MASK.PNG"),
    ("A.png", ("A.mask.PNG",), "A.mask.PNG"),
    ("a.b.png", ("a.b.mask.png",), "a.b.mask.png"),
    ("a-1.png", ("a-1.mask.png",), "a-1.mask.png"),
    ("caf\u00e9.png", ("cafe\u0301.mask.png",), "cafe\u0301.mask.png"),
    ("cafe\u0301.png", ("caf\u00e9.png.mask.png",), "caf\u00e9.png.mask.png"),
]
"""A photograph, the side files beside it, and the one that is used."""

PAIRS = [
    (("x-a.png", "x-b.png"), ("x-a.png", "x-b.png")),
    (("x-A.png", "x-B.PNG"), ("x-A.png", "x-B.PNG")),
    (("X_1.png", "x_2.jpg"), ("X_1.png", "x_2.jpg")),
    (("x-a.png", "x-b.jpg", "x-b.png"), ("x-a.png", "x-b.png")),
    (("x-a.png", "x-b.png", "y-b.png"), ("x-a.png", "x-b.png")),
    (("Zo\u00eb-a.png", "Zoe\u0308-b.png"), ("Zo\u00eb-a.png", "Zoe\u0308-b.png")),
]
"""The photographs in one folder, and the two that are a pair."""


def put(folder: Path, names: tuple[str, ...]) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        colour = (number, 0, 0)
        suffix = name.lower().rpartition(".")[2]
        Image.new("RGB", (8, 8), colour).save(folder / name, "PNG" if suffix == "png" else "JPEG")
    return [folder / name for name in names]


def of_claim(claim: Claim) -> list[str]:
    return [arrival.relative.name for arrival in claim.files]


def by_inbox(root: Path, recipe: str, names: tuple[str, ...]) -> list[str]:
    folder = root / "inbox" / recipe
    inbox = InboxFolder(root / "inbox", None, root, root, root)
    arrivals = []
    for path in put(folder, names):
        status = path.lstat()
        relative = path.relative_to(inbox.path)
        arrivals.append(Arrival(inbox, relative, status.st_size, status.st_mtime_ns))
    sorter = Sorter(known_recipes(find_station(root)), reads=ReadsNow(), pair_wait_s=0)
    (claim,) = sorter.sort(arrivals, 0.0).claims
    return of_claim(claim)


def by_bulk(root: Path, recipe: str, names: tuple[str, ...]) -> list[str]:
    put(root.parent / "scans", names)
    station = find_station(root)
    chosen = recipe_named(recipe, known_recipes(station))
    job = BulkJob("job", "request", recipe, (root.parent / "scans",), 0.0, 0.0)
    (part,) = slices(job, chosen, station, set())
    ((claim,), _) = part.claims(part.settle(), chosen, ReadsNow())
    return of_claim(claim)


def by_apply(root: Path, recipe: str, names: tuple[str, ...]) -> list[str]:
    chosen = recipe_named(recipe, known_recipes(find_station(root)))
    (group,) = group_inputs(chosen, put(root.parent / "scans", names))
    files = with_side_files(chosen, group, SideFilesOnDisk())
    planned = plan_job(chosen, files, ApplyOptions(root), None, Compute())
    return [file.path.name for file in planned.inputs]


def by_retry(root: Path, recipe: str, names: tuple[str, ...]) -> list[str]:
    """What goes back of all that lies there, which may be more than one side file."""
    folder = root / "failed" / recipe
    first = put(folder, names)[0]
    first.with_name(f"{first.name}.error.json").write_text(json.dumps({"recipe": recipe}))
    inbox = InboxFolder(root / "inbox", None, root / "outbox", root / "failed", root / "archive")
    station = find_station(root)
    retry_failed(station, (inbox,), known_recipes(station), [first])
    return list(everything_below(root / "inbox" / recipe))


def by_redo(root: Path, recipe: str, names: tuple[str, ...]) -> list[str]:
    """What is claimed of the archive, as the second record says."""
    put(root / "inbox" / recipe, names)
    assert run_once(root).done == 1
    before = set((root / "outbox").rglob("*.json"))
    (root / "recipes").mkdir(exist_ok=True)
    (root / f"recipes/{recipe}.toml").write_text(f'[[steps]]\nkind = "{recipe}"\nseed = 7\n')
    assert exit_code(["--station", str(root), "redo"]) == 0
    assert run_once(root).done == 1
    (record,) = set((root / "outbox").rglob("*.json")) - before
    return [Path(file["file"]).name for file in json.loads(record.read_text())["inputs"]]


User = Callable[[Path, str, tuple[str, ...]], list[str]]


@pytest.mark.parametrize("user", [by_inbox, by_bulk, by_apply, by_redo])
@pytest.mark.parametrize(("photo", "sides", "used"), SIDE_FILES)
def test_everybody_finds_the_same_side_file(
    root: Path, user: User, photo: str, sides: tuple[str, ...], used: str
) -> None:
    assert user(root, "restyle", (photo, *sides)) == [photo, used]


@pytest.mark.parametrize(("photo", "sides", "used"), SIDE_FILES)
def test_every_side_file_goes_back_with_its_photograph(
    root: Path, photo: str, sides: tuple[str, ...], used: str
) -> None:
    assert sorted(by_retry(root, "restyle", (photo, *sides))) == sorted((photo, *sides))


@pytest.mark.parametrize(("photo", "sides", "used"), SIDE_FILES)
def test_an_estimate_counts_photographs_and_no_side_files(
    root: Path, photo: str, sides: tuple[str, ...], used: str
) -> None:
    put(root.parent / "scans", (photo, *sides))
    chosen = recipe_named("restyle", known_recipes(find_station(root)))
    assert len(work_in(chosen, [root.parent / "scans"], Limits()).megapixels) == 1


@pytest.mark.parametrize("user", [by_inbox, by_bulk, by_redo])
@pytest.mark.parametrize(("names", "pair"), PAIRS)
def test_everybody_finds_the_same_halves(
    root: Path, user: User, names: tuple[str, ...], pair: tuple[str, str]
) -> None:
    assert user(root, "interpolate", names) == list(pair)


@pytest.mark.parametrize(("names", "pair"), PAIRS)
def test_the_other_half_goes_back_with_its_photograph(
    root: Path, names: tuple[str, ...], pair: tuple[str, str]
) -> None:
    assert sorted(by_retry(root, "interpolate", names)) == sorted(pair)


def test_a_photograph_called_in_other_capitals_is_another_photograph() -> None:
    assert SideFiles(["A.mask.png"]).of("a.png", "mask") is None


def test_only_side_files_that_count_are_told_apart() -> None:
    sides = SideFiles(["a.mask.png", "a.hints.png"], ["hints"])
    assert "a.hints.png" in sides
    assert "a.mask.png" not in sides
    assert sides.of("a.png", "mask") is None


@pytest.mark.parametrize("name", ["mask.png", ".mask.png", "a.mask.jpg", "amask.png", "a.mask"])
def test_these_are_names_of_photographs(name: str) -> None:
    assert side_of(name) is None


def test_a_side_file_whose_photograph_is_not_given_is_a_photograph_itself() -> None:
    given = [Path("in/a.MASK.PNG"), Path("in/a.png"), Path("in/b.mask.png"), Path("c/a.mask.png")]
    assert without_side_files(given, ["mask"]) == [given[1], given[2], given[3]]


@pytest.mark.parametrize(
    ("photo", "others", "other"),
    [
        ("x-a.png", {"x-b.png"}, "x-b.png"),
        ("x-b.png", {"x-a.png"}, "x-a.png"),
        ("x-a.png", {"x-b.jpg", "x-b.png"}, "x-b.png"),
        ("one.png", {"two.png"}, "two.png"),
        ("one.png", {"two.png", "three.png"}, None),
        ("x-a.png", {"y-b.png", "z-b.png"}, None),
        ("x-a.png", set(), None),
    ],
)
def test_the_other_half_is_found_by_its_name_or_because_it_is_alone(
    photo: str, others: set[str], other: str | None
) -> None:
    assert other_half(photo, others) == other


COMPANION_NAMES = {
    "XMP": [("i.jpg", "i.xmp"), ("i.jpg", "i.jpg.xmp"), ("i.jpg", "i.XMP")],
    "Apple's edits": [("IMG_1.JPG", "IMG_1.AAE")],
    "thumbnail of a camera": [("i.jpg", "i.THM")],
    "moving part of a Live Photo": [
        ("IMG_1.png", "IMG_1.MOV"),
        ("caf\u00e9.png", "cafe\u0301.mov"),
    ],
    "Google Takeout": [
        ("i.jpg", "i.jpg.json"),
        ("i.jpg", "i.json"),
        ("i.jpg", "i.jpg.supplemental-metadata.json"),
        ("i.jpg", "i.jpg.supplemental-me.json"),
        ("i(2).jpg", "i.jpg(2).json"),
        ("i(2).jpg", "i.jpg.supplemental-metadata(2).json"),
    ],
}
"""A photograph and a companion of it, by kind."""

EVERY_COMPANION = [pair for pairs in COMPANION_NAMES.values() for pair in pairs]


def test_every_kind_of_companion_has_its_names() -> None:
    assert set(COMPANION_NAMES) == set(COMPANIONS)


@pytest.mark.parametrize("name", ["i.jpg", "i.xmp.jpg", ".xmp", "i.txt", "i.mask.png"])
def test_other_names_are_no_companions(name: str) -> None:
    assert companion_of(name) is None


@pytest.mark.parametrize(("photo", "name"), EVERY_COMPANION)
def test_a_companion_is_that_of_its_photograph_and_of_no_other(photo: str, name: str) -> None:
    names = Companions([photo, name, "j.jpg"])
    assert (names.of(photo), names.of("j.jpg"), names.of(name)) == ([name], [], [])


@pytest.mark.parametrize(("photo", "name"), EVERY_COMPANION)
def test_a_companion_is_archived_with_its_photograph(root: Path, photo: str, name: str) -> None:
    drop_photo(root, f"denoise/2012/{photo}")
    (root / f"inbox/denoise/2012/{name}").write_text("companion")
    summary = run_once(root)
    assert (summary.done, summary.failed, summary.waiting) == (1, 0, ())
    archived = everything_below(root / "archive/denoise/2012")
    assert (set(archived), archived[name]) == ({photo, name}, b"companion")
    (record,) = (json.loads(path.read_text()) for path in (root / "outbox").rglob("*.json"))
    assert [Path(file["file"]).name for file in record["inputs"]] == [photo]
    assert_no_leftovers(root)


_XMP = '<x:xmpmeta><rdf:Description tiff:Orientation="{}" xmp:Rating="4"/></x:xmpmeta>'


@pytest.mark.parametrize(
    ("names", "sidecars"),
    [
        (("i.xmp",), {"i.png.xmp": None, "i.xmp": "i.xmp"}),
        (("i.tif.xmp",), {"i.png.xmp": "i.tif.xmp", "i.xmp": None}),
        (("i.XMP", "i.tif.xmp", "i.xmp", "i.aae"), {"i.png.xmp": "i.tif.xmp", "i.xmp": "i.XMP"}),
    ],
)
def test_a_result_has_the_xmp_of_its_photograph_beside_it(
    root: Path, names: tuple[str, ...], sidecars: dict[str, str | None]
) -> None:
    drop_photo(root, "denoise/2012/i.tif")
    for name in names:
        (root / "inbox/denoise/2012" / name).write_text(_XMP.format(6) + name)
    assert run_once(root).done == 1
    folder = root / "outbox/denoise/2012"
    for name, origin in sidecars.items():
        expected = (_XMP.format(1) + origin).encode() if origin else None
        assert everything_below(folder).get(name) == expected
    assert everything_below(root / "archive")[f"denoise/2012/{names[0]}"].startswith(
        _XMP.format(6).encode()
    )
    (path,) = folder.glob("*.json")
    assert {(one["from"], one["file"]) for one in json.loads(path.read_text())["sidecars"]} == {
        (f"denoise/2012/{origin}", name) for name, origin in sidecars.items() if origin
    }
    assert_no_leftovers(root)


_PLACE = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-'
    'syntax-ns#"><rdf:Description xmlns:exif="http://ns.adobe.com/exif/1.0/" '
    'xmlns:xmp="http://ns.adobe.com/xap/1.0/" exif:GPSLatitude="36,27N" xmp:Rating="4"/></rdf:RDF>'
    "</x:xmpmeta>"
)


@pytest.mark.parametrize(
    ("choice", "content", "expected", "notes"),
    [
        ("keep", _PLACE, b"GPSLatitude", 0),
        ("strip-location", _PLACE, b"Rating", 0),
        ("strip-location", "<broken", None, 1),
        ("strip", _PLACE, None, 0),
    ],
)
def test_the_xmp_beside_a_result_says_no_more_than_the_recipe_keeps(
    root: Path, choice: str, content: str, expected: bytes | None, notes: int
) -> None:
    recipe = f'[[steps]]\nkind = "denoise"\n[output]\nmetadata = "{choice}"\n'
    (root / "recipes/private.toml").write_text(recipe)
    drop_photo(root, "private/i.tif")
    for name in ("i.xmp", "i.tif.supplemental-metadata.json"):
        (root / "inbox/private" / name).write_text(content)
    assert run_once(root).done == 1
    folder = root / "outbox/private"
    found = everything_below(folder)
    assert set(found) == {"i.png", "i.png.json", *(["i.xmp"] if expected else [])}
    if expected:
        assert expected in found["i.xmp"]
        assert (b"GPS" in found["i.xmp"]) == (choice == "keep")
    record = json.loads(found["i.png.json"])
    said = ["private/i.xmp cannot be searched for a place: not copied"] if notes else []
    assert (record["notes"], record["note_kinds"]) == (said, ["metadata"] * notes)


@pytest.mark.parametrize("originals", ["leave", "delete", "bulk"])
@pytest.mark.parametrize(
    ("name", "sidecar"), [("i.xmp", "i.xmp"), ("i.png.XMP", "i.png.xmp"), ("j.xmp", "")]
)
def test_a_result_has_the_xmp_wherever_its_photograph_was(
    root: Path, originals: str, name: str, sidecar: str
) -> None:
    scans = root.parent / "scans"
    put(scans / "2012", ("i.png",))
    (scans / "2012" / name).write_text(_XMP.format(6))
    if originals == "bulk":
        exit_code(["--station", str(root), "submit", str(scans), "--recipe", "denoise"])
    else:
        watch = f'path = "{scans}"\nrecipe = "denoise"\noriginals = "{originals}"\n'
        with (root / "restored.toml").open("a") as file:
            file.write(f'\n[[watch]]\n{watch}outbox = "{root}/outbox"\n')
    assert run_once(root).done == 1
    (result,) = (root / "outbox").rglob("i.png")
    found = everything_below(result.parent)
    expected = {"i.png", "i.png.json", *([sidecar] if sidecar else [])}
    assert set(found) == expected
    if sidecar:
        assert found[sidecar] == _XMP.format(1).encode()
        (one,) = json.loads(found["i.png.json"])["sidecars"]
        assert (one["from"], one["file"]) == (f"2012/{name}", sidecar)
    assert (scans / "2012" / name).read_text() == _XMP.format(6)


def test_a_file_too_large_to_be_xmp_is_archived_and_not_copied(root: Path) -> None:
    drop_photo(root, "denoise/i.png")
    with (root / "inbox/denoise/i.xmp").open("wb") as file:
        file.truncate((16 << 20) + 1)
    assert run_once(root).done == 1
    assert set(everything_below(root / "outbox/denoise")) == {"i.png", "i.png.json"}
    assert (root / "archive/denoise/i.xmp").exists()


def test_the_same_photograph_with_and_without_a_companion_is_one_job(root: Path) -> None:
    drop_photo(root, "denoise/i.png")
    (root / "inbox/denoise/i.xmp").write_text("one")
    assert run_once(root).done == 1
    drop_photo(root, "denoise/i.png")
    assert run_once(root).done == 1
    assert len(published_results(root)) == 1


def test_a_companion_fails_and_comes_back_with_its_photograph(root: Path) -> None:
    (root / "inbox/denoise").mkdir(exist_ok=True)
    names = ("i.jpg", "i.xmp", "i.jpg.json")
    for name in names:
        (root / "inbox/denoise" / name).write_text("no picture")
    assert run_once(root).failed == 1
    assert set(everything_below(root / "failed/denoise")) == {*names, "i.jpg.error.json"}
    assert exit_code(["--station", str(root), "retry"]) == 0
    assert set(everything_below(root / "inbox/denoise")) == set(names)


@pytest.mark.parametrize("recipe", ["interpolate", ""])
def test_a_companion_of_a_photograph_that_is_refused_at_once_goes_with_it(
    root: Path, recipe: str
) -> None:
    (root / "inbox" / recipe).mkdir(exist_ok=True)
    for name in ("x-a.jpg", "x-a.xmp"):
        (root / "inbox" / recipe / name).write_text("no picture")
    assert run_once(root).failed == 1
    assert set(everything_below(root / "failed" / recipe)) == {
        "x-a.jpg", "x-a.xmp", "x-a.jpg.error.json",
    }  # fmt: skip


@pytest.mark.parametrize("taken_away", [True, False])
def test_redo_takes_a_companion_along_if_it_is_there(root: Path, *, taken_away: bool) -> None:
    drop_photo(root, "denoise/i.png")
    (root / "inbox/denoise/i.xmp").write_text("companion")
    assert run_once(root).done == 1
    if taken_away:
        (root / "archive/denoise/i.xmp").unlink()
    (root / "recipes").mkdir(exist_ok=True)
    (root / "recipes/denoise.toml").write_text('[[steps]]\nkind = "denoise"\nseed = 7\n')
    assert exit_code(["--station", str(root), "redo"]) == 0
    assert run_once(root).done == 1
    expected = {"i.png"} if taken_away else {"i.png", "i.xmp"}
    assert set(everything_below(root / "archive/denoise")) == expected


def test_a_companion_without_its_photograph_stays_and_is_named(root: Path) -> None:
    drop_photo(root, "denoise/i.png")
    (root / "inbox/denoise/j.xmp").write_text("companion")
    (notice,) = run_once(root).waiting
    assert notice.path == root / "inbox/denoise/j.xmp"
    assert notice.what == (
        "no photograph lies beside it; it follows its own once that is in the archive"
    )


@pytest.mark.parametrize(
    ("photo", "name"), [("i.png", "i.xmp"), ("i.png", "i.png.JSON"), ("e\u0301.png", "\u00e9.MOV")]
)
def test_a_late_companion_follows_its_photograph_into_the_archive(
    root: Path, photo: str, name: str
) -> None:
    drop_photo(root, f"denoise/2012/{photo}")
    assert run_once(root).done == 1
    (root / f"inbox/denoise/2012/{name}").write_text("companion")
    assert run_once(root).waiting == ()
    archived = everything_below(root / "archive/denoise/2012")
    assert (set(archived), archived[name]) == ({photo, name}, b"companion")
    assert everything_below(root / "inbox/denoise/2012") == {}
    assert run_once(root).waiting == ()
    (root / "recipes").mkdir(exist_ok=True)
    (root / "recipes/denoise.toml").write_text('[[steps]]\nkind = "denoise"\nseed = 7\n')
    assert exit_code(["--station", str(root), "redo"]) == 0
    assert run_once(root).done == 1
    assert everything_below(root / "archive/denoise/2012") == archived


def archive_two(root: Path, name: str) -> tuple[Path, Path]:
    """Have two photographs of one name archived; returns where they are."""
    for colour in ("red", "blue"):
        drop_photo(root, f"denoise/{name}", colour)
        assert run_once(root).done == 1
    folder = root / "archive/denoise"
    (second,) = (path for path in folder.iterdir() if "~" in path.name)
    return folder / name, second


def test_of_two_photographs_of_one_name_redo_takes_each_with_its_own_xmp(root: Path) -> None:
    for colour in ("red", "blue"):
        (root / "inbox/denoise").mkdir(exist_ok=True)
        (root / "inbox/denoise/i.xmp").write_text(_XMP.format(1) + colour)
        drop_photo(root, "denoise/i.png", colour)
        assert run_once(root).done == 1
    (root / "recipes").mkdir(exist_ok=True)
    (root / "recipes/denoise.toml").write_text('[[steps]]\nkind = "denoise"\nseed = 7\n')
    assert exit_code(["--station", str(root), "redo"]) == 0
    assert run_once(root).done == 2
    archived = everything_below(root / "archive/denoise")
    (stem,) = {name.split(".")[0] for name in archived} - {"i"}
    assert set(archived) == {"i.png", "i.xmp", f"{stem}.png", f"{stem}.xmp"}
    assert archived["i.xmp"].endswith(b"red") and archived[f"{stem}.xmp"].endswith(b"blue")
    sidecars = [text for path, text in everything_below(root / "outbox").items() if "xmp" in path]
    assert sorted(text[-3:] for text in sidecars) == [b"lue", b"lue", b"red", b"red"]


def test_a_late_companion_stays_if_two_archived_photographs_may_be_meant(root: Path) -> None:
    archive_two(root, "i.png")
    (root / "inbox/denoise/i.xmp").write_text("companion")
    (notice,) = run_once(root).waiting
    assert notice.path == root / "inbox/denoise/i.xmp"
    assert set(everything_below(root / "archive/denoise")) == {
        path.name for path in (root / "archive/denoise").iterdir() if path.suffix == ".png"
    }


@pytest.mark.parametrize("name", ["i.xmp", "i.png.json"])
def test_a_late_companion_is_called_like_its_photograph_in_the_archive(
    root: Path, name: str
) -> None:
    first, second = archive_two(root, "i.png")
    first.unlink()
    (root / "inbox/denoise" / name).write_text("companion")
    assert run_once(root).waiting == ()
    called = name.replace("i.", f"{second.stem}.", 1)
    assert set(everything_below(root / "archive/denoise")) == {second.name, called}


def test_a_late_companion_stays_if_a_person_called_a_photograph_nearly_like_it(root: Path) -> None:
    drop_photo(root, "denoise/i~12345678.png")
    assert run_once(root).done == 1
    (root / "inbox/denoise/i.xmp").write_text("companion")
    assert [notice.path.name for notice in run_once(root).waiting] == ["i.xmp"]
    (root / "inbox/denoise/i~12345678.xmp").write_text("companion")
    assert [notice.path.name for notice in run_once(root).waiting] == ["i.xmp"]


@pytest.mark.parametrize("key", ["", "0123abcd"])
@pytest.mark.parametrize("photo", ["i", "i(1)", "e\u0301", "n" * 60, "n" * 251])
def test_what_belongs_to_a_photograph_is_found_under_the_new_names(photo: str, key: str) -> None:
    stem, photo = photo, f"{photo}.JPG"
    sides = [f"{stem}.mask.png", f"{stem}.hints.PNG"] if len(stem) < 200 else []
    ends = [".xmp", ".AAE", ".json"] if len(stem) < 200 else []
    companions = [f"{called}{end}" for called in (stem, photo) for end in ends]
    cut = [f"{stem[:46]}.json"] if len(stem) > 50 else []
    companions += cut
    companions += ["i.JPG(1).json"] if "(1)" in photo else []
    names = group_names([photo], [*sides, *companions], key)
    assert len(set(names)) == len(names)
    assert all(len(name.encode()) <= 255 for name in names)
    new, *beside = names
    assert (new != photo) == bool(key or len(stem) > 240)
    found = SideFiles(beside)
    assert [found.of(new, "mask"), found.of(new, "hints")] == [*beside[:2]] if sides else True
    called_alike = [name for name in beside if "~2" in name]  # whole and cut, both of Takeout
    assert len(called_alike) <= bool(key)
    assert set(Companions(beside).of(new)) == set(beside[len(sides) :]) - set(called_alike)
    back = [called_like(name, new, photo) for name in beside]
    assert set(back) <= {*sides, *companions, f"{photo}.json", *called_alike}


@pytest.mark.parametrize("key", ["", "0123abcd"])
@pytest.mark.parametrize("stem", ["x", "n" * 249])
def test_halves_are_halves_of_one_pair_under_the_new_names(stem: str, key: str) -> None:
    names = group_names([f"{stem}-a.jpg", f"{stem}-b.tif"], [], key)
    (pair,) = by_name(names)
    assert [pair.first, pair.second] == names
    assert all(len(name.encode()) <= 255 for name in names)


def test_a_late_companion_stays_that_may_belong_to_another_photograph(root: Path) -> None:
    for name in ("i", "j", "k"):
        drop_photo(root, f"denoise/{name}.png")
    (root / "inbox/denoise/i.xmp").write_text("first")
    (root / "archive/denoise/l.png").parent.mkdir(parents=True, exist_ok=True)
    (root / "archive/denoise/l.png").write_text("somebody's")
    assert run_once(root).done == 3
    for name in ("i", "l", "m"):
        (root / f"inbox/denoise/{name}.xmp").write_text("second")
    (root / "archive/denoise/J.XMP").write_text("alike")
    (root / "inbox/denoise/j.xmp").write_text("second")
    (root / "inbox/denoise/k.png").touch()  # another one is arriving
    (root / "inbox/denoise/k.xmp").write_text("second")
    named = {notice.path.name for notice in run_once(root).waiting}
    assert {f"{name}.xmp" for name in "ijlm"} <= named
    left = everything_below(root / "inbox/denoise")
    assert set(left) == {"k.png", *(f"{name}.xmp" for name in "ijklm")}
    assert everything_below(root / "archive/denoise")["i.xmp"] == b"first"


@pytest.mark.parametrize("calls", range(0, 40, 3))
def test_a_kill_while_a_companion_follows_its_photograph_loses_and_doubles_nothing(
    root: Path, calls: int
) -> None:
    drop_photo(root, "denoise/i.png")
    assert run_once(root).done == 1
    (root / "inbox/denoise/i.xmp").write_text("companion")

    def run() -> None:
        with pytest.MonkeyPatch.context() as patch, open_daemon(root) as daemon:
            cut_off_after(calls, patch)
            daemon.once()

    ended_by_kill(run)
    assert run_once(root).waiting == ()
    assert everything_below(root / "inbox/denoise") == {}
    assert set(everything_below(root / "archive/denoise")) == {"i.png", "i.xmp"}


@pytest.mark.parametrize("originals", ["delete", "leave"])
def test_a_companion_stays_where_originals_are_not_archived(root: Path, originals: str) -> None:
    scans = root.parent / "scans"
    put(scans, ("i.png",))
    (scans / "i.xmp").write_text("companion")
    watch = f'path = "{scans}"\nrecipe = "denoise"\noriginals = "{originals}"\n'
    with (root / "restored.toml").open("a") as file:
        file.write(f'\n[[watch]]\n{watch}outbox = "{root.parent}/out"\n')
    summary = run_once(root)
    assert (summary.done, summary.failed) == (1, 0)
    assert [notice.path for notice in summary.waiting] == (
        [scans / "i.xmp"] if originals == "delete" else []
    )
    assert (scans / "i.xmp").read_text() == "companion"


def test_a_photograph_waits_for_a_companion_that_is_arriving_but_not_for_an_empty_one(
    root: Path,
) -> None:
    def decide(*names: str) -> tuple[Claim, ...]:
        arrivals = []
        for name in names:
            status = (root / "inbox/denoise" / name).stat()
            place = Path("denoise", name)
            arrivals.append(Arrival(folder, place, status.st_size, status.st_mtime_ns))
        return sorter.sort(arrivals, 0.0).claims

    away = root / "away"
    folder = InboxFolder(root / "inbox", None, away, away, away)
    sorter = Sorter(known_recipes(None), reads=ReadsNow(), pair_wait_s=60)
    drop_photo(root, "denoise/i.png")
    (root / "inbox/denoise/i.mov").write_text("half")
    (root / "inbox/denoise/i.xmp").write_text("")
    assert decide("i.png") == ()
    (claim,) = decide("i.mov")
    assert [file.relative.name for file in claim.files] == ["i.png", "i.mov"]


LONG = "2012-07-14 Grandmother and the whole family by the lake"


@pytest.mark.parametrize(
    ("photo", "companion"),
    [
        ("IMG.jpg", "IMG.jpg.json"),
        ("IMG(1).jpg", "IMG.jpg(1).json"),
        ("IMG(1).jpg", "IMG(1).jpg.json"),
        ("IMG.jpg", "IMG.jpg.supplemental-metadata.json"),
        ("IMG(2).jpg", "IMG.jpg.supplemental-metadata(2).json"),
        ("IMG.jpg", "IMG.jpg.supplemental-me.json"),
        ("IMG.jpg", "IMG.jpg.s.json"),
        ("IMG.jpg", "IMG.jpg..json"),
        (f"{LONG}.jpg", f"{LONG[:46]}.json"),
        (f"{LONG}.jpg", f"{LONG[:47]}.json"),
        (f"{LONG}(3).jpg", f"{LONG[:46]}(3).json"),
        (f"{LONG[:44]}.jpeg", f"{LONG[:44]}.j.json"),
        (f"{LONG[:44]}(1).jpeg", f"{LONG[:44]}.j(1).json"),
    ],
)
def test_what_takeout_says_of_a_photograph_is_found(photo: str, companion: str) -> None:
    assert Companions([companion, photo]).of(photo) == [companion]


@pytest.mark.parametrize(
    ("photo", "other"),
    [
        ("IMG.jpg", "IMG.jpg(1).json"),
        ("IMG(1).jpg", "IMG.jpg(2).json"),
        (f"{LONG}.jpg", f"{LONG[:45]}.json"),
        (f"{LONG}.jpg", f"{LONG[:46]}(1).json"),
        (f"{LONG}.jpg", f"{LONG[:46]}.xmp"),
    ],
)
def test_what_takeout_says_of_another_photograph_stays(photo: str, other: str) -> None:
    assert Companions([other, photo]).of(photo) == []


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("cup.hint.png", "hints"), ("cup.msk.png", "mask"), ("cup.masks.png", "mask"),
        ("cup.mask.jpg", "mask"), ("cup.HINTS.tif", "hints"),
        ("cup.hints.png", None), ("cup.task.png", None), ("cup.copy.png", None),
        ("mask.png", None), ("cup.mask.xmp", None), ("cup.2.png", None),
    ],
)  # fmt: skip
def test_a_name_that_is_nearly_that_of_a_side_file_is_known(name: str, role: str | None) -> None:
    meant = nearly_side_of(name)
    assert (meant.role if meant else None) == role
    assert meant is None or meant.photo == "cup"
