"""Routes of the API as a table, from which the router and the OpenAPI description are made.

A route's handler is called in a thread with what was sent, already validated, and returns a model
or a response. What it raises becomes a status and `{"error": ...}` here, and nowhere else.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import structlog
from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from daemon.system.errors import (
    AccessError,
    CannotWriteError,
    ConfigError,
    LedgerError,
    RestoredError,
    UsageError,
)
from daemon.system.text import printable
from daemon.web.jobs import NotFoundError
from daemon.web.language import Language
from daemon.web.site import Site, language_of, site_of
from daemon.web.uploads import UploadRefusedError

_log = structlog.get_logger()

Method = Literal["GET", "POST", "PUT", "DELETE"]

MAX_JSON_BODY = 256 << 10


@dataclass(frozen=True)
class Call:
    """One call of a route.

    Attributes:
        site: The site.
        path: Parts of the path, by name.
        query: The query, validated by the route's model.
        body: The body, validated by the route's model; bytes for a route that takes any.
        language: Language of the visitor.
        visitor: Address of the visitor, for limits.
    """

    site: Site
    path: Mapping[str, Any]
    query: Any
    body: Any
    language: Language
    visitor: str


@dataclass(frozen=True)
class ApiRoute:
    """One route.

    Attributes:
        method: HTTP method.
        path: Its path, with starlette's converters.
        summary: What it does, in a line.
        handler: Does it.
        answer: Model of the answer; None for a file or a stream.
        query: Model of the query.
        body: Model of the body; bytes for a part of a file; None for none.
        media: MIME types of an answer that is no JSON.
        errors: Statuses that it may answer with besides those of every route.
        tag: Heading on the page of routes.
    """

    method: Method
    path: str
    summary: str
    handler: Callable[[Call], BaseModel | Response]
    answer: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    body: type[BaseModel] | type[bytes] | None = None
    media: tuple[str, ...] = ()
    errors: tuple[int, ...] = ()
    tag: str = field(default="other")


def route_of(one: ApiRoute) -> Route:
    """The starlette route of a row of the table."""

    async def endpoint(request: Request) -> Response:
        try:
            call = await _call_of(one, request)
        except ValidationError as error:
            return problem(422, _first_fault(error))
        except (ValueError, RecursionError):
            return problem(400, "the body is no JSON")
        return await answered(lambda: run_in_threadpool(_answer, one, call))

    return Route(one.path, endpoint, methods=[one.method])


async def answered(do: Callable[[], Awaitable[Response]]) -> Response:
    """What something answers, or what it raised as a problem."""
    try:
        return await do()
    except Exception as error:
        status, why = status_of(error)
        if status == 500:
            _log.exception("page_failed")
        return problem(status, why)


def status_of(error: Exception) -> tuple[int, str]:
    """HTTP status and words for whatever a handler raised."""
    match error:
        case NotFoundError():
            return 404, str(error)
        case HTTPException():
            return error.status_code, error.detail
        case UploadRefusedError():
            return error.status, str(error)
        case UsageError() | ConfigError():
            return 422, str(error)
        case AccessError() | CannotWriteError() | PermissionError():
            return 403, str(error)
        case LedgerError():
            return 503, str(error)
        case RestoredError():
            return 422, str(error)
        case OSError():
            return 507, error.strerror or str(error)
    return 500, "the page failed at this; its log says why"


def problem(status: int, why: str) -> JSONResponse:
    """A JSON answer that says what is wrong."""
    return JSONResponse({"error": printable(why, keep="\n")}, status)


def _answer(one: ApiRoute, call: Call) -> Response:
    found = one.handler(call)
    if isinstance(found, Response):
        return found
    return Response(found.model_dump_json(), 200, media_type="application/json")


async def _call_of(one: ApiRoute, request: Request) -> Call:
    """What was sent, validated.

    Raises:
        ValidationError, ValueError: It is not what the route takes.
    """
    query = one.query.model_validate(dict(request.query_params)) if one.query else None
    body: Any = None
    if one.body is bytes:
        body = await request.body()
    elif one.body is not None and issubclass(one.body, BaseModel):
        raw = await request.body()
        if len(raw) > MAX_JSON_BODY:
            raise ValueError("too long")
        body = one.body.model_validate(json.loads(raw or b"{}", parse_constant=_refuse))
    visitor = request.client.host if request.client else ""
    return Call(site_of(request), request.path_params, query, body, language_of(request), visitor)


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no number in JSON")


def _first_fault(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else str(first["msg"])
