"""Which recipe takes what, and what waits. Nothing is claimed for real here."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from daemon.config.recipe import Recipe
from daemon.config.station import InboxFolder
from daemon.intake import sorter
from daemon.intake.arrivals import Arrival, Claim
from daemon.intake.file_reader import Answered
from daemon.intake.reader_process import Question
from daemon.intake.sorter import Decision, Sorter
from daemon.photo import Limits
from tests.support.file_reads import ReadsNow

WAIT_S = 3600.0


def recipe(
    name: str, kind: str = "denoise", step: dict[str, Any] | None = None, **match: object
) -> Recipe:
    steps = [{"kind": kind} | (step or {})]
    return Recipe.model_validate({"name": name, "steps": steps, "match": match})


RECIPES = (
    recipe("colorize", "colorize", names=["grey-*"]),
    recipe("denoise", max_megapixels=0.01, plain_inbox=True),
    recipe("inpaint", "inpaint"),
    recipe("interpolate", "interpolate"),
    recipe("restyle", "restyle", suffixes=[".png"], names=["style-*"]),
)


class SortedInbox:
    """An inbox folder whose files arrive when a test says so, and its sorter."""

    def __init__(self, root: Path, **changes: Any) -> None:  # noqa: ANN401
        self.root = root / "inbox"
        self.root.mkdir()
        away = root / "away"
        self.folder = InboxFolder(self.root, None, outbox=away, failed=away, archive=away)
        self.folder = replace(self.folder, **changes)
        self.sorter = Sorter(
            RECIPES, reads=ReadsNow(), pair_wait_s=WAIT_S, wall=lambda: 1_000_000.0 + self.now
        )
        self.now = 0.0

    def put(self, name: str, size: int = 8) -> str:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (size, size)).save(path, format="PNG")
        return name

    def arrival(self, name: str) -> Arrival:
        status = (self.root / name).lstat()
        return Arrival(self.folder, Path(name), status.st_size, status.st_mtime_ns)

    def arrive(self, *names: str) -> Decision:
        """Say these have settled; what is claimed leaves the inbox unless originals stay."""
        decision = self.sorter.sort([self.arrival(name) for name in names], self.now)
        for claim in decision.claims:
            for taken in claim.files:
                if self.folder.originals != "leave":
                    taken.path.unlink()
        return decision

    def drop(self, *names: str) -> tuple[Claim, ...]:
        return self.arrive(*[self.put(name) for name in names]).claims

    def later(self, seconds: float = 1.0) -> tuple[Claim, ...]:
        self.now += seconds
        return self.arrive().claims

    def waiting(self) -> dict[str, str]:
        notices = self.sorter.waiting(self.now)
        return {n.path.relative_to(self.root).as_posix(): n.what for n in notices}


@pytest.fixture
def inbox(tmp_path: Path) -> SortedInbox:
    return SortedInbox(tmp_path)


def short(claims: Sequence[Claim]) -> list[tuple[str, list[str], str]]:
    return sorted((c.recipe, [a.relative.as_posix() for a in c.files], c.stem) for c in claims)


def test_files_in_a_recipes_sub_folder_go_to_that_recipe(inbox: SortedInbox) -> None:
    claims = inbox.drop("denoise/a.png", "denoise/deep/er/b.c.png", "colorize/grey-1.jpg")
    assert short(claims) == [
        ("colorize", ["colorize/grey-1.jpg"], "grey-1"),
        ("denoise", ["denoise/a.png"], "a"),
        ("denoise", ["denoise/deep/er/b.c.png"], "b.c"),
    ]
    assert {claim.refusal for claim in claims} == {""}


def test_files_in_a_folder_elsewhere_go_to_the_recipe_it_names(tmp_path: Path) -> None:
    inbox = SortedInbox(tmp_path, recipe="denoise")
    assert short(inbox.drop("a.png", "colorize/b.png")) == [
        ("denoise", ["a.png"], "a"),
        ("denoise", ["colorize/b.png"], "b"),
    ]


def test_files_for_an_unknown_recipe_wait_until_there_is_one(tmp_path: Path) -> None:
    inbox = SortedInbox(tmp_path, recipe="sharpen")
    assert inbox.drop("a.png") == ()
    inbox.later(WAIT_S)
    assert inbox.waiting()["a.png"].startswith("no recipe is named 'sharpen'; there are colorize")
    inbox.sorter.set_recipes([recipe("sharpen")])
    assert short(inbox.later()) == [("sharpen", ["a.png"], "a")]


def test_what_lies_beside_the_recipes_goes_to_the_first_match(inbox: SortedInbox) -> None:
    claims = inbox.drop("grey-1.png", "plain.png", "holiday/style-1.png", "holiday/grey-2.png")
    assert short(claims) == [
        ("colorize", ["grey-1.png"], "grey-1"),
        ("colorize", ["holiday/grey-2.png"], "grey-2"),
        ("denoise", ["holiday/style-1.png"], "style-1"),
        ("denoise", ["plain.png"], "plain"),
    ]
    inbox.put("style-2.png", size=200)
    assert short(inbox.arrive("style-2.png").claims) == [("restyle", ["style-2.png"], "style-2")]


def test_what_no_recipe_matches_is_refused_and_says_what_each_would_need(
    inbox: SortedInbox,
) -> None:
    inbox.put("large.png", size=200)
    (claim,) = inbox.arrive("large.png").claims
    assert claim.recipe == ""
    assert claim.refusal == (
        "large.png: no recipe matches it, because colorize: its name fits none of grey-*; "
        "denoise: it has 0.04 megapixels, more than 0.01; "
        "restyle: its name fits none of style-*"
    )


def test_a_recipe_s_own_folder_says_why_it_refuses(inbox: SortedInbox) -> None:
    inbox.put("denoise/large.png", size=200)
    (inbox.root / "denoise/old.xcf").write_text("no picture")
    claims = inbox.arrive("denoise/large.png", "denoise/old.xcf").claims
    assert {claim.recipe for claim in claims} == {"denoise"}
    assert [claim.refusal for claim in claims] == [
        "denoise/large.png: recipe denoise refuses it: it has 0.04 megapixels, more than 0.01",
        "denoise/old.xcf: recipe denoise refuses it: its name ends with none of "
        ".jpg, .jpeg, .png, .webp, .tif, .tiff, .bmp, .gif and 46 others",
    ]


@pytest.mark.parametrize("folder", ["", "denoise/", "denoise/2012/", "interpolate/", "inpaint/"])
@pytest.mark.parametrize(
    "name", ["notes.txt", "Picasa.ini", "ehthumbs.db", "index", "clip.mp4", "a.jpg.error.json"]
)
def test_what_is_no_photograph_is_left_in_the_inbox_and_named_at_once(
    inbox: SortedInbox, folder: str, name: str
) -> None:
    inbox.put(folder + name)
    assert inbox.arrive(folder + name).claims == ()
    said = {folder + name: "its name is not that of a photograph; it is left here"}
    assert inbox.waiting() == said
    assert inbox.later() == ()
    assert inbox.waiting() == said


def test_a_text_file_is_no_stranger_where_a_recipe_reads_prompts(tmp_path: Path) -> None:
    inbox = SortedInbox(tmp_path)
    inbox.sorter.set_recipes([recipe("dream", "generate", {"model": "x/y"}), *RECIPES])
    names = ("ideas.txt", "dream/ideas.txt", "denoise/ideas.txt")
    for name in names:
        (inbox.root / name).parent.mkdir(exist_ok=True)
        (inbox.root / name).write_text("a cat")
    claims = inbox.arrive(*names).claims
    assert [(c.recipe, str(c.arrivals[0].relative)) for c in claims] == [
        ("dream", "dream/ideas.txt")
    ]
    assert set(inbox.waiting()) == {"denoise/ideas.txt", "ideas.txt"}
    taking = recipe("dream", "generate", {"model": "x/y"}, plain_inbox=True)
    inbox.sorter.set_recipes([taking, *RECIPES])
    assert short(inbox.later()) == [("dream", ["ideas.txt"], "ideas")]


def test_a_file_that_is_no_picture_is_refused_with_the_reason(inbox: SortedInbox) -> None:
    (inbox.root / "denoise").mkdir()
    for name in ("denoise/a.jpg", "b.jpg", "interpolate-me.png"):
        (inbox.root / name).write_bytes(b"<html>no photograph at all</html>")
    claims = inbox.arrive("denoise/a.jpg", "b.jpg").claims
    assert sorted(claim.recipe for claim in claims) == ["", "denoise"]
    assert all(
        claim.refusal and claim.arrivals[0].relative.name in claim.refusal for claim in claims
    )


def test_a_file_that_is_too_large_is_refused_naming_the_setting(tmp_path: Path) -> None:
    inbox = SortedInbox(tmp_path)
    inbox.sorter = Sorter(
        RECIPES, reads=ReadsNow(Limits(max_input_megapixels=0.001)), pair_wait_s=WAIT_S
    )
    inbox.put("denoise/a.png", size=64)
    (claim,) = inbox.arrive("denoise/a.png").claims
    assert claim.refusal == "denoise/a.png: 64x64 are 0.0 megapixels; allowed: at most 0.001"
    assert claim.remedy == "raise the setting max_input_megapixels"


def test_same_names_in_different_folders_and_with_other_suffixes_are_claims_of_their_own(
    inbox: SortedInbox,
) -> None:
    claims = inbox.drop("denoise/scan.jpg", "denoise/scan.tif", "denoise/x/scan.jpg")
    assert [stem for _, _, stem in short(claims)] == ["scan"] * 3
    assert len({claim.arrivals[0].path for claim in claims}) == 3


def test_names_that_are_no_text_are_routed_and_refused(inbox: SortedInbox) -> None:
    odd = os.fsdecode(b"caf\xe9")
    (inbox.root / "denoise").mkdir()
    (inbox.root / f"denoise/{odd}.heic").write_bytes(b"x")
    inbox.put(f"denoise/{odd}.png")
    claims = inbox.arrive(f"denoise/{odd}.png", f"denoise/{odd}.heic").claims
    assert [(claim.stem, bool(claim.refusal)) for claim in claims] == [(odd, True), (odd, False)]
    claims[0].refusal.encode("utf-8")


def test_a_recipe_matches_names_in_either_unicode_form(inbox: SortedInbox) -> None:
    inbox.sorter.set_recipes([recipe("mine", names=["Zo\u00eb-*"])])
    (composed, decomposed) = inbox.drop("Zo\u00eb-1.jpg", "Zoe\u0308-2.jpg")
    assert (composed.recipe, decomposed.recipe) == ("mine", "mine")


# -- side files --------------------------------------------------------------------------------


def test_hints_are_claimed_together_with_their_photograph(inbox: SortedInbox) -> None:
    claims = inbox.drop("colorize/grey-1.jpg", "colorize/grey-1.Hints.PNG", "colorize/grey-2.jpg")
    assert short(claims) == [
        ("colorize", ["colorize/grey-1.jpg", "colorize/grey-1.Hints.PNG"], "grey-1"),
        ("colorize", ["colorize/grey-2.jpg"], "grey-2"),
    ]
    assert claims[0].mask is None


def test_a_mask_may_be_called_after_the_whole_name_of_its_photograph(inbox: SortedInbox) -> None:
    (claim,) = inbox.drop("restyle/style-1.png", "restyle/style-1.png.mask.png")
    assert claim.mask is not None and claim.hints is None


def test_where_a_mask_is_needed_a_photograph_waits_until_it_comes(inbox: SortedInbox) -> None:
    assert inbox.drop("inpaint/a.jpg", "inpaint/b.mask.png") == ()
    assert inbox.later(WAIT_S) == ()
    assert inbox.waiting() == {
        "inpaint/a.jpg": "waits for a.mask.png, which must be white where the picture is lost",
        "inpaint/b.mask.png": "waits for the photograph it belongs to, of the same name",
    }
    assert short(inbox.drop("inpaint/a.mask.png")) == [
        ("inpaint", ["inpaint/a.jpg", "inpaint/a.mask.png"], "a")
    ]
    assert short(inbox.drop("inpaint/b.png")) == [
        ("inpaint", ["inpaint/b.png", "inpaint/b.mask.png"], "b")
    ]


def test_a_file_that_needs_a_mask_and_is_no_photograph_is_refused_at_once(
    inbox: SortedInbox,
) -> None:
    inbox.put("inpaint/a.png")
    (inbox.root / "inpaint/a.png").write_bytes(b"no photograph")
    (claim,) = inbox.arrive("inpaint/a.png").claims
    assert "a.png" in claim.refusal and claim.recipe == "inpaint"


def test_a_photograph_waits_for_hints_that_are_still_arriving(inbox: SortedInbox) -> None:
    inbox.put("colorize/grey-1.hints.png")
    assert inbox.drop("colorize/grey-1.jpg") == ()
    assert inbox.later() == ()
    assert short(inbox.arrive("colorize/grey-1.hints.png").claims) == [
        ("colorize", ["colorize/grey-1.jpg", "colorize/grey-1.hints.png"], "grey-1")
    ]


def test_a_photograph_goes_alone_once_the_hints_it_waited_for_are_gone(inbox: SortedInbox) -> None:
    inbox.put("colorize/grey-1.hints.png")
    assert inbox.drop("colorize/grey-1.jpg") == ()
    (inbox.root / "colorize/grey-1.hints.png").unlink()
    assert short(inbox.later()) == [("colorize", ["colorize/grey-1.jpg"], "grey-1")]


def test_hints_without_their_photograph_wait_and_are_reported(inbox: SortedInbox) -> None:
    assert inbox.drop("colorize/grey-1.hints.png") == ()
    assert inbox.later(WAIT_S - 1) == ()
    assert inbox.waiting() == {}
    inbox.later(1)
    assert inbox.waiting() == {
        "colorize/grey-1.hints.png": "waits for the photograph it belongs to, of the same name"
    }
    assert len(inbox.drop("colorize/grey-1.tif")) == 1
    assert inbox.sorter.waiting(0, at_once=True) == ()


def test_where_a_recipe_reads_no_mask_a_mask_is_a_photograph(inbox: SortedInbox) -> None:
    assert short(inbox.drop("denoise/a.mask.png", "colorize/grey-1.mask.png")) == [
        ("colorize", ["colorize/grey-1.mask.png"], "grey-1.mask"),
        ("denoise", ["denoise/a.mask.png"], "a.mask"),
    ]


def test_beside_the_recipes_the_photograph_decides_what_a_mask_is(inbox: SortedInbox) -> None:
    inbox.put("style-1.png", size=200)
    inbox.put("style-1.mask.png")
    inbox.put("plain.png")
    inbox.put("plain.mask.png")
    claims = inbox.arrive("style-1.png", "style-1.mask.png", "plain.png", "plain.mask.png").claims
    assert short(claims) == [
        ("denoise", ["plain.mask.png"], "plain.mask"),
        ("denoise", ["plain.png"], "plain"),
        ("restyle", ["style-1.png", "style-1.mask.png"], "style-1"),
    ]
    assert inbox.drop("alone.mask.png") == ()


def test_two_photographs_of_one_name_share_no_hints(inbox: SortedInbox) -> None:
    claims = inbox.drop("colorize/grey-1.jpg", "colorize/grey-1.tif", "colorize/grey-1.hints.png")
    claims += inbox.later()
    assert short(claims) == [
        ("colorize", ["colorize/grey-1.jpg", "colorize/grey-1.hints.png"], "grey-1"),
        ("colorize", ["colorize/grey-1.tif"], "grey-1"),
    ]


def test_a_refused_photograph_takes_its_hints_with_it(inbox: SortedInbox) -> None:
    inbox.put("colorize/grey-1.hints.png")
    (inbox.root / "colorize/grey-1.jpg").write_bytes(b"no picture")
    (claim,) = inbox.arrive("colorize/grey-1.hints.png", "colorize/grey-1.jpg").claims
    assert claim.refusal and claim.hints is not None


# -- pairs -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("NAME-a.png", "NAME-b.png"),
        ("NAME_1.png", "NAME_2.png"),
        ("NAME-1.jpg", "NAME-2.tif"),
        ("NAME_A.PNG", "NAME_b.png"),
    ],
)
@pytest.mark.parametrize("below", ["interpolate", "interpolate/sub"])
def test_halves_are_claimed_together_in_order(
    inbox: SortedInbox, below: str, first: str, second: str
) -> None:
    assert inbox.drop(f"{below}/{second}") == ()
    claims = inbox.drop(f"{below}/{first}")
    assert short(claims) == [("interpolate", [f"{below}/{first}", f"{below}/{second}"], "NAME")]


@pytest.mark.parametrize(
    "names",
    [
        ("x-a.png", "x_b.png"),
        ("x-a.png", "y-b.png"),
        ("x-1.png", "x-b.png"),
        ("x11.png", "x12.png"),
    ],
)
def test_names_that_are_not_alike_are_no_pair(inbox: SortedInbox, names: tuple[str, str]) -> None:
    assert inbox.drop(*[f"interpolate/{name}" for name in names]) == ()
    assert len(inbox.sorter.waiting(0, at_once=True)) == 2


def test_of_several_other_halves_the_one_most_alike_is_taken(inbox: SortedInbox) -> None:
    names = ["x-a.png", "x-b.jpg", "x-b.png", "X-a.png", "X-b.png"]
    claims = inbox.drop(*[f"interpolate/{name}" for name in names])
    assert [files for _, files, _ in short(claims)] == [
        ["interpolate/X-a.png", "interpolate/X-b.png"],
        ["interpolate/x-a.png", "interpolate/x-b.png"],
    ]
    assert [n.path.name for n in inbox.sorter.waiting(0, at_once=True)] == ["x-b.jpg"]


def test_halves_in_different_folders_are_no_pair(inbox: SortedInbox) -> None:
    assert inbox.drop("interpolate/one/x-a.png", "interpolate/two/x-b.png") == ()


def test_a_half_that_waits_too_long_is_reported_and_a_late_half_completes_it(
    inbox: SortedInbox,
) -> None:
    inbox.drop("interpolate/x-b.png")
    inbox.later(WAIT_S)
    (notice,) = inbox.sorter.waiting(inbox.now)
    assert notice.what == "unpaired: waits for its other half (x-a with any suffix)"
    assert notice.since == 1_000_000.0
    (claim,) = inbox.drop("interpolate/x-a.jpg")
    assert [arrival.relative.name for arrival in claim.arrivals] == ["x-a.jpg", "x-b.png"]
    assert inbox.waiting() == {}


def test_two_pictures_alone_in_a_sub_folder_are_a_pair_of_its_name(inbox: SortedInbox) -> None:
    assert inbox.drop("interpolate/walk/north.png") == ()
    assert short(inbox.drop("interpolate/walk/down.png")) == [
        ("interpolate", ["interpolate/walk/down.png", "interpolate/walk/north.png"], "walk")
    ]


def test_two_pictures_directly_in_the_recipe_s_folder_are_no_pair(inbox: SortedInbox) -> None:
    assert inbox.drop("interpolate/north.png", "interpolate/down.png") == ()
    inbox.later(WAIT_S)
    assert inbox.waiting()["interpolate/down.png"] == (
        "unpaired: waits for its other half "
        "(a pair is NAME-a with NAME-b, NAME_1 with NAME_2, or two alone in a sub-folder)"
    )


def test_two_pictures_in_a_sub_folder_of_a_folder_elsewhere_are_a_pair(tmp_path: Path) -> None:
    inbox = SortedInbox(tmp_path, recipe="interpolate")
    assert inbox.drop("north.png", "south.png") == ()
    assert short(inbox.drop("walk/a.png", "walk/b.png")) == [
        ("interpolate", ["walk/a.png", "walk/b.png"], "walk")
    ]


def test_a_sub_folder_where_a_third_picture_still_arrives_waits(inbox: SortedInbox) -> None:
    inbox.put("interpolate/walk/c.png")
    assert inbox.drop("interpolate/walk/a.png", "interpolate/walk/b.png") == ()
    assert inbox.later() == ()
    assert inbox.arrive("interpolate/walk/c.png").claims == ()
    inbox.later(WAIT_S)
    assert len(inbox.waiting()) == 3
    assert "3 pictures" in inbox.waiting()["interpolate/walk/a.png"]
    (inbox.root / "interpolate/walk/c.png").unlink()
    assert [stem for _, _, stem in short(inbox.later())] == ["walk"]


def test_a_half_in_a_sub_folder_waits_for_its_own_other_half(inbox: SortedInbox) -> None:
    names = ["interpolate/walk/x-a.png", "interpolate/walk/y.png"]
    assert inbox.drop(*names) == ()
    assert inbox.drop("interpolate/walk/z.png") == ()
    claims = inbox.drop("interpolate/walk/x-b.png") + inbox.later()
    assert {stem for _, _, stem in short(claims)} == {"walk", "x"}


def test_a_refused_half_leaves_the_other_for_a_corrected_one(inbox: SortedInbox) -> None:
    (inbox.root / "interpolate").mkdir()
    (inbox.root / "interpolate/x-a.png").write_bytes(b"no picture")
    inbox.put("interpolate/x-b.png")
    (refused,) = inbox.arrive("interpolate/x-a.png", "interpolate/x-b.png").claims
    assert refused.refusal and refused.arrivals[0].relative.name == "x-a.png"
    (claim,) = inbox.drop("interpolate/x-a.png")
    assert len(claim.arrivals) == 2 and claim.refusal == ""


# -- what changes meanwhile --------------------------------------------------------------------


def test_a_half_that_changed_while_it_waited_must_settle_anew(inbox: SortedInbox) -> None:
    inbox.drop("interpolate/x-a.png")
    inbox.put("interpolate/x-a.png", size=9)
    os.utime(inbox.root / "interpolate/x-a.png", (5, 5))
    inbox.put("interpolate/x-b.png")
    decision = inbox.arrive("interpolate/x-b.png")
    assert decision == Decision((), (inbox.root / "interpolate/x-a.png",))
    assert short(inbox.arrive("interpolate/x-a.png").claims)[0][2] == "x"


def test_a_half_that_vanished_is_forgotten(inbox: SortedInbox) -> None:
    inbox.drop("interpolate/x-a.png")
    (inbox.root / "interpolate/x-a.png").unlink()
    decision = inbox.arrive()
    assert decision == Decision((), (inbox.root / "interpolate/x-a.png",))
    assert inbox.sorter.waiting(0, at_once=True) == ()
    assert inbox.drop("interpolate/x-b.png") == ()


def test_a_photograph_that_vanishes_before_its_header_is_read_is_looked_for_again(
    inbox: SortedInbox,
) -> None:
    gone = inbox.arrival(inbox.put("denoise/a.png"))
    gone.path.unlink()
    assert inbox.sorter.sort([gone], 0.0) == Decision((), (gone.path,))


def test_new_recipes_decide_anew_about_what_waits(inbox: SortedInbox) -> None:
    inbox.drop("interpolate/x-a.png", "colorize/grey-1.hints.png")
    inbox.sorter.set_recipes([recipe("interpolate"), recipe("colorize")])
    assert short(inbox.later()) == [
        ("colorize", ["colorize/grey-1.hints.png"], "grey-1.hints"),
        ("interpolate", ["interpolate/x-a.png"], "x-a"),
    ]


def test_originals_left_in_place_complete_a_pair_when_one_half_changes(tmp_path: Path) -> None:
    inbox = SortedInbox(tmp_path, originals="leave")
    assert len(inbox.drop("interpolate/x-a.png", "interpolate/x-b.png")) == 1
    assert inbox.later() == ()
    inbox.put("interpolate/x-b.png", size=9)
    (claim,) = inbox.arrive("interpolate/x-b.png").claims
    assert [arrival.relative.name for arrival in claim.arrivals] == ["x-a.png", "x-b.png"]
    assert inbox.later(WAIT_S) == ()
    assert inbox.waiting() == {}


def test_hints_left_in_place_are_used_again_when_the_photograph_changes(tmp_path: Path) -> None:
    inbox = SortedInbox(tmp_path, originals="leave")
    inbox.drop("colorize/grey-1.jpg", "colorize/grey-1.hints.png")
    inbox.put("colorize/grey-1.jpg", size=9)
    (claim,) = inbox.arrive("colorize/grey-1.jpg").claims
    assert claim.hints is not None
    inbox.put("colorize/grey-1.hints.png", size=7)
    (claim,) = inbox.arrive("colorize/grey-1.hints.png").claims
    assert claim.arrivals[0].relative.name == "grey-1.jpg"


class ReadsLater(ReadsNow):
    """Answers questions when a test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[tuple[Question, Answered]] = []

    def ask(self, question: Question, answered: Answered) -> None:
        self.open.append((question, answered))

    def answer_one(self) -> None:
        super().ask(*self.open.pop(0))


