"""The server of the page: one process with one port."""

import asyncio
import contextlib
import ipaddress
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog
import uvicorn

from daemon.config.settings import Settings
from daemon.config.station import Station
from daemon.config.station_setup import set_umask
from daemon.system.errors import ConfigError
from daemon.web.app import make_app
from daemon.web.guard import GuardSettings
from daemon.web.sessions import read_token
from daemon.web.site import make_site
from daemon.web.uploads import PART_BYTES

_log = structlog.get_logger()

_LOOPBACK_NAMES = ("localhost",)
_MAX_CONNECTIONS = 256
_KEEP_ALIVE_S = 30
_DRAIN_S = 3
"""Seconds that answers may take when the server ends; streams of events never end by themselves."""


@dataclass(frozen=True)
class Listening:
    """A socket that listens, and how the page is reached there.

    Attributes:
        socket: The socket.
        url: Address for a browser on this machine.
        token_file: File of the token that it asks for; None if it asks for none.
    """

    socket: socket.socket
    url: str
    token_file: Path | None


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches an address."""
    if address in _LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def listen(station: Station, settings: Settings, address: str, port: int) -> Listening:
    """Bind the port.

    Args:
        station: The station that is shown.
        settings: Its settings.
        address: Host name or IP address of the interface.
        port: TCP port; 0 takes a free one.

    Raises:
        ConfigError: The port is in use or not allowed, or no interface has the address.
    """
    try:
        family, _, _, _, place = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
        bound = socket.create_server(place[:2], family=family, backlog=128)
    except (OSError, OverflowError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigError(
            f"the page cannot listen on port {port} of {address}: {why}; choose another by --port "
            "and --address (web_port and web_address), or stop what listens there"
        ) from error
    bound.set_inheritable(False)
    actual = bound.getsockname()[1]
    name = "localhost" if is_loopback(address) else socket.gethostname()
    token_file = None if is_loopback(address) else token_path(station, settings)
    return Listening(bound, f"http://{name}:{actual}/", token_file)


def token_path(station: Station, settings: Settings) -> Path:
    """Where the token lies."""
    return settings.web_token_file or station.state / "web-token"


def serve(station: Station, settings: Settings, listening: Listening, address: str) -> None:
    """Serve the page until SIGTERM or SIGINT.

    Raises:
        ConfigError: The token cannot be read.
    """
    set_umask(settings)
    token = None if listening.token_file is None else read_token(listening.token_file)
    own = {*_LOOPBACK_NAMES, *map(str.lower, settings.web_hosts)}
    if token is not None:
        own |= {socket.gethostname().lower(), socket.getfqdn().lower(), address.lower()}
    guard = GuardSettings(
        hosts=tuple(own),
        needs_token=token is not None,
        proxies=settings.web_proxies,
        user_header=settings.web_user_header,
        max_body_bytes=PART_BYTES,
        max_form_bytes=int(settings.max_file_mb * 1e6) + PART_BYTES,
        port=listening.socket.getsockname()[1],
    )
    site = make_site(station, settings, guard, token)
    config = uvicorn.Config(
        make_app(site),
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        ws="none",
        http="h11",
        loop="asyncio",
        limit_concurrency=_MAX_CONNECTIONS,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_DRAIN_S,
        h11_max_incomplete_event_size=64 << 10,
    )
    server = uvicorn.Server(config)
    with _signals_end(server, site.events.close):
        asyncio.run(server.serve([listening.socket]))


@contextlib.contextmanager
def _signals_end(server: uvicorn.Server, first: object) -> Iterator[None]:
    """SIGTERM and SIGINT end the server; uvicorn would send itself the signal once more."""

    def end(number: int, frame: object) -> None:
        server.should_exit = True
        if callable(first):
            first()

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    server.capture_signals = contextlib.nullcontext  # type: ignore[assignment]
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
