"""The application: all routes behind the guard."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from daemon.web.api import API
from daemon.web.guard import Guard
from daemon.web.openapi import openapi
from daemon.web.pages import PAGES, error_page
from daemon.web.routing import problem, route_of
from daemon.web.site import Site, site_of

_STATIC = Path(__file__).parent / "static"


def make_app(site: Site) -> ASGIApp:
    """The application of a site, which it closes when it ends."""

    @contextlib.asynccontextmanager
    async def life(app: Starlette) -> AsyncIterator[None]:
        yield
        site.close()

    app = Starlette(
        routes=[
            *map(route_of, API),
            Route("/api/events", _events),
            Route("/api/openapi.json", _openapi),
            *PAGES,
            Mount("/static", StaticFiles(directory=_STATIC), name="static"),
        ],
        exception_handlers={HTTPException: _failed, 500: _failed},
        lifespan=life,
    )
    app.state.site = site
    return Guard(app, site.guard, site.sessions)


async def _events(request: Request) -> Response:
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    stream = site_of(request).events.listen()
    return StreamingResponse(stream, 200, headers, "text/event-stream")


async def _openapi(request: Request) -> Response:
    return JSONResponse(openapi())


async def _failed(request: Request, error: Exception) -> Response:
    """What no route answers, or what went wrong in one."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    why = error.detail if isinstance(error, HTTPException) else "the page failed; its log says why"
    if request.url.path.startswith("/api/"):
        return problem(status, why)
    return error_page(request, status, why)
