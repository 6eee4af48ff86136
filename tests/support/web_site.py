"""The page of a station in this process, without a server and without picture processes."""

import re
import threading
from multiprocessing import Pipe
from pathlib import Path

from starlette.testclient import TestClient

from daemon.config.station_setup import open_station
from daemon.photo import Limits
from daemon.system.helper_process import Death
from daemon.web import pictures
from daemon.web.app import make_app
from daemon.web.guard import GuardSettings
from daemon.web.picture_process import serve
from daemon.web.site import Site, make_site

TOKEN = "a-token-that-nobody-guesses"
CHROMIUM = Path("/usr/bin/chromium")


class PictureThread:
    """A picture process that is a thread, and cannot be killed."""

    def __init__(self, limits: Limits) -> None:
        self.pipe, theirs = Pipe()
        threading.Thread(target=serve, args=(theirs, limits), daemon=True).start()

    def kill(self) -> None:
        """Nothing: it ends with its pipe."""

    def is_stopped(self) -> bool:
        return False

    def end(self) -> Death:
        self.pipe.close()
        return Death("ended")


def open_site(root: Path, token: str | None = None, **guard: object) -> Site:
    """The parts of a page; whoever opens them closes them."""
    station, settings = open_station(root)
    values = {"hosts": ("localhost", "photos.example"), "needs_token": token is not None}
    pictures._start_process = PictureThread
    return make_site(station, settings, GuardSettings(**values | guard), token)  # type: ignore[arg-type]


def visit(site: Site, **options: object) -> TestClient:
    """A browser without scripts, which has not been there before."""
    options = {"base_url": "http://localhost:8080", "follow_redirects": False} | options
    return TestClient(make_app(site), **options)  # type: ignore[arg-type]


def csrf_of(text: str) -> str:
    """The token of the session that a page holds."""
    found = re.search(r'data-csrf="([0-9a-f]+)"', text)
    assert found is not None
    return found[1]