def test_it_is_full_while_many_headers_are_awaited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sorter, "_MAX_AWAITED", 3)
    inbox, reads = SortedInbox(tmp_path), ReadsLater()
    inbox.sorter = Sorter(RECIPES, reads=reads, pair_wait_s=WAIT_S)
    inbox.drop("1.png", "2.png")
    assert not inbox.sorter.is_full
    inbox.drop("3.png")
    assert inbox.sorter.is_full
    reads.answer_one()
    assert not inbox.sorter.is_full
    assert [claim.stem for claim in inbox.later()] == ["1"]


def test_of_very_many_files_that_wait_each_is_looked_at_in_some_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sorter, "_MAX_LOOKS", 2)
    inbox = SortedInbox(tmp_path)
    names = [f"interpolate/{number}-a.png" for number in range(5)]
    inbox.drop(*names)
    looks: list[str] = []
    real = os.lstat

    def counted(path: str) -> os.stat_result:
        looks.append(path)
        return real(path)

    monkeypatch.setattr(os, "lstat", counted)
    for turn in range(3):
        inbox.later()
        assert len(looks) == min(5, 2 * turn + 2)
    assert len(set(looks)) == 5


def test_hints_of_nearly_the_right_name_are_named_and_their_photograph_waits(
    inbox: SortedInbox,
) -> None:
    assert inbox.drop("colorize/grey-1.hint.png", "colorize/grey-1.jpg") == ()
    assert inbox.later(WAIT_S) == ()
    meant = "did you mean grey-1.hints.png? Rename it, or move it away"
    assert inbox.waiting() == {
        "colorize/grey-1.hint.png": meant,
        "colorize/grey-1.jpg": f"grey-1.hint.png is not read as its hints; {meant}",
    }
    (inbox.root / "colorize/grey-1.hint.png").rename(inbox.root / "colorize/grey-1.hints.png")
    assert short(inbox.arrive("colorize/grey-1.hints.png").claims) == [
        ("colorize", ["colorize/grey-1.jpg", "colorize/grey-1.hints.png"], "grey-1")
    ]


