"""What every route of the page has at hand, built once."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from starlette.requests import Request

from daemon.config.settings import Settings
from daemon.config.station import Station
from daemon.service.component_settings import limits_of
from daemon.web.events import EventHub, look
from daemon.web.guard import GuardSettings
from daemon.web.language import Language, chosen_language
from daemon.web.pictures import Pictures
from daemon.web.sessions import Sessions
from daemon.web.uploads import Uploads

LANGUAGE_COOKIE = "restored_language"


@dataclass(frozen=True)
class Site:
    """The parts of a page.

    Attributes:
        station: The station that it shows.
        settings: Its settings.
        guard: Who may come in.
        sessions: Signs sessions, and knows the token.
        pictures: Draws photographs.
        uploads: Takes files.
        events: Tells open pages what is new.
    """

    station: Station
    settings: Settings
    guard: GuardSettings
    sessions: Sessions
    pictures: Pictures
    uploads: Uploads
    events: EventHub

    def close(self) -> None:
        """End what runs beside the page."""
        self.events.close()
        self.uploads.close()
        self.pictures.close()


def make_site(
    station: Station,
    settings: Settings,
    guard: GuardSettings,
    token: str | None,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> Site:
    """Build the parts of a page.

    Args:
        station: The station that it shows.
        settings: Its settings.
        guard: Who may come in.
        token: What visitors must know, or None.
        clock: Monotonic seconds.
    """
    return Site(
        station,
        settings,
        guard,
        Sessions(token),
        Pictures(limits_of(settings), _cache_of(station)),
        Uploads(station, settings, clock),
        EventHub(lambda: look(station)),
    )


def site_of(request: Request) -> Site:
    """The site that a request came to."""
    site: Site = request.app.state.site
    return site


def language_of(request: Request) -> Language:
    """The language of a visitor."""
    said = request.cookies.get(LANGUAGE_COOKIE, "")
    return chosen_language(said, request.headers.get("accept-language", "")[:200])


def _cache_of(station: Station) -> Path:
    """Folder of drawn pictures: the service's cache under systemd, the user's elsewhere."""
    service = os.environ.get("CACHE_DIRECTORY")
    user = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    base = Path(service.split(":")[0]) if service else Path(user) / "restored"
    return base / "page" / sha256(os.fsencode(station.root)).hexdigest()[:16]
