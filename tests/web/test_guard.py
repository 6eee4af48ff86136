"""What the page refuses, whoever asks; the threats are those of docs/web.md."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.routing import Route
from starlette.testclient import TestClient

from daemon.config.station_setup import make_station
from daemon.system.errors import ConfigError
from daemon.web.api import API
from daemon.web.forms import FORMS
from daemon.web.guard import is_own_host
from daemon.web.rate_limits import RateLimit
from daemon.web.sessions import Sessions, read_token
from daemon.web.site import Site
from tests.support.web_site import TOKEN, csrf_of, open_site, visit

CHANGING = [(route.method, route.path) for route in API if route.method != "GET"]
FORM_PATHS = [route.path for route in FORMS if isinstance(route, Route) and "POST" in route.methods]  # type: ignore[operator]


def filled(path: str) -> str:
    """A path with something in each of its places."""
    return (
        path.replace("{row:int}", "1")
        .replace("{name}", "denoise")
        .replace("{id}", "x")
        .replace("{action}", "pause")
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("guarded") / "station"
    make_station(folder)
    return folder


@pytest.fixture(scope="module")
def site(root: Path) -> Iterator[Site]:
    site = open_site(root)
    yield site
    site.close()


@pytest.fixture(scope="module")
def _browser(site: Site) -> Iterator[TestClient]:
    with visit(site) as client:
        yield client


@pytest.fixture
def browser(_browser: TestClient) -> TestClient:
    """A browser that has not been there before."""
    _browser.cookies.clear()
    return _browser


@pytest.fixture(scope="module")
def token_site(root: Path) -> Iterator[Site]:
    site = open_site(root, TOKEN, proxies=("10.0.0.9",), user_header="X-Remote-User")
    yield site
    site.close()


@pytest.mark.parametrize(
    ("host", "is_own"),
    [
        ("localhost:8080", True),
        ("photos.example", True),
        ("127.0.0.1:8080", True),
        ("192.168.1.7", True),
        ("[::1]:8080", True),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("localhost@evil.example", False),
        ("evil.example#localhost", False),
        ("localhost:8080/x", False),
        ("localhost:port", False),
        ("", False),
    ],
)
def test_a_name_that_was_made_to_lead_here_is_refused(site: Site, host: str, is_own: bool) -> None:
    assert is_own_host(host, site.guard.hosts) is is_own
    answer = visit(site).get("/healthz", headers={"host": host})
    assert answer.status_code == (200 if is_own else 421)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:9999"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"x-csrf-token": "0" * 64},
    ],
)
def test_no_change_is_made_for_another_site(browser: TestClient, headers: dict[str, str]) -> None:
    for method, path in CHANGING:
        answer = browser.request(method, filled(path), headers=headers, content=b"{}")
        assert answer.status_code == 403, path
        assert answer.json()["error"]


def test_a_browser_with_a_session_must_send_its_token(browser: TestClient) -> None:
    browser.get("/")
    assert browser.cookies
    for method, path in CHANGING:
        assert browser.request(method, filled(path), content=b"{}").status_code == 403, path


@pytest.mark.parametrize("data", [{}, {"csrf": "0" * 64}, {"csrf": ""}])
def test_no_form_is_taken_without_the_token_of_its_session(
    browser: TestClient, data: dict[str, str]
) -> None:
    browser.get("/")
    for path in FORM_PATHS:
        if path != "/login":  # whoever signs in has no session yet
            assert browser.post(filled(path), data=data).status_code == 403, path


def test_a_form_with_the_token_is_taken(browser: TestClient) -> None:
    token = csrf_of(browser.get("/").text)
    answer = browser.post("/pause", data={"csrf": token})
    assert (answer.status_code, answer.headers["location"]) == (303, "/queue?said=asked")


def test_every_answer_forbids_scripts_of_others_and_guesses_of_types(browser: TestClient) -> None:
    for path in ("/", "/api/state", "/static/app.js", "/no-such-page", "/queue", "/login"):
        headers = browser.get(path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"


def test_the_cookie_of_a_session_is_for_this_site_and_no_script(site: Site) -> None:
    cookie = visit(site).get("/").headers["set-cookie"]
    assert "SameSite=Strict" in cookie
    assert "HttpOnly" in cookie
    assert "Secure" not in cookie


def test_no_page_has_a_script_or_a_style_inside(browser: TestClient) -> None:
    for path in ("/", "/queue", "/failed", "/add", "/recipes", "/bulk", "/state", "/api/docs"):
        text = browser.get(path).text
        assert " style=" not in text
        assert "<style" not in text
        assert "onclick" not in text
        scripts = text.split("<script")[1:]
        assert all('src="/static/' in one or "application/json" in one for one in scripts)


def test_without_the_token_a_page_leads_to_the_question_for_it(token_site: Site) -> None:
    for path in ("/", "/queue", "/jobs/1", "/recipes/denoise", "/no-such-page"):
        answer = visit(token_site).get(path)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/login?next=%2F")
        assert "set-cookie" not in answer.headers
    assert visit(token_site).get("/api/docs").status_code == 401


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Basic x", "Bearer " + TOKEN[:-1]])
def test_without_the_token_no_route_answers(root: Path, header: str | None) -> None:
    headers = {} if header is None else {"authorization": header}
    with visit(open_site(root, TOKEN)) as client:
        for path in [filled(route.path) for route in API if route.method == "GET"]:
            answer = client.get(path, headers=headers)
            assert answer.status_code in (401, 429), path
            assert "error" in answer.json()


def test_the_token_opens_the_api_and_begins_a_session(token_site: Site) -> None:
    headers = {"authorization": f"Bearer {TOKEN}"}
    assert visit(token_site).get("/api/state", headers=headers).status_code == 200
    client = visit(token_site)
    assert client.post("/login", data={"token": "wrong"}).status_code == 401
    answer = client.post("/login", data={"token": TOKEN, "next": "/queue"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/queue")
    assert client.get("/api/state").status_code == 200


@pytest.mark.parametrize("after", ["//evil.example", "https://evil.example/", "/\\evil", "x"])
def test_signing_in_leads_nowhere_else(token_site: Site, after: str) -> None:
    answer = visit(token_site).post("/login", data={"token": TOKEN, "next": after})
    assert answer.headers["location"] == "/"


def test_wrong_tokens_are_counted(token_site: Site) -> None:
    client = visit(token_site, client=("10.1.1.1", 5))
    headers = {"authorization": "Bearer wrong"}
    statuses = [client.get("/api/state", headers=headers).status_code for _ in range(12)]
    assert statuses == [401] * 10 + [429] * 2
    right = {"authorization": f"Bearer {TOKEN}"}
    assert client.get("/api/state", headers=right).status_code == 429
    assert visit(token_site).get("/api/state", headers=right).status_code == 200


def test_only_a_trusted_proxy_vouches_for_a_visitor(token_site: Site) -> None:
    headers = {"x-remote-user": "anna"}
    proxy = visit(token_site, client=("10.0.0.9", 5))
    assert proxy.get("/api/state", headers=headers).status_code == 200
    assert proxy.get("/api/state").status_code == 401
    other = visit(token_site, client=("10.0.0.8", 5))
    assert other.get("/api/state", headers=headers).status_code == 401


def test_behind_https_the_cookie_is_secure(token_site: Site) -> None:
    proxy = visit(token_site, client=("10.0.0.9", 5))
    answer = proxy.post("/login", data={"token": TOKEN}, headers={"x-forwarded-proto": "https"})
    assert "Secure" in answer.headers["set-cookie"]


@pytest.mark.parametrize("length", ["99999999999", "-1", "1e9", "0x1"])
def test_what_is_too_long_is_refused_before_it_is_read(site: Site, length: str) -> None:
    headers = {"content-length": length}
    assert visit(site).post("/api/pause", headers=headers).status_code == 413


def test_what_says_no_length_is_read_no_further_than_it_may(site: Site) -> None:
    def endless() -> Iterator[bytes]:
        yield from (b" " * (1 << 20) for _ in range(9))

    assert visit(site).post("/api/pause", content=endless()).status_code == 413


def test_the_token_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "web-token"
    token = read_token(path)
    assert len(token) >= 40
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_token(path) == token
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="others may open the token"):
        read_token(path)


@pytest.mark.parametrize("content", [b"", b"short", b"a token with spaces in it", b"\xff" * 40])
def test_a_token_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "web-token"
    path.write_bytes(content)
    path.chmod(0o600)
    if content == b"\xff" * 40:  # it is 40 signs of no meaning, which may stand as a token
        assert read_token(path)
        return
    with pytest.raises(ConfigError, match="a token has at least 16 characters"):
        read_token(path)


def test_a_link_is_no_token(tmp_path: Path) -> None:
    (tmp_path / "web-token").symlink_to("/etc/passwd")
    with pytest.raises(ConfigError):
        read_token(tmp_path / "web-token")


@pytest.mark.parametrize("change", [0, 40, -1])
def test_a_cookie_that_was_changed_is_no_session(change: int) -> None:
    sessions = Sessions(TOKEN)
    session, cookie = sessions.begin(1000.0)
    assert sessions.read(cookie, 1001.0) == session
    changed = list(cookie)
    changed[change] = "0" if changed[change] != "0" else "1"
    assert sessions.read("".join(changed), 1001.0) is None
    assert Sessions("another-token-than-that").read(cookie, 1001.0) is None
    assert Sessions(TOKEN).read(cookie, 1001.0) == session  # the page was started again


@pytest.mark.parametrize("later", [31 * 86400.0, -3600.0])
def test_a_session_ends_and_none_begins_tomorrow(later: float) -> None:
    sessions = Sessions(TOKEN)
    _, cookie = sessions.begin(1e9)
    assert sessions.read(cookie, 1e9 + later) is None


def test_a_bucket_fills_again_with_time() -> None:
    now = [0.0]
    limit = RateLimit(2, 0.5, lambda: now[0])
    assert [limit.take("anna") for _ in range(3)] == [True, True, False]
    assert limit.take("ben")
    now[0] = 2.0
    assert limit.allows("anna")
    assert [limit.take("anna") for _ in range(2)] == [True, False]


def test_no_path_leads_out_of_what_is_served(browser: TestClient) -> None:
    for path in ("../app.py", "%2e%2e/app.py", "..%2fapp.py", "/etc/passwd", "", "examples"):
        assert browser.get(f"/static/{path}").status_code in (404, 405), path


def test_the_page_holds_no_torch_and_no_decoder() -> None:
    code = "import daemon.web.server, sys; print({'torch', 'PIL', 'imagecodecs'} & {*sys.modules})"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
