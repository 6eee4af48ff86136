"""The description of the routes says what they do."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance

from daemon.config.station_setup import make_station
from daemon.web.api import API
from daemon.web.app import make_app
from daemon.web.openapi import openapi
from tests.support.web_site import open_site

schema = schemathesis.openapi.from_dict(openapi())


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    folder: Path = tmp_path_factory.mktemp("api") / "station"
    make_station(folder)
    site = open_site(folder)
    yield make_app(site)
    site.close()


def test_every_route_is_described_once() -> None:
    described = {(m.upper(), path) for path, ways in openapi()["paths"].items() for m in ways}
    ids = [way["operationId"] for ways in openapi()["paths"].values() for way in ways.values()]
    assert len(described) == len(API) + 1
    assert len(set(ids)) == len(ids)


@pytest.mark.page
@schema.exclude(path="/api/events").parametrize()
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_route_answers_as_it_is_described(case: Any, app: object) -> None:  # noqa: ANN401
    case.headers = {**(case.headers or {}), "Host": "localhost"}
    answer = case.call(app=app)
    case.validate_response(answer, checks=[not_a_server_error, response_schema_conformance])
