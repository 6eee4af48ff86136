"""The OpenAPI description of the routes, made from their table and models."""

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from daemon import __version__
from daemon.web.api import API
from daemon.web.api_models import Problem
from daemon.web.routing import ApiRoute

_REF = "#/components/schemas/{model}"
_PARAMETER = re.compile(r"\{(\w+)(?::(\w+))?\}")
_PATH_TYPES: dict[str, dict[str, Any]] = {
    "int": {"type": "integer", "minimum": 0},
    "str": {"type": "string", "minLength": 1, "pattern": "^[^/]+$"},
}
_ALWAYS = {
    400: "What was sent is no JSON",
    401: "A token is needed, or it is wrong",
    403: "Another site asked for this, or the file system forbids it",
    413: "Too much was sent at once",
    421: "The page is not called so",
    422: "What was sent makes no sense, and why",
    503: "The ledger cannot be read now",
}
_WORDS = _ALWAYS | {
    404: "There is none, or not any more",
    409: "The part does not fit to what is there",
    429: "Too many at once; go on in a minute",
    507: "The disk is full",
}


@cache
def openapi() -> dict[str, Any]:
    """The description, OpenAPI 3.1."""
    models = _models(API)
    # What is sent and what is answered may have one model with two schemas; here none has.
    _, defined = models_json_schema([(one, "validation") for one in models], ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for route in API:
        plain = _PARAMETER.sub(r"{\1}", route.path)
        paths.setdefault(plain, {})[route.method.lower()] = _operation(route)
    paths["/api/events"] = {"get": _events()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "restored",
            "version": __version__,
            "description": "Routes of the page of a station. See docs/web.md.",
        },
        "paths": paths,
        "components": {
            "schemas": defined.get("$defs", {}),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _models(routes: Sequence[ApiRoute]) -> list[type[BaseModel]]:
    found: dict[type[BaseModel], None] = {Problem: None}
    for route in routes:
        for model in (route.answer, route.body):
            if isinstance(model, type) and issubclass(model, BaseModel):
                found[model] = None
    return list(found)


def _operation(route: ApiRoute) -> dict[str, Any]:
    described: dict[str, Any] = {
        "summary": route.summary,
        "operationId": f"{route.handler.__name__}",
        "tags": [route.tag],
        "parameters": [*_path_parameters(route.path), *_query_parameters(route.query)],
        "responses": _responses(route),
    }
    if route.body is bytes:
        kinds = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
        described["requestBody"] = {"required": True, "content": kinds}
    elif route.body is not None:
        described["requestBody"] = {"required": True, "content": _json(route.body)}
    return described


def _responses(route: ApiRoute) -> dict[str, Any]:
    content = _json(route.answer) if route.answer else {kind: {} for kind in route.media}
    answers: dict[str, Any] = {"200": {"description": "Done", "content": content}}
    for status in sorted({*_ALWAYS, *route.errors}):
        answers[str(status)] = {"description": _WORDS[status], "content": _json(Problem)}
    return answers


def _json(model: type) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _REF.format(model=model.__name__)}}}


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": _PATH_TYPES[kind or "str"]}
        for name, kind in _PARAMETER.findall(path)
    ]


def _query_parameters(model: type[BaseModel] | None) -> list[dict[str, Any]]:
    if model is None:
        return []
    schema = model.model_json_schema()
    return [
        {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", ()),
            "schema": _without_null(one),
        }
        for name, one in schema["properties"].items()
    ]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A query leaves out what is none: it cannot say null."""
    choices = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    return dict(choices[0]) if choices else {k: v for k, v in schema.items() if k != "title"}


def _events() -> dict[str, Any]:
    return {
        "summary": "A stream that says when something has changed (server-sent events)",
        "operationId": "events",
        "tags": ["station"],
        "parameters": [],
        "responses": {
            "200": {"description": "A stream", "content": {"text/event-stream": {}}},
            "401": {"description": _ALWAYS[401], "content": _json(Problem)},
            "421": {"description": _ALWAYS[421], "content": _json(Problem)},
        },
    }
