"""The page in Chromium: what only a browser does. `pytest -m page -n 0` runs these."""

import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from PIL import Image

from daemon.config.station import Station
from daemon.config.station_setup import find_station, make_station, open_station
from daemon.executors import EXECUTORS
from daemon.web.app import make_app
from daemon.web.server import listen
from tests.support.copiers import CopierThread
from tests.support.fakes import everything_below
from tests.support.file_reads import ReaderThread
from tests.support.station_runs import drop_photo, run_once, write_settings
from tests.support.waiting import wait_for
from tests.support.web_site import CHROMIUM, TOKEN, open_site

pytestmark = [
    pytest.mark.page,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Chromium (Debian: chromium)"),
]

SCREENS = ("/", "/queue", "/failed", "/add", "/recipes", "/recipes/denoise", "/bulk", "/state",
           "/jobs/1", "/jobs/1/mark", "/api/docs", "/no-such-page")  # fmt: skip

Page = Any
"""A page of playwright, whose own types need playwright."""

Browser = Any
"""Chromium, likewise."""


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    root = tmp_path_factory.mktemp("browsed") / "station"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(EXECUTORS, "fake", "tests.support.fakes:FakeExecutor")
        patch.setattr("daemon.intake.file_reader.ReaderProcess", ReaderThread)
        patch.setattr("daemon.jobs.file_copies.start_copier", CopierThread)
        make_station(root)
        write_settings(root)
        drop_photo(root, "denoise/a.png", size=300)
        drop_photo(root, "denoise/broken.png")
        run_once(root)
        result = root / "outbox/denoise/a.png"  # the stand-in's results are no pictures
        Image.new("RGB", (600, 600), "blue").save(result)
        yield find_station(root)


def served(root: Path, token: str | None = None) -> Iterator[str]:
    site = open_site(root, token)
    station, settings = open_station(root)
    listening = listen(station, settings, "127.0.0.1", 0)
    config = uvicorn.Config(make_app(site), log_config=None, ws="none", loop="asyncio")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listening.socket],), daemon=True)
    thread.start()
    wait_for(lambda: server.started, "the server")
    yield listening.url.rstrip("/")
    site.events.close()
    server.should_exit = server.force_exit = True
    thread.join(10)


@pytest.fixture(scope="module")
def url(station: Station) -> Iterator[str]:
    yield from served(station.root)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser, url: str) -> Iterator[Page]:
    """A new browser; whatever goes wrong in a script, or is asked of another host, fails."""
    context = chromium.new_context(base_url=url, locale="en-GB")
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    own = (url, "blob:")
    page.on("request", lambda one: wrong.extend([one.url] * (not one.url.startswith(own))))
    yield page
    context.close()
    assert wrong == []


def test_a_photograph_is_sent_and_lies_in_its_inbox(
    page: Page, station: Station, tmp_path: Path
) -> None:
    (tmp_path / "new.png").write_bytes(drop_photo(tmp_path, "x.png"))
    page.goto("/add")
    page.get_by_role("radio", name="colorize").check(force=True)
    page.locator("#files").set_input_files(str(tmp_path / "new.png"))
    page.get_by_role("link", name="Show the queue").click()
    page.wait_for_url("**/queue")
    assert (station.inbox / "colorize/new.png").exists()


def test_the_slider_moves_by_mouse_and_keys_and_zooms(page: Page) -> None:
    page.goto("/jobs/1")
    page.locator("#compare.ready").wait_for()
    clip = "document.querySelectorAll('.layer')[1].style.clipPath"
    before = page.evaluate(clip)
    box = page.locator("#compare").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + 50)
    page.mouse.up()
    moved = page.evaluate(clip)
    assert moved != before
    page.locator("#compare").press("[")
    assert page.evaluate(clip) != moved
    scale = page.locator("#scale").text_content()
    page.locator("#compare").press("+")
    assert page.locator("#scale").text_content() != scale
    page.locator("#compare").press("0")
    assert page.locator("#scale").text_content() == scale


