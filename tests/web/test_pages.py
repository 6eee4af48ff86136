"""What people see of the queue, of results and of failures, and what they can ask for there."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from starlette.testclient import TestClient

from daemon.config.station import Station
from daemon.config.station_setup import find_station, make_station
from daemon.executors import EXECUTORS
from daemon.intake.requests import AgainRequest, ChooseRequest, ReloadRequest, waiting_requests
from daemon.service.record_words import record_in_words
from daemon.web.language import chosen_language, languages, read_catalogue
from tests.support.copiers import CopierThread
from tests.support.file_reads import ReaderThread
from tests.support.station_runs import drop_photo, run_once, write_settings
from tests.support.web_site import csrf_of, open_site, visit

BROKEN, PHOTOS = "broken.png", 4


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    """A station where three photographs were restored, one failed and one waits."""
    root = tmp_path_factory.mktemp("pages") / "station"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(EXECUTORS, "fake", "tests.support.fakes:FakeExecutor")
        patch.setattr("daemon.intake.file_reader.ReaderProcess", ReaderThread)
        patch.setattr("daemon.jobs.file_copies.start_copier", CopierThread)
        make_station(root)
        write_settings(root)
        for number in range(PHOTOS - 1):
            drop_photo(root, f"denoise/<b>{number}&.png", size=8 + number)
        drop_photo(root, "denoise/plain.png", size=20)
        drop_photo(root, f"denoise/{BROKEN}")
        run_once(root)
        (root / "outbox/denoise/<b>0&.png").write_bytes(
            (root / "archive/denoise/<b>1&.png").read_bytes()
        )
        yield find_station(root)


@pytest.fixture(scope="module")
def browser(station: Station) -> Iterator[TestClient]:
    with visit(open_site(station.root)) as client:
        yield client


def rows(browser: TestClient, path: str) -> dict[str, int]:
    return {job["name"]: job["row"] for job in browser.get(path).json()["jobs"]}


def asked(station: Station) -> list[object]:
    """What was asked of the daemon since the last call."""
    found = [one.request for one in waiting_requests(station)]
    for path in station.requests.glob("*.json"):
        path.unlink()
    return list(found)


def test_results_are_shown_with_names_that_are_only_text(browser: TestClient) -> None:
    text = browser.get("/").text
    assert text.count('class="card"') == PHOTOS
    assert "&lt;b&gt;0&amp;.png" in text
    assert "<b>0" not in text


def test_results_come_in_pages_that_do_not_change(browser: TestClient) -> None:
    found, after = [], ""
    while True:
        page = browser.get("/api/results", params={"limit": 2, "after": after}).json()
        found += [job["row"] for job in page["jobs"]]
        after = page["next"]
        if not after:
            break
    assert len(found) == len(set(found)) == PHOTOS
    assert browser.get("/api/results?recipe=colorize").json()["jobs"] == []
    assert browser.get("/api/results?after=nonsense").json()["jobs"]


def test_a_result_has_its_pictures_its_record_in_words_and_its_files(browser: TestClient) -> None:
    row = rows(browser, "/api/results")["<b>0&.png"]
    details = browser.get(f"/api/jobs/{row}").json()
    assert details["words"] == ["noise and compression removed"]
    assert details["record"]["recipe"] == "denoise"
    text = browser.get(f"/jobs/{row}").text
    assert "noise and compression removed" in text
    original = browser.get(f"/api/jobs/{row}/files/original")
    assert original.headers["content-type"] == "image/png"
    assert original.headers["content-disposition"] == (
        "attachment; filename*=UTF-8''%3Cb%3E0%26.png"
    )
    drawn = browser.get(f"/api/jobs/{row}/pictures/original", params={"width": 16})
    assert (drawn.headers["content-type"], drawn.headers["x-picture-size"]) == ("image/jpeg", "8x8")


def test_a_part_of_a_picture_is_drawn_as_large_as_it_is(
    browser: TestClient, tmp_path: Path
) -> None:
    row = rows(browser, "/api/results")["<b>0&.png"]
    part = {"left": 0.5, "right": 1.0, "lossless": True}
    answer = browser.get(f"/api/jobs/{row}/pictures/original", params=part)
    (tmp_path / "part.png").write_bytes(answer.content)
    with Image.open(tmp_path / "part.png") as image:
        assert (image.size, image.convert("RGB").getpixel((0, 0))) == ((4, 8), (255, 0, 0))


def test_what_cannot_be_shown_is_said(browser: TestClient) -> None:
    results = rows(browser, "/api/results")
    row = results["<b>2&.png"]  # the stand-in turned the bytes of its result round
    answer = browser.get(f"/api/jobs/{row}/pictures/result")
    assert answer.status_code == 404
    assert "result" not in answer.json()["error"]
    for path in ("99", "0", "1/pictures/nothing", "1/pictures/original-2", "1/files/result-x"):
        assert browser.get(f"/api/jobs/{path}").status_code == 404, path
    assert browser.get("/jobs/99").status_code == 404
    backwards = {"left": 0.6, "right": 0.5}
    assert browser.get(f"/api/jobs/{row}/pictures/original", params=backwards).status_code == 422


def test_a_failure_has_its_reason_and_can_be_tried_again(
    browser: TestClient, station: Station
) -> None:
    page = browser.get("/failed")
    assert "it ends early" in page.text
    (row,) = rows(browser, "/api/failures").values()
    answer = browser.post(f"/jobs/{row}/retry", data={"csrf": csrf_of(page.text)})
    assert answer.headers["location"] == "/failed?said=retried"
    assert (station.inbox / "denoise" / BROKEN).exists()
    assert "Nothing has failed." in browser.get("/failed").text
    assert browser.post(f"/jobs/{row}/retry", data={"csrf": csrf_of(page.text)}).status_code == 404
    queue = browser.get("/queue").text
    assert re.search(r"<th scope=\"row\">denoise</th><td>1</td>", queue)


def test_other_recipes_strengths_and_seeds_are_asked_for(
    browser: TestClient, station: Station
) -> None:
    row = rows(browser, "/api/results")["<b>0&.png"]
    token = csrf_of(browser.get(f"/jobs/{row}").text)
    asked(station)

    def ask(**form: str) -> int:
        return browser.post(f"/jobs/{row}/again", data={"csrf": token, **form}).status_code

    assert ask(how="recipe", recipe="colorize") == 303
    assert asked(station) == [AgainRequest(row=row, recipe="colorize")]
    assert ask(how="strength", key="0.realism", value="0.25") == 303
    assert asked(station) == [AgainRequest(row=row, recipe="denoise", changes=("0.realism=0.25",))]
    assert ask(how="sweep", key="0.realism") == 303
    sweep = [one.changes for one in asked(station)]  # type: ignore[attr-defined]
    assert sweep == [(f"0.realism={value:g}",) for value in (0.2, 0.4, 0.6, 0.8, 1.0)]
    assert ask(how="seeds") == 303
    assert len({one.changes for one in asked(station)}) == 4  # type: ignore[attr-defined]
    assert ask(how="strength", key="0.model", value="1") == 422
    assert ask(how="strength", key="0.realism", value="x") == 422
    assert asked(station) == []


def test_the_api_asks_for_the_same(browser: TestClient, station: Station) -> None:
    row = rows(browser, "/api/results")["<b>0&.png"]
    headers = {"x-csrf-token": csrf_of(browser.get("/").text)}
    asked(station)
    body = {"recipe": "colorize", "changes": ["colorize.saturation=1"]}
    answer = browser.post(f"/api/jobs/{row}/again", json=body, headers=headers)
    request_id = answer.json()["request"]
    assert browser.get(f"/api/requests/{request_id}").json() == {"state": "waiting", "reason": ""}
    assert browser.get("/api/requests/..%2Fx").status_code == 404
    answer = browser.post(f"/api/jobs/{row}/choose", json={"others": [5]}, headers=headers)
    assert asked(station) == [
        AgainRequest(row=row, recipe="colorize", changes=("colorize.saturation=1",)),
        ChooseRequest(row=row, others=(5,)),
    ]
    assert browser.post("/api/jobs/99/again", json={}, headers=headers).status_code == 404
    wrong = browser.post(f"/api/jobs/{row}/again", json={"recipe": "A"}, headers=headers)
    assert wrong.status_code == 422
    assert browser.post("/api/pause", content=b"[", headers=headers).status_code == 400


def test_a_mask_goes_into_the_inbox_with_a_copy_of_its_photograph(
    browser: TestClient, station: Station
) -> None:
    row = rows(browser, "/api/results")["<b>1&.png"]
    text = browser.get(f"/jobs/{row}/mark").text
    assert '<option data-side="mask">inpaint</option>' in text
    headers = {"x-csrf-token": csrf_of(text)}
    path, png = f"/api/jobs/{row}/mark", b"\x89PNG\r\n\x1a\nmask"

    def send(role: str, recipe: str, body: bytes = png) -> int:
        query = {"role": role, "recipe": recipe}
        return browser.post(path, params=query, content=body, headers=headers).status_code

    assert send("mask", "inpaint") == 422  # its name is one that no inbox takes
    row = rows(browser, "/api/results")["plain.png"]
    path = f"/api/jobs/{row}/mark"
    assert send("mask", "inpaint") == 200
    (folder,) = (station.inbox / "inpaint").iterdir()
    original = (station.archive / "denoise/plain.png").read_bytes()
    found = {one.name: one.read_bytes() for one in folder.iterdir()}
    assert found == {"plain.mask.png": png, "plain.png": original}
    assert send("hints", "inpaint") == 422
    assert send("mask", "inpaint", b"GIF89a") == 422
    assert send("mask", "no-such") == 422
    assert browser.get("/jobs/99/mark").status_code == 404


def test_a_recipe_is_checked_saved_and_removed(browser: TestClient, station: Station) -> None:
    headers = {"x-csrf-token": csrf_of(browser.get("/recipes/denoise").text)}
    asked(station)

    def check(source: str, name: str = "mine") -> str:
        path = f"/api/recipes/{name}/check"
        error = browser.post(path, json={"source": source}, headers=headers).json()["error"]
        return str(error)

    good = '[[steps]]\nkind = "denoise"\nrealism = 0.3\n'
    assert check(good) == ""
    assert "realism" in check(good.replace("0.3", "3"))
    assert "only pulled models" in check(good + 'model = "/etc/passwd"\n')
    assert "small letters" in check(good, "No.Name")
    assert "call it" in check('name = "other"\n' + good)
    assert check("[[steps") != ""
    token = headers["x-csrf-token"]
    form = {"csrf": token, "name": "mine", "source": good.replace("\n", "\r\n"), "is_new": "1"}
    answer = browser.post("/recipes/save", data=form)
    assert answer.headers["location"] == "/recipes/mine?said=saved"
    assert (station.recipes / "mine.toml").read_text() == good
    shown = browser.post("/recipes/save", data=form | {"source": "x", "name": "new"})
    assert (shown.status_code, 'name="source"' in shown.text) == (422, True)
    for name in ("..", "a/b", "../../restored"):
        assert browser.post("/recipes/save", data=form | {"name": name}).status_code == 422
    assert browser.delete("/api/recipes/denoise", headers=headers).status_code == 404
    assert browser.delete("/api/recipes/mine", headers=headers).status_code == 200
    assert asked(station) == [ReloadRequest()] * 2
    assert sorted(station.recipes.iterdir()) == []


def test_folders_are_submitted_below_those_that_the_settings_name(
    browser: TestClient, station: Station, tmp_path: Path
) -> None:
    headers = {"x-csrf-token": csrf_of(browser.get("/bulk").text)}
    drop_photo(tmp_path, "a.png")
    body = {"recipe": "denoise", "folders": [str(tmp_path)]}
    refused = browser.post("/api/bulk", json=body, headers=headers)
    assert (refused.status_code, "web_roots" in refused.json()["error"]) == (422, True)
    assert browser.post("/api/bulk/none/pause", json={}, headers=headers).status_code == 404


def test_the_state_names_disks_and_the_version(browser: TestClient) -> None:
    text = browser.get("/state").text
    assert "does not run" in text
    assert "inbox, outbox, archive, failed, .restored" in text
    assert browser.get("/api/health").json()["running"] is False
    assert browser.get("/api/state").json()["recipes"][0]["recipe"] == "denoise"


def test_a_station_on_which_no_daemon_ever_ran_has_pages(tmp_path: Path) -> None:
    make_station(tmp_path)
    with visit(open_site(tmp_path)) as client:
        for path in ("/", "/queue", "/failed", "/state", "/bulk", "/api/jobs", "/api/results"):
            assert client.get(path).status_code == 200, path
        assert client.get("/jobs/1").status_code == 404


def test_pages_come_in_the_language_of_the_visitor(browser: TestClient) -> None:
    german = browser.get("/", headers={"accept-language": "de-AT,de;q=0.9,en;q=0.5"})
    assert '<html lang="de"' in german.text
    assert "Ergebnisse" in german.text
    assert '<html lang="en"' in browser.get("/", headers={"accept-language": "fr, en"}).text
    answer = browser.get("/language?code=de&next=//evil.example")
    assert answer.headers["location"] == "/"
    assert "Ergebnisse" in browser.get("/").text
    browser.get("/language?code=en")
    assert chosen_language("", "de;q=x, *").code == "en"


def test_every_message_has_its_german(browser: TestClient) -> None:
    folder = Path(__file__).parents[2] / "daemon/web"
    templates = "".join(path.read_text() for path in folder.glob("templates/*.html"))
    messages = set(re.findall(r'\b_\("((?:[^"\\]|\\.)+)"', templates))
    messages |= set(re.findall(r"\b_\('([^']+)'", templates))
    modules = "".join(path.read_text() for path in folder.glob("*.py"))
    messages |= set(re.findall(r'\b_\(\s*"((?:[^"\\]|\\.)+)"', modules))
    german = languages()["de"]
    missing = sorted(messages - german.messages.keys())
    assert missing == []
    for english, said in german.messages.items():
        places = re.findall(r"%\(\w+\)[.\d]*\w|%%", english)
        assert sorted(places) == sorted(re.findall(r"%\(\w+\)[.\d]*\w|%%", said)), english


def test_a_catalogue_reads_text_over_lines_and_counts() -> None:
    text = (
        'msgid ""\nmsgstr "Language: xx\\n"\n\n# said\nmsgid "a "\n"b"\nmsgstr "c\\"d"\n\n'
        'msgid "%(number)s day"\nmsgid_plural "%(number)s days"\n'
        'msgstr[0] "%(number)s Tag"\nmsgstr[1] "%(number)s Tage"\n'
    )
    found = read_catalogue("xx", text)
    assert (found.gettext("a b"), found.gettext("z")) == ('c"d', "z")
    assert found.ngettext("%(number)s day", "", 2) == "%(number)s Tage"
    with pytest.raises(ValueError, match=r"xx\.po: not a line"):
        read_catalogue("xx", "nonsense")


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (
            {
                "steps": [{"kind": "denoise"}],
                "measures": [{"step": 0, "name": "noise", "value": 12}],
            },
            ["noise of 12 levels removed"],
        ),
        (
            {
                "steps": [{"kind": "denoise"}],
                "measures": [
                    {"step": 0, "name": "noise", "value": 0.4},
                    {"step": 0, "name": "blocks", "value": 1.8},
                ],
            },
            ["noise and compression removed"],
        ),
        (
            {
                "steps": [{"kind": "inpaint", "find": True}],
                "measures": [{"step": 0, "name": "filled", "value": 0.0}],
                "notes": ["no scratches were found"],
                "note_kinds": ["nothing_found"],
            },
            ["no scratches found"],
        ),
        (
            {
                "steps": [{"kind": "denoise"}, {"kind": "colorize"}],
                "measures": [{"step": 1, "name": "unsure", "value": 0.057}],
                "notes": ["denoise was not needed: clean", "the colours are a guess", "16 bits"],
                "note_kinds": ["not_needed", "guess", "depth"],
            },
            [
                "denoise was not needed",
                "colours are a guess, unsure in 6 % of the picture",
                "16 bits",
            ],
        ),
        ({"steps": "x", "measures": [3, {"step": "a"}], "notes": 7}, []),
        (
            {"steps": [{"kind": "super-resolve", "scale": 4}, {"kind": "new"}]},
            ["4 times larger", "new"],
        ),
    ],
)
def test_a_record_is_told_in_words(record: dict[str, object], words: list[str]) -> None:
    read = json.loads(json.dumps(record))
    assert record_in_words(read) == words
