import errno
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from daemon.cli.main import exit_code
from daemon.config.station_setup import recipe_for
from daemon.executors import EXECUTORS
from daemon.messages.tasks import Compute
from daemon.photo import Limits
from daemon.service.apply import Applied, apply
from daemon.service.apply_plan import ApplyOptions, photographs_of
from daemon.system.errors import CannotWriteError, ConfigError, UsageError
from tests.support.fakes import everything_below

COMPUTE = Compute(limits=Limits())


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXECUTORS, "inline", "tests.support.fakes:FakeExecutor")


def photograph(path: Path, grey: int = 90) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 6), grey).save(path)
    return path


def run(recipe: str, inputs: list[Path], to: Path, **options: object) -> list[Applied]:
    return list(apply(recipe_for(recipe), inputs, ApplyOptions(to, **options), COMPUTE))  # type: ignore[arg-type]


def test_results_lie_in_the_folder_and_originals_are_untouched(tmp_path: Path) -> None:
    one, two = photograph(tmp_path / "in/one.png"), photograph(tmp_path / "in/two.jpg", 30)
    before = everything_below(tmp_path / "in")
    done = run("denoise", [one, two], tmp_path / "out")
    assert [applied.result for applied in done] == [
        tmp_path / "out/one.png", tmp_path / "out/two.png",
    ]  # fmt: skip
    assert everything_below(tmp_path / "in") == before
    assert everything_below(tmp_path / "out") == {
        "one.png": before["one.png"][::-1],
        "two.png": before["two.jpg"][::-1],
    }


