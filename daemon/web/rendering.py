"""Templates and what they may use; every page of HTML comes from here.

Templates escape whatever they show. No page has a script or a style inside: the policy of the guard
forbids both.
"""

import json
import math
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from urllib.parse import quote, urlencode

import jinja2
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse

from daemon import __version__
from daemon.system.clock import iso, local_zone
from daemon.web.guard import visit_of
from daemon.web.jobs import JobView, PictureView
from daemon.web.language import Language, languages
from daemon.web.site import language_of, site_of

_TEMPLATES = Path(__file__).parent / "templates"
_STATIC = Path(__file__).parent / "static"

_SCRIPT_WORDS = (
    "Could not be sent",
    "Sent",
    "Sending",
    "Waiting",
    "Not taken",
    "Zoom in",
    "Zoom out",
    "Saved",
    "Valid",
    "Before",
    "After",
    "Lost the connection; trying again",
    "Loading",
    "This picture cannot be shown.",
)
"""Messages of scripts, which get them with the page."""


@cache
def _environment(code: str) -> jinja2.Environment:
    """Templates in one language."""
    language = languages()[code]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        extensions=["jinja2.ext.i18n"],
    )
    environment.install_gettext_callables(  # type: ignore[attr-defined]
        language.gettext, language.ngettext, newstyle=True
    )
    environment.filters |= {
        "when": when,
        "ago": lambda at: ago(at, language),
        "size": file_size,
        "duration": lambda seconds: duration(seconds, language),
    }
    environment.globals |= {
        "language": language,
        "languages": list(languages()),
        "version": __version__,
        "examples": {path.stem for path in (_STATIC / "examples").glob("*.jpg")},
        "drawn": drawn,
        "static": static,
        "words": Markup(json.dumps({word: language.gettext(word) for word in _SCRIPT_WORDS})),
    }
    return environment


def page(
    request: Request, template: str, values: Mapping[str, object], status: int = 200
) -> HTMLResponse:
    """A page of HTML.

    Args:
        request: What asked for it.
        template: Name of its template.
        values: What the template shows.
        status: HTTP status.
    """
    language = language_of(request)
    visit = visit_of(request)
    found = _environment(language.code).get_template(template)
    text = found.render(
        **values,
        csrf=visit.session.csrf,
        here=request.url.path,
        station_name=site_of(request).station.root.name,
        said=request.query_params.get("said", ""),
    )
    return HTMLResponse(text, status, {"content-language": language.code, "vary": "cookie"})


@cache
def _static_version(name: str) -> str:
    status = (_STATIC / name).stat()
    return f"{status.st_mtime_ns:x}"[-10:]


def static(name: str) -> str:
    """Address of a script or style; another one once it has changed."""
    return f"/static/{name}?v={_static_version(name)}"


def drawn(job: JobView, picture: PictureView, width: int, height: int = 0) -> str:
    """Address of a picture as it is drawn, at most so many pixels across and down."""
    query = urlencode({"width": width, "height": height or width, "v": picture.version})
    return f"/api/jobs/{job.row}/pictures/{quote(picture.role)}?{query}"


def when(at: float) -> str:
    """A time, as machines read it; UTC seconds since the epoch."""
    return iso(at, local_zone()) if at > 0 and math.isfinite(at) else ""


def ago(at: float, language: Language) -> str:
    """How long ago something was, in words."""
    if at <= 0:
        return ""
    _ = language.gettext
    seconds = max(0.0, time.time() - at)
    if seconds < 60:
        return _("just now")
    return _("%(time)s ago") % {"time": duration(seconds, language)}


def duration(seconds: float, language: Language) -> str:
    """A time span in words, to its largest unit."""
    for size, one, many in (
        (86400.0, "%(number)s day", "%(number)s days"),
        (3600.0, "%(number)s hour", "%(number)s hours"),
        (60.0, "%(number)s minute", "%(number)s minutes"),
    ):
        if seconds >= size:
            number = int(seconds // size)
            return language.ngettext(one, many, number) % {"number": number}
    number = max(1, int(seconds))
    return language.ngettext("%(number)s second", "%(number)s seconds", number) % {"number": number}


def file_size(size_bytes: float) -> str:
    """A size in the unit that gives few digits."""
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 1000 or unit == "GB":
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    raise AssertionError("the last unit takes any size")