def test_a_brush_makes_a_mask_that_goes_with_its_photograph(page: Page, station: Station) -> None:
    page.goto("/jobs/1/mark")
    page.locator("#mark[data-ready]").wait_for()
    box = page.locator("#canvas").bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] + 60, middle[1])
    page.mouse.up()
    page.locator("#undo").click()
    assert page.locator("#undo").is_disabled()
    page.locator("#redo").click()
    page.locator("#send").click()
    page.wait_for_url("**/queue?said=added")
    (mask,) = (station.inbox / "inpaint").rglob("a.mask.png")
    assert (mask.parent / "a.png").exists()
    with Image.open(mask) as image:
        assert image.size == (300, 300)
        grey = image.convert("L")
        assert (grey.getpixel((150, 150)), grey.getpixel((5, 5))) == (255, 0)


def test_dabs_of_colour_become_hints_with_a_preview(page: Page, station: Station) -> None:
    page.goto("/jobs/1/mark")
    page.locator("#mark[data-ready]").wait_for()
    page.get_by_role("button", name="Colours").click()
    page.locator("#colour").fill("#00ff00")
    page.locator("#canvas").press("Space")
    assert page.locator("#preview").is_visible()
    green = "document.getElementById('preview').getContext('2d').getImageData(80, 80, 1, 1).data"
    red, green_, *_ = page.evaluate(f"[...{green}]")
    assert green_ > red
    page.locator("#send").click()
    page.wait_for_url("**/queue?said=added")
    (hints,) = (station.inbox / "colorize").rglob("a.hints.png")
    with Image.open(hints) as image:
        assert image.convert("RGBA").getpixel((150, 150)) == (0, 255, 0, 255)
        assert image.convert("RGBA").getpixel((5, 5))[3] == 0  # type: ignore[index]


def test_a_failure_is_tried_again_and_both_tabs_show_it(
    page: Page,
    chromium: Browser,
    url: str,
    station: Station,
) -> None:
    page.goto("/failed")
    other = chromium.new_context(base_url=url).new_page()
    other.goto("/queue")
    page.get_by_role("button", name="Try broken.png again").click()
    page.get_by_text("Nothing has failed.").wait_for()
    wait_for((station.inbox / "denoise/broken.png").exists)
    run_once(station.root)
    other.get_by_text("in work").first.wait_for()
    page.goto("/failed")
    page.get_by_text("it ends early").wait_for()
    other.context.close()


def test_a_picture_that_cannot_be_drawn_leaves_no_broken_image(page: Page) -> None:
    page.route("**/pictures/*", lambda route: route.abort())
    page.goto("/")
    page.get_by_text("This picture cannot be shown.").first.wait_for()


def test_a_recipe_is_judged_while_it_is_written(page: Page) -> None:
    page.goto("/recipes/denoise")
    page.locator("#verdict.good").wait_for()
    page.locator("#source").fill('[[steps]]\nkind = "denoise"\nrealism = 7\n')
    page.locator("#verdict.bad").wait_for()
    assert "realism" in page.locator("#verdict").text_content()


def test_a_wrong_token_opens_nothing(chromium: Browser, station: Station) -> None:
    for url in served(station.root, TOKEN):
        page = chromium.new_context(base_url=url).new_page()
        page.goto("/")
        page.get_by_label("Token of this station").fill("wrong")
        page.get_by_role("button", name="Sign in").click()
        page.get_by_text("That is not the token.").wait_for()
        page.get_by_label("Token of this station").fill(TOKEN)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("heading", name="Results").wait_for()
        page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_axe_finds_nothing_and_no_screen_is_wider_than_the_window(
    chromium: Browser,
    url: str,
    scheme: str,
    width: int,
) -> None:
    spec = find_spec("axe_playwright_python")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    axe = Path(spec.submodule_search_locations[0]) / "axe.min.js"
    context = chromium.new_context(
        base_url=url, color_scheme=scheme, viewport={"width": width, "height": 844}, bypass_csp=True
    )
    page = context.new_page()
    for path in SCREENS:
        page.goto(path)
        page.add_script_tag(path=axe)
        found = page.evaluate("axe.run().then((all) => all.violations.map((one) => one.id))")
        assert found == [], path
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
    context.close()


def test_scripts_are_small_and_pages_work_without_them(chromium: Browser, url: str) -> None:
    scripts = everything_below(Path(__file__).parents[2] / "daemon/web/static")
    assert sum(len(text) for name, text in scripts.items() if name.endswith(".js")) < 150_000
    context = chromium.new_context(base_url=url, java_script_enabled=False)
    page = context.new_page()
    page.goto("/")
    page.get_by_role("link", name="a.png").first.click()
    page.locator("#compare img.before").wait_for()
    page.locator("#compare img.after").wait_for()
    context.close()