def test_a_result_names_its_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # the executor of the program, not the fake one
    photo = tmp_path / "a.png"
    Image.linear_gradient("L").point(lambda level: 90 + level // 4).save(photo)
    (done,) = run("unfade", [photo], tmp_path / "out", record=True)
    assert done.result is not None
    record = json.loads(Path(f"{done.result}.json").read_text())
    said = {key: record[key] for key in ("job", "restored", "recipe_digest", "models", "seed")}
    text = json.dumps(said, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert record["provenance_digest"] == digest
    assert f"record {digest}".encode() in done.result.read_bytes()


def test_one_broken_photograph_fails_and_its_neighbours_do_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = photograph(tmp_path / "good.png")
    text, broken = tmp_path / "text.png", photograph(tmp_path / "broken.png")
    text.write_text("no picture")
    arguments = ["apply", "denoise", str(text), str(broken), str(good), "-o", str(tmp_path / "o")]
    assert exit_code(arguments) == 65
    assert list(everything_below(tmp_path / "o")) == ["good.png"]
    said = capsys.readouterr()
    assert "text.png" in said.err
    assert f"restored: {broken}: it ends early\n" in said.err
    assert "good.png" in said.out


def test_the_notes_of_a_result_are_printed_below_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = [photograph(tmp_path / name) for name in ("noted.png", "plain.png")]
    assert exit_code(["apply", "denoise", *map(str, photos), "-o", str(tmp_path / "o")]) == 0
    noted, note, plain, last = capsys.readouterr().out.splitlines()
    assert noted.startswith(str(tmp_path / "o/noted.png"))
    assert note == "    the colours are a guess"
    assert plain.startswith(str(tmp_path / "o/plain.png"))
    assert last == f"2 restored, in {tmp_path / 'o'}"


def test_an_existing_result_is_kept_unless_forced(tmp_path: Path) -> None:
    photo = photograph(tmp_path / "in/x.png")
    target = tmp_path / "x.png"
    target.write_bytes(b"mine")
    arguments = ["apply", "denoise", str(photo), "-o", str(target)]
    assert exit_code(arguments) == 73
    assert target.read_bytes() == b"mine"
    assert exit_code([*arguments, "--force"]) == 0
    assert target.read_bytes() == photo.read_bytes()[::-1]


def test_force_does_not_replace_an_original(tmp_path: Path) -> None:
    photo = photograph(tmp_path / "x.png")
    before = photo.read_bytes()
    with pytest.raises(CannotWriteError, match="is an original"):
        run("denoise", [photo], tmp_path, force=True)
    assert photo.read_bytes() == before


def test_two_inputs_of_one_name_are_refused_before_anything_is_done(tmp_path: Path) -> None:
    inputs = [photograph(tmp_path / "a/x.png"), photograph(tmp_path / "b/x.jpg")]
    with pytest.raises(UsageError, match="would both become"):
        run("denoise", inputs, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_interpolate_takes_two_photographs_as_one_job(tmp_path: Path) -> None:
    pair = [photograph(tmp_path / "a.png"), photograph(tmp_path / "b.png", 200)]
    (done,) = run("interpolate", pair, tmp_path / "out.webp")
    assert done.result == tmp_path / "out.webp"
    with pytest.raises(UsageError, match="takes pairs; 1 photographs are given"):
        run("interpolate", pair[:1], tmp_path / "out")


def test_side_files_go_with_their_photograph_even_when_a_glob_names_them(tmp_path: Path) -> None:
    photo = photograph(tmp_path / "grey.png")
    hints = photograph(tmp_path / "grey.hints.png", 7)
    (alone,) = run("colorize", [photo], tmp_path / "one", record=True)
    (done,) = run("colorize", [hints, photo], tmp_path / "two", record=True)
    assert done.photo == photo
    records = [json.loads(Path(f"{one.result}.json").read_text()) for one in (alone, done)]
    assert [i["role"] for i in records[1]["inputs"]] == ["photo", "hints"]
    assert [o["file"] for o in records[1]["outputs"]] == ["grey.png"]
    assert records[0] == {**records[1], "at": records[0]["at"]}


def test_a_seed_replaces_the_jobs_own_which_otherwise_repeats(tmp_path: Path) -> None:
    photo = photograph(tmp_path / "x.png")
    seeds = []
    for folder, options in (("a", {}), ("b", {}), ("c", {"seed": 5})):
        run("denoise", [photo], tmp_path / folder, record=True, **options)
        seeds.append(json.loads((tmp_path / folder / "x.png.json").read_text())["seed"])
    assert seeds[0] == seeds[1] != 5
    assert seeds[2] == 5


def test_a_recipe_file_is_taken_and_an_unknown_name_refused(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text('[[steps]]\nkind = "denoise"\nrealism = 0.25\n')
    assert recipe_for(str(own)).steps[0].realism == 0.25  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match="no recipe is named 'sharpen'"):
        recipe_for("sharpen")


def test_a_file_with_an_unknown_suffix_is_refused(tmp_path: Path) -> None:
    photo = photograph(tmp_path / "x.png")
    with pytest.raises(UsageError, match=r"out\.xyz: unknown suffix; use one of"):
        run("denoise", [photo], tmp_path / "out.xyz")


def test_an_error_names_the_photograph_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "scans"
    folder.mkdir()
    (folder / "text.jpg").write_text("no picture")
    (folder / "empty.png").touch()
    (folder / "short.gif").write_bytes(b"GIF89a")
    (folder / "ideas.txt").write_text("a red cat\n")
    whole = photograph(folder / "whole.png").read_bytes()
    # The signature, the header and then nothing that could be decoded.
    (folder / "broken.png").write_bytes(whole[:33] + b"\x00\x00\x00\x04IDATxxxx0000" * 4)
    names = ("text.jpg", "empty.png", "short.gif", "ideas.txt", "broken.png", "missing.png")
    arguments = [*(str(folder / name) for name in names), "-o", str(tmp_path / "out")]
    assert exit_code(["apply", "denoise", *arguments]) == 65
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("restored:")]
    assert len(lines) == len(names)
    for name in names:
        (line,) = [line for line in lines if name in line]
        assert line.startswith(f"restored: {folder / name}: ")
        assert line.count(name) == 1, line
        assert "Errno" not in line


def test_the_second_of_a_pair_is_named_where_it_is_at_fault(tmp_path: Path) -> None:
    pair = [photograph(tmp_path / "a.png"), tmp_path / "b.png"]
    pair[1].touch()
    (done,) = run("interpolate", pair, tmp_path / "out.webp")
    assert done == Applied(pair[0], None, "b.png: the file has 0 bytes; expected a photograph")


def test_a_prompt_file_among_photographs_is_named_with_what_the_recipe_takes(
    tmp_path: Path,
) -> None:
    ideas = tmp_path / "ideas.txt"
    ideas.write_text("a red cat\n")
    (done,) = run("denoise", [ideas], tmp_path / "out")
    assert done.why == "recipe denoise takes photographs, not files of prompts"


def test_a_folder_that_cannot_be_made_is_a_write_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = photograph(tmp_path / "x.png")
    real = Path.mkdir

    def mkdir(path: Path, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        if path == tmp_path / "out":
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        real(path, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    assert exit_code(["apply", "denoise", str(photo), "-o", str(tmp_path / "out")]) == 73
    assert f"restored: {tmp_path / 'out'}: Read-only file system" in capsys.readouterr().err


def test_a_disk_that_is_full_for_a_result_is_a_write_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = [str(photograph(tmp_path / name)) for name in ("full.png", "broken.png", "x.png")]
    assert exit_code(["apply", "denoise", *photos, "-o", str(tmp_path / "out")]) == 73
    said = capsys.readouterr().err
    where = tmp_path / "out"
    assert f"restored: {photos[0]}: {where}: its disk is full; free some space\n" in said
    assert f"restored: {photos[1]}: it ends early\n" in said
    assert (where / "x.png").exists()


@pytest.mark.parametrize("record", [False, True])
def test_a_result_that_cannot_be_placed_is_a_write_error(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    record: bool,
) -> None:
    def place(source: Path, target: Path) -> bool:
        if record and target.suffix == ".png":
            source.rename(target)
            return True
        raise OSError(errno.EROFS, "Read-only file system", str(target))

    monkeypatch.setattr("daemon.service.apply.place", place)
    photo = photograph(tmp_path / "a.png")
    command = ["fix", str(photo), *["--record"] * record]
    assert exit_code(command) == 73
    assert f"restored: {photo}: {tmp_path}: Read-only file system\n" in capsys.readouterr().err


def test_a_sheet_that_cannot_be_written_is_a_write_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def place(source: Path, target: Path) -> bool:
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    monkeypatch.undo()  # its results are pictures
    photo = photograph(tmp_path / "a.png")
    monkeypatch.setattr("daemon.service.comparison_sheet.place", place)
    assert exit_code(["fix", str(photo), "--compare"]) == 73


def test_fix_puts_results_beside_the_photographs_and_knows_them_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = photograph(tmp_path / "one.png"), photograph(tmp_path / "more/two.jpg", 30)
    mask = photograph(tmp_path / "one.mask.png")
    (tmp_path / "list.txt").write_text("no photograph")
    before = everything_below(tmp_path)
    assert exit_code(["fix", str(tmp_path), str(two)]) == 0
    after = everything_below(tmp_path)
    results = {"one.restored.png": before["one.png"], "more/two.restored.png": two.read_bytes()}
    assert after == {**before, **{name: content[::-1] for name, content in results.items()}}
    said = capsys.readouterr().out
    assert f"{tmp_path}/one.restored.png  " in said
    everything = [str(path) for path in (one, mask, two, *tmp_path.rglob("*.restored.png"))]
    new = photograph(tmp_path / "new.png")
    assert exit_code(["fix", *everything, str(new)]) == 0
    assert everything_below(tmp_path) == {
        **after, "new.png": new.read_bytes(), "new.restored.png": new.read_bytes()[::-1],
    }  # fmt: skip
    out, err = capsys.readouterr()
    last = "2 left alone, restored before: --force does them anew"
    assert out.splitlines()[1:] == [f"1 restored, beside the photographs; {last}"]
    assert err == ""
    (tmp_path / "new.png").unlink()
    (tmp_path / "new.restored.png").unlink()
    assert exit_code(["fix", *everything, "--force"]) == 0
    assert everything_below(tmp_path) == after


def test_fix_takes_a_folder_or_a_file_for_its_results(tmp_path: Path) -> None:
    photo = photograph(tmp_path / "in/one.jpg")
    assert exit_code(["fix", str(photo.parent), "-o", str(tmp_path / "out")]) == 0
    assert exit_code(["fix", str(photo), "-o", str(tmp_path / "x.png")]) == 0
    assert set(everything_below(tmp_path)) >= {"in/one.jpg", "out/one.png", "x.png"}
    assert set(everything_below(tmp_path / "in")) == {"one.jpg"}


def test_a_result_that_lies_alone_is_a_photograph_like_any(tmp_path: Path) -> None:
    photo = photograph(tmp_path / "one.restored.png")
    assert photographs_of(recipe_for("restore"), [tmp_path]) == [photo]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="empty holds no photographs"):
        photographs_of(recipe_for("restore"), [tmp_path / "empty"])


def test_keys_of_steps_are_changed_for_one_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = photograph(tmp_path / "x.png")
    out = ["-o", str(tmp_path / "out"), "--record"]
    keys = ["--scale", "4", "--realism", "0.25", "--set", "super-resolve.consistent=true"]
    assert exit_code(["apply", "super-resolve", str(photo), *out, *keys]) == 0
    (step,) = json.loads((tmp_path / "out/x.png.json").read_text())["steps"]
    assert (step["scale"], step["realism"], step["consistent"]) == (4, 0.25, True)
    assert exit_code(["apply", "denoise", str(photo), *out, "--set", "denoise.realsim=1"]) == 64
    assert "steps[0].realsim is not a known key; did you mean realism?" in capsys.readouterr().err


def real_pictures(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[Path]:
    monkeypatch.undo()  # results of the fake executor are no pictures
    gradient = Image.linear_gradient("L").point(lambda level: 90 + level // 4)
    photos = [folder / "one.png", folder / "two.png"]
    for photo in photos:
        gradient.save(photo)
    return photos


def test_several_recipes_have_a_folder_each_and_one_sheet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = real_pictures(monkeypatch, tmp_path)
    own = tmp_path / "own.toml"
    own.write_text('[[steps]]\nkind = "unfade"\nstrength = 0.5\n')
    out = tmp_path / "out"
    arguments = ["apply", f"unfade,{own}", *map(str, photos), "-o", str(out), "--compare"]
    assert exit_code(arguments) == 0
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*.png")) == [
        "one.compare.png", "own/one.png", "own/two.png",
        "two.compare.png", "unfade/one.png", "unfade/two.png",
    ]  # fmt: skip
    assert f"{out}/one.compare.png\n" in capsys.readouterr().out
    with Image.open(out / "one.compare.png") as sheet:
        assert sheet.width == 3 * (480 + 12) + 12


def test_a_sheet_lies_beside_the_result_and_is_no_photograph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo, _ = real_pictures(monkeypatch, tmp_path)
    fix = ["fix", str(photo), "--compare", "--set", "inpaint.when={noise_above=200}"]
    assert exit_code(fix) == 0
    assert set(everything_below(tmp_path)) == {
        "one.png", "one.restored.png", "one.compare.png", "two.png",
    }  # fmt: skip
    (tmp_path / "two.png").unlink()
    assert photographs_of(recipe_for("restore"), [tmp_path]) == [photo]
    assert exit_code([*fix, "-o", str(tmp_path / "mine.png")]) == 0
    assert (tmp_path / "mine.compare.png").exists()


def test_a_sheet_replaces_no_original(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    photo, other = real_pictures(monkeypatch, tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    original = other.rename(out / "one.compare.png")
    before = original.read_bytes()
    arguments = ["apply", "unfade,restore", str(photo), str(original), "-o", str(out)]
    assert exit_code([*arguments, "--compare", "--force"]) == 65
    assert f"{original}: not drawn" in capsys.readouterr().err
    assert original.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["denoise,denoise", "-o", "out"], "a recipe is named twice"),
        (["denoise,restore", "-o", "out.png"], "several recipes need a folder"),
        (["denoise,shrpen", "-o", "out"], "no recipe is named 'shrpen'"),
        ([",".join(f"shrpen{n}" for n in range(40)), "-o", "out"], "no recipe is named 'shrpen0'"),
    ],
)
def test_recipes_that_do_not_go_together_are_refused(
    tmp_path: Path,
    arguments: list[str],
    why: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    photo = photograph(tmp_path / "x.png")
    assert exit_code(["apply", *arguments, str(photo)]) in (64, 78)
    assert why in capsys.readouterr().err
    assert set(everything_below(tmp_path)) == {"x.png"}


def test_a_side_file_of_nearly_the_right_name_is_noted(tmp_path: Path) -> None:
    photo = photograph(tmp_path / "grey-cup.png")
    photograph(tmp_path / "grey-cup.hint.png", 7)
    (done,) = run("colorize", [photo], tmp_path / "one")
    note = "grey-cup.hint.png is not read as its hints; did you mean grey-cup.hints.png?"
    assert [str(each) for each in done.notes][-1:] == [note]
    (tmp_path / "grey-cup.hint.png").rename(tmp_path / "grey-cup.hints.png")
    (done,) = run("colorize", [photo], tmp_path / "two")
    assert note not in done.notes


def test_photographs_that_the_recipe_refuses_stay_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("grey.png", "parrot.png"):
        photograph(tmp_path / "in" / name)
    arguments = ["apply", "colorize", str(tmp_path / "in"), "-o", str(tmp_path / "out")]
    assert exit_code(arguments) == 65
    assert list(everything_below(tmp_path / "out")) == ["grey.png"]
    said = capsys.readouterr()
    assert said.err == (
        f"restored: {tmp_path / 'in/parrot.png'}: recipe colorize refuses it: it has 30.0 levels "
        "of colour; grey = true, and up to 7 is grey; --any-photo takes it all the same\n"
    )
    last = f"1 restored, in {tmp_path / 'out'}; 1 failed, for the reasons above"
    assert said.out.splitlines()[-1] == last
    assert exit_code([*arguments, "--any-photo", "--force"]) == 0
    assert list(everything_below(tmp_path / "out")) == ["grey.png", "parrot.png"]


def test_size_and_name_of_a_photograph_are_asked_but_not_the_suffix_of_a_named_file(
    tmp_path: Path,
) -> None:
    own = tmp_path / "own.toml"
    own.write_text('[match]\nmin_megapixels = 1\n[[steps]]\nkind = "denoise"\n')
    photo = photograph(tmp_path / "a.png").rename(tmp_path / "a.scan")
    (small,) = run(str(own), [photo], tmp_path / "out")
    why = "recipe own refuses it: it has 0.00 megapixels, fewer than 1.0"
    assert small.why == f"{why}; --any-photo takes it all the same"
    (done,) = run("denoise", [photo], tmp_path / "out")
    assert done.result == tmp_path / "out/a.png"


def test_what_cannot_be_measured_fails_once(tmp_path: Path) -> None:
    photos = [photograph(tmp_path / name) for name in ("broken.png", "bug-grey.png")]
    done = {each.photo.name: each.why for each in run("colorize", photos, tmp_path / "out")}
    assert done["broken.png"] == "it ends early"
    assert done["bug-grey.png"].startswith("KeyError: 'x'")
