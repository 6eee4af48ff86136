"""HTTP server of the monitoring pages: metrics and health checks, read-only.

Each request is answered in a thread of its own, so a slow or silent client never holds up the
daemon's loop.
"""

import contextlib
import socket
import socketserver
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler

import structlog

from daemon.system.errors import ConfigError

_log = structlog.get_logger()

_MAX_CLIENTS = 8
"""Clients served at a time; one more closes the connection of the oldest."""

_MAKE_ROOM_S = 0.5
"""Seconds until the oldest client's thread must have let the next one in."""

_TIMEOUT_S = 5.0
"""Seconds a client may take to send its request or to read the answer."""


@dataclass(frozen=True)
class HttpAnswer:
    """The answer to a request.

    Attributes:
        status: HTTP status code.
        body: UTF-8 text.
        content_type: MIME type.
    """

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


class MonitoringServer:
    """Serves pages from `start` to `stop`."""

    def __init__(
        self, address: str, port: int, pages: Mapping[str, Callable[[], HttpAnswer]]
    ) -> None:
        """Bind the port; nothing is served before `start`.

        Args:
            address: Host name or IP address of the interface.
            port: TCP port; 0 takes a free one.
            pages: Functions that answer, by path; several threads may call one at a time.

        Raises:
            ConfigError: The port is in use or not allowed, or no interface has the address.
        """
        try:
            self._server = _Server(address, port, pages)
        except (OSError, OverflowError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise ConfigError(
                f"metrics_port is {port} and metrics_address {address!r}, which cannot be "
                f"listened on: {why}; set others, or stop what listens there"
            ) from error
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True
        )

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self) -> None:
        """Stop serving without waiting for requests that are being answered."""
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
        self._free = threading.BoundedSemaphore(_MAX_CLIENTS)
        self._lock = threading.Lock()
        self._served: dict[socket.socket, None] = {}
        family, _, _, _, place = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
        self.address_family = family
        super().__init__(place, _Request)  # type: ignore[arg-type]  # IPv6 places have four parts

    def process_request(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: object
    ) -> None:
        """Answer in a thread of its own; the slowest of too many clients makes room."""
        connection = request[1] if isinstance(request, tuple) else request
        if not self._free.acquire(blocking=False):
            self._close_oldest()
            if not self._free.acquire(timeout=_MAKE_ROOM_S):
                self.shutdown_request(request)
                return
        with self._lock:
            self._served[connection] = None
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._end(connection)
            raise

    def _close_oldest(self) -> None:
        """End the connection of the client that has been served for longest."""
        with self._lock:
            oldest = next(iter(self._served), None)
            if oldest is not None:
                self._served.pop(oldest)
                with contextlib.suppress(OSError):  # it has gone already
                    oldest.shutdown(socket.SHUT_RDWR)

    def _end(self, connection: socket.socket) -> None:
        with self._lock:
            self._served.pop(connection, None)
        self._free.release()

    def process_request_thread(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: object
    ) -> None:
        """Answer, and let the next client in."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._end(request[1] if isinstance(request, tuple) else request)

    def handle_error(self, request: object, client_address: object) -> None:
        """Log nothing: the client has gone away."""


class _Request(BaseHTTPRequestHandler):
    timeout = _TIMEOUT_S
    server_version = "restored"
    sys_version = ""
    server: _Server

    def do_GET(self) -> None:
        """Answer a GET request; the base class refuses every other method."""
        page = self.server.pages.get(self.path.partition("?")[0])
        try:
            answer = HttpAnswer(404, b"not found\n") if page is None else page()
        except Exception:
            _log.exception("page_failed", page=self.path)
            answer = HttpAnswer(500, b"this page failed; the log says why\n")
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: a collector makes a request every few seconds."""
