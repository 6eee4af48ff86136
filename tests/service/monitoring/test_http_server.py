"""The pages over HTTP: what they say, and what no client can do."""

import contextlib
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping

import pytest

from daemon.service.monitoring import http_server
from daemon.service.monitoring.http_server import HttpAnswer, MonitoringServer
from daemon.system.errors import ConfigError

DEADLINE_S = 20.0


@contextlib.contextmanager
def serving(pages: Mapping[str, Callable[[], HttpAnswer]]) -> Iterator[int]:
    served = MonitoringServer("127.0.0.1", 0, pages)
    served.start()
    try:
        yield served.port
    finally:
        served.stop()


def get(port: int, path: str, method: str = "GET") -> tuple[int, str, str]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()


def test_a_page_is_served_with_its_status_and_kind() -> None:
    pages = {
        "/livez": lambda: HttpAnswer(503, b"no\n"),
        "/metrics": lambda: HttpAnswer(200, "µ 1\n".encode(), "text/x"),
    }
    with serving(pages) as port:
        assert get(port, "/livez") == (503, "text/plain; charset=utf-8", "no\n")
        assert get(port, "/metrics?name=x") == (200, "text/x", "µ 1\n")


def test_other_pages_and_methods_are_refused() -> None:
    with serving({"/livez": lambda: HttpAnswer(200, b"alive\n")}) as port:
        assert get(port, "/")[0] == 404
        assert get(port, "/livez/..")[0] == 404
        assert [get(port, "/livez", m)[0] for m in ("POST", "PUT", "DELETE", "HEAD")] == [501] * 4


def test_a_page_that_fails_is_an_error_of_that_request_alone() -> None:
    def broken() -> HttpAnswer:
        raise KeyError("secret")

    with serving({"/broken": broken, "/livez": lambda: HttpAnswer(200, b"alive\n")}) as port:
        status, _, body = get(port, "/broken")
        assert status == 500
        assert "secret" not in body
        assert get(port, "/livez")[0] == 200


def test_a_port_that_is_taken_names_the_setting() -> None:
    with (
        serving({}) as port,
        pytest.raises(ConfigError, match=f"metrics_port is {port} .*in use.*set others"),
    ):
        MonitoringServer("127.0.0.1", port, {})


@pytest.mark.parametrize("address", ["192.0.2.1", "no.such.name.invalid"])
def test_an_address_that_is_not_ours_names_the_setting(address: str) -> None:
    with pytest.raises(ConfigError, match=f"metrics_address '{address}', which cannot be"):
        MonitoringServer(address, 0, {})


def test_an_ipv6_address_can_be_listened_on() -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        served = MonitoringServer("::1", 0, {})
    except ConfigError:
        pytest.skip("no IPv6 here")
    assert served.port > 0
    served.stop()


def test_silent_clients_are_limited_and_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    assert http_server._Request.timeout == 5
    monkeypatch.setattr(http_server._Request, "timeout", 0.5)
    with serving({"/livez": lambda: HttpAnswer(200, b"alive\n")}) as port:
        before = threading.active_count()
        silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(30)]
        try:
            # The listener takes them in order, so what it does with the last shows that all are in.
            silent[-1].settimeout(DEADLINE_S)
            assert silent[-1].recv(1) == b"", "one too many is turned away at once"
            assert threading.active_count() - before <= http_server._MAX_CLIENTS
            deadline = time.monotonic() + DEADLINE_S
            while True:
                with contextlib.suppress(urllib.error.URLError, ConnectionError):
                    if get(port, "/livez")[0] == 200:
                        break
                assert time.monotonic() < deadline
        finally:
            for client in silent:
                client.close()


def test_slow_clients_cannot_keep_a_page_from_being_answered() -> None:
    with serving({"/livez": lambda: HttpAnswer(200, b"alive\n")}) as port:
        slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(30)]
        for client in slow:
            with contextlib.suppress(OSError):
                client.sendall(b"GET /livez HTTP/1.1\r\nX-Slow: ")
        began = time.monotonic()
        assert [get(port, "/livez")[0] for _ in range(3)] == [200, 200, 200]
        assert time.monotonic() - began < http_server._TIMEOUT_S
        for client in slow:
            client.close()


def test_stopping_does_not_wait_for_a_page_that_takes_long() -> None:
    asked, gate = threading.Event(), threading.Event()

    def slow() -> HttpAnswer:
        asked.set()
        gate.wait(DEADLINE_S)
        return HttpAnswer(200, b"")

    served = MonitoringServer("127.0.0.1", 0, {"/slow": slow})
    served.start()
    client = socket.create_connection(("127.0.0.1", served.port))
    client.sendall(b"GET /slow HTTP/1.0\r\n\r\n")
    assert asked.wait(DEADLINE_S)
    began = time.monotonic()
    served.stop()
    assert time.monotonic() - began < 2
    gate.set()
    client.close()
