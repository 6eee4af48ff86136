"""The pages of HTML that people read; what they send is in `forms`."""

from collections.abc import Callable, Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from daemon.bulk.status import pending, read_bulk
from daemon.config.recipe import schema
from daemon.config.station_setup import known_recipes
from daemon.service.status import StationStatus, read_status
from daemon.system.errors import ConfigError
from daemon.web import recipe_files
from daemon.web.forms import FORMS
from daemon.web.jobs import JobPage, JobReader, NotFoundError, reading_jobs
from daemon.web.openapi import openapi
from daemon.web.rendering import page
from daemon.web.routing import status_of
from daemon.web.site import Site, language_of, site_of
from daemon.web.station_facts import disks
from daemon.web.strengths import strengths_of

_PAGE = 60
"""Results on one page; the next ones are fetched while somebody scrolls."""

_QUEUE = 100
"""Jobs of the queue that are shown one by one."""

Reads = Callable[[Request], tuple[str, Mapping[str, object]]]
"""What a page shows: its template and the values for it; called in a thread."""


def _shown(path: str, read: Reads) -> Route:
    async def endpoint(request: Request) -> Response:
        try:
            template, values = await run_in_threadpool(read, request)
        except Exception as error:
            status, why = status_of(error)
            if status == 500:
                raise
            return error_page(request, status, why)
        return page(request, template, values)

    return Route(path, endpoint)


def error_page(request: Request, status: int, why: str) -> Response:
    """A page that says what is wrong."""
    return page(request, "error.html", {"status": status, "why": why}, status)


def _results(request: Request) -> tuple[str, Mapping[str, object]]:
    recipe = request.query_params.get("recipe") or None
    after = request.query_params.get("after", "")
    site = site_of(request)
    found = _read(site, lambda jobs: jobs.done_page(_PAGE, after, recipe=recipe))
    names = [one.recipe for one in _status(site).recipes if one.done]
    return "results.html", {"found": found, "recipe": recipe, "names": names, "first": not after}


def _queue(request: Request) -> tuple[str, Mapping[str, object]]:
    site = site_of(request)
    found = _read(site, lambda jobs: jobs.open_page(_QUEUE))
    return "queue.html", {"jobs": found.jobs, "status": _status(site)}


def _job(request: Request) -> tuple[str, Mapping[str, object]]:
    site = site_of(request)
    row = int(request.path_params["row"])
    with reading_jobs(site.station) as jobs:
        details = jobs.details(row, language_of(request))
        changes = jobs.job(row).entry.claim.changes
    try:
        recipes = known_recipes(site.station)
    except ConfigError:
        recipes = ()
    own = next((one for one in recipes if one.name == details.recipe), None)
    takes = [one for one in recipes if one.photos == len(details.originals) and not one.generates]
    return "job.html", {
        "job": details,
        "recipes": takes,
        "strengths": strengths_of(own) if own else (),
        "changes": changes,
        "markable": details.state in ("done", "failed") and len(details.originals) == 1,
    }


def _mark(request: Request) -> tuple[str, Mapping[str, object]]:
    station = site_of(request).station
    with reading_jobs(station) as jobs:
        job = jobs.view(jobs.job(int(request.path_params["row"])))
    if len(job.originals) != 1:
        raise NotFoundError("its original is not there, or there are several")
    listed = recipe_files.list_recipes(station).recipes
    return "mark.html", {
        "job": job,
        "recipes": [one for one in listed if one.side_files and one.photos == 1],
    }


def _failed(request: Request) -> tuple[str, Mapping[str, object]]:
    after = request.query_params.get("after", "")
    found = _read(site_of(request), lambda jobs: jobs.failed_page(_PAGE, after))
    return "failed.html", {"found": found}


def _add(request: Request) -> tuple[str, Mapping[str, object]]:
    site = site_of(request)
    listed = recipe_files.list_recipes(site.station)
    chosen = request.query_params.get("recipe", "")
    return "add.html", {
        "recipes": [one for one in listed.recipes if one.photos == 1],
        "problem": listed.problem,
        "chosen": chosen,
        "max_bytes": site.uploads.max_bytes,
    }


def _recipes(request: Request) -> tuple[str, Mapping[str, object]]:
    return "recipes.html", {"listed": recipe_files.list_recipes(site_of(request).station)}


def _recipe(request: Request) -> tuple[str, Mapping[str, object]]:
    name = request.path_params["name"]
    found = recipe_files.show_recipe(site_of(request).station, name)
    return "recipe.html", {"recipe": found, "source": found.source, "error": "", "is_new": False}


def _new_recipe(request: Request) -> tuple[str, Mapping[str, object]]:
    source = '# What is done, in order.\n[[steps]]\nkind = "denoise"\n'
    return "recipe.html", {"recipe": None, "source": source, "error": "", "is_new": True}


def _bulk(request: Request) -> tuple[str, Mapping[str, object]]:
    site = site_of(request)
    listed = recipe_files.list_recipes(site.station)
    return "bulk.html", {
        "jobs": tuple(reversed(read_bulk(site.station))),
        "pending": pending(site.station),
        "recipes": [one.name for one in listed.recipes],
        "roots": [str(root) for root in site.settings.web_roots],
    }


def _state(request: Request) -> tuple[str, Mapping[str, object]]:
    site = site_of(request)
    return "state.html", {"status": _status(site), "disks": disks(site.station)}


def _docs(request: Request) -> tuple[str, Mapping[str, object]]:
    return "api.html", {"api": openapi(), "schema": schema()}


def _login(request: Request) -> tuple[str, Mapping[str, object]]:
    return "login.html", {"wrong": False, "next": request.query_params.get("next", "/")[:500]}


async def _health(request: Request) -> Response:
    return Response("alive\n", media_type="text/plain")


async def _favicon(request: Request) -> Response:
    return RedirectResponse("/static/icon.png", 301)


def _read(site: Site, ask: Callable[[JobReader], JobPage]) -> JobPage:
    """A page of jobs; an empty one where no daemon has run yet."""
    if not site.station.ledger.exists():
        return JobPage(jobs=())
    with reading_jobs(site.station) as jobs:
        return ask(jobs)


def _status(site: Site) -> StationStatus:
    try:
        return read_status(site.station)
    except ConfigError as error:
        raise NotFoundError(str(error)) from error


PAGES: tuple[Any, ...] = (
    _shown("/", _results),
    _shown("/queue", _queue),
    _shown("/jobs/{row:int}", _job),
    _shown("/jobs/{row:int}/mark", _mark),
    _shown("/add", _add),
    _shown("/failed", _failed),
    _shown("/recipes", _recipes),
    _shown("/recipes/new", _new_recipe),
    _shown("/recipes/{name}", _recipe),
    _shown("/bulk", _bulk),
    _shown("/state", _state),
    _shown("/login", _login),
    _shown("/api/docs", _docs),
    Route("/healthz", _health),
    Route("/favicon.ico", _favicon),
    *FORMS,
)
"""Every route that is not of the API."""