def test_a_photograph_goes_on_once_the_misnamed_file_is_gone(inbox: SortedInbox) -> None:
    assert inbox.drop("colorize/grey-2.jpg", "colorize/grey-2.hint.png") == ()
    (inbox.root / "colorize/grey-2.hint.png").unlink()
    assert short(inbox.later()) == [("colorize", ["colorize/grey-2.jpg"], "grey-2")]


def test_misnamed_hints_that_come_first_are_no_photograph(inbox: SortedInbox) -> None:
    inbox.put("colorize/grey-1.jpg")
    assert inbox.drop("colorize/grey-1.hint.png") == ()
    assert inbox.arrive("colorize/grey-1.jpg").claims == ()


def test_where_no_recipe_reads_them_or_the_right_one_is_there_misnamed_files_are_photographs(
    inbox: SortedInbox,
) -> None:
    claims = inbox.drop("denoise/a.msk.png", "denoise/a.jpg", "colorize/grey-1.jpg")
    claims += inbox.drop(
        "colorize/grey-3.jpg", "colorize/grey-3.hints.png", "colorize/grey-3.hint.png"
    )
    assert short(claims) == [
        ("colorize", ["colorize/grey-1.jpg"], "grey-1"),
        ("colorize", ["colorize/grey-3.hint.png"], "grey-3.hint"),
        ("colorize", ["colorize/grey-3.jpg", "colorize/grey-3.hints.png"], "grey-3"),
        ("denoise", ["denoise/a.jpg"], "a"),
        ("denoise", ["denoise/a.msk.png"], "a.msk"),
    ]
