"""Exposition: a few pages over HTTP, for a metrics collector and for health checks.

Comes in: GET requests, in threads of their own. Goes out: what the pages say. Nothing a client
does, or leaves undone, reaches the daemon's loop, and there is nothing to change here.
"""

import socket
import socketserver
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler

import structlog

from daemon.system.errors import ConfigError

_log = structlog.get_logger()

_CLIENTS = 8
"""At a time; more are turned away at once."""

_PATIENCE_S = 5.0
"""For a client that does not say what it wants, or does not take what it gets."""


@dataclass(frozen=True)
class HttpAnswer:
    """What a page says.

    Attributes:
        status: HTTP status.
        body: UTF-8 text.
        kind: Content type.
    """

    status: int
    body: bytes
    kind: str = "text/plain; charset=utf-8"


class MonitoringServer:
    """Serves pages from its start until it is stopped."""

    def __init__(
        self, address: str, port: int, pages: Mapping[str, Callable[[], HttpAnswer]]
    ) -> None:
        """Take the port; pages are served from `start` on.

        Args:
            address: Of the interface: a name or a number.
            port: TCP port; 0 takes a free one.
            pages: By path; each may be called by many threads at a time.

        Raises:
            ConfigError: The port is taken or not allowed, or the address is not of this machine.
        """
        try:
            self._server = _Server(address, port, pages)
        except (OSError, OverflowError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise ConfigError(
                f"metrics_port is {port} and metrics_address {address!r}, which cannot be "
                f"listened on: {why}; set others, or end what listens there"
            ) from error
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True
        )

    def start(self) -> None:
        """Serve from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Take no more requests; one that is being answered does not hold us up."""
        if self._thread.ident is not None:
            self._server.shutdown()
        self._server.server_close()


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(
        self, address: str, port: int, pages: Mapping[str, Callable[[], HttpAnswer]]
    ) -> None:
        self.pages = pages
        self._free = threading.BoundedSemaphore(_CLIENTS)
        family, _, _, _, place = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
        self.address_family = family
        super().__init__(place, _Request)  # type: ignore[arg-type]  # IPv6 places have four parts

    def process_request(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: object
    ) -> None:
        """Answer in a thread, unless too many are at it."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._free.release()
            raise

    def process_request_thread(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: object
    ) -> None:
        """In the thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has gone away is no news."""


class _Request(BaseHTTPRequestHandler):
    timeout = _PATIENCE_S
    server_version = "restored"
    sys_version = ""
    server: _Server

    def do_GET(self) -> None:
        """Answer; anything but GET is refused by the base class."""
        page = self.server.pages.get(self.path.partition("?")[0])
        try:
            answer = HttpAnswer(404, b"not found\n") if page is None else page()
        except Exception:
            _log.exception("page_failed", page=self.path)
            answer = HttpAnswer(500, b"this page failed; the log says why\n")
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not logged: a collector makes one every few seconds."""
