"""The guard in front of every route: host, origin, token, size of what is sent, headers.

Whatever reaches a route has passed it, so that no route can forget a check:

- The Host header must name this machine. A page elsewhere whose name is made to lead here (DNS
  rebinding) sends its own name; an address made of numbers cannot be rebound.
- A change must come from this page: `Origin` and `Sec-Fetch-Site`, where a browser sends them, and
  the session's token in a header or a form.
- Where a token is needed, it is in the `Authorization` header, in a session that began with it, or
  a trusted proxy vouches for the visitor.
"""

import ipaddress
import time
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Literal
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from daemon.web.rate_limits import RateLimit
from daemon.web.sessions import MAX_AGE_S, Session, Sessions

SAFE = ("GET", "HEAD", "OPTIONS")
CSRF_HEADER = "x-csrf-token"
CSRF_FIELD = "csrf"
"""Where scripts and forms send the session's token."""

FORM_PATH = "/add"
"""The one path that takes whole files in a form, for browsers without scripts."""

_OPEN_PATHS = ("/login", "/healthz")
_OPEN_FOLDER = "/static/"
"""What needs no token: the page that asks for it, how that looks, and whether the page lives."""

_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; connect-src 'self'; form-action 'self'; manifest-src 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


@dataclass(frozen=True)
class GuardSettings:
    """Who may come in.

    Attributes:
        hosts: Names by which the page may be called, without ports, in small letters.
        needs_token: A visitor must know the token.
        proxies: Addresses of proxies whose `user_header` is believed.
        user_header: Header in which such a proxy names the visitor; "" for none.
        max_body_bytes: Most bytes of one request.
        max_form_bytes: Most bytes of a form with files, which only `FORM_PATH` takes.
        port: Port of the page: browsers send cookies to every port of a host.
    """

    hosts: tuple[str, ...]
    needs_token: bool = False
    proxies: tuple[str, ...] = ()
    user_header: str = ""
    max_body_bytes: int = 8 << 20
    max_form_bytes: int = 8 << 20
    port: int = 0

    def most_bytes(self, path: str) -> int:
        """Most bytes that are sent to a path at once."""
        return self.max_form_bytes if path == FORM_PATH else self.max_body_bytes

    @property
    def cookie(self) -> str:
        """Name of the cookie of sessions."""
        return f"restored_session_{self.port}"


@dataclass
class Visit:
    """What the guard found out about a request; routes find it in `request.state.visit`.

    Attributes:
        session: The browser's session.
        came_with_token: The token was in the `Authorization` header, which no form can send.
        csrf_checked: The session's token came in a header; a form has yet to be checked.
        new_cookie: Cookie to be set, or "".
        secure: The browser reached the page by https.
    """

    session: Session
    came_with_token: bool = False
    csrf_checked: bool = False
    new_cookie: str = field(default="", repr=False)
    secure: bool = False


def visit_of(request: Request) -> Visit:
    """The visit of a request that has passed the guard."""
    visit: Visit = request.state.visit
    return visit


class Guard:
    """ASGI middleware; see the module."""

    def __init__(self, app: ASGIApp, settings: GuardSettings, sessions: Sessions) -> None:
        """Guard an application.

        Args:
            app: The application.
            settings: Who may come in.
            sessions: Reads cookies and the token.
        """
        self._app = app
        self._settings = settings
        self._sessions = sessions
        self._wrong_tokens = RateLimit(10, 0.1, time.monotonic)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or let it through."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        visit = self._visit(scope)
        refusal = self._refusal(scope, visit)
        scope.setdefault("state", {})["visit"] = visit

        async def guarded_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._add_headers(MutableHeaders(scope=message), scope, visit)
            await send(message)

        if refusal is not None:
            await refusal(scope, receive, guarded_send)
            return
        most = self._settings.most_bytes(scope["path"])
        await self._app(scope, _bounded(receive, most), guarded_send)

    def _visit(self, scope: Scope) -> Visit:
        headers, now = Headers(scope=scope), time.time()
        session = self._sessions.read(_cookie(headers, self._settings.cookie), now)
        secure = scope.get("scheme") == "https" or (
            self._is_proxy(scope) and headers.get("x-forwarded-proto", "") == "https"
        )
        if session is not None:
            return Visit(session, secure=secure)
        session, cookie = self._sessions.begin(now)
        return Visit(session, new_cookie=cookie, secure=secure)

    def _refusal(self, scope: Scope, visit: Visit) -> Response | None:
        """Why a request goes no further; None if it may."""
        headers, settings = Headers(scope=scope), self._settings
        if not is_own_host(headers.get("host", ""), settings.hosts):
            why = "this page is not called so; the setting web_hosts names what it is called"
            return _refused(scope, 421, why)
        most = settings.most_bytes(scope["path"])
        if not _length_fits(headers.get("content-length", "0"), most):
            return _refused(scope, 413, _too_large(most))
        if refusal := self._unless_signed_in(scope, headers, visit):
            return refusal
        if scope["method"] in SAFE:
            return None
        if why_foreign := _why_foreign(headers):
            return _refused(scope, 403, why_foreign)
        said = headers.get(CSRF_HEADER)
        visit.csrf_checked = said == visit.session.csrf
        if said is not None and not visit.csrf_checked:
            return _refused(scope, 403, "this page is too old; load it again")
        has_cookie = not visit.new_cookie
        if has_cookie and not (visit.csrf_checked or visit.came_with_token or _is_form(headers)):
            return _refused(scope, 403, f"send the session's token in {CSRF_HEADER}")
        return None

    def _unless_signed_in(self, scope: Scope, headers: Headers, visit: Visit) -> Response | None:
        """The refusal of a visitor who has no right to be here; None if there is one."""
        scheme, _, said = headers.get("authorization", "").partition(" ")
        client = str((scope.get("client") or ("?", 0))[0])
        if scheme.lower() == "bearer" and self._settings.needs_token:
            allowed = self._wrong_tokens.allows(client)
            if not (allowed and self._sessions.is_token(said.strip())):
                self._wrong_tokens.take(client)
                return _refused(scope, 401 if allowed else 429, "the token is wrong")
            visit.came_with_token = True
        path = str(scope["path"])
        if not self._settings.needs_token or visit.came_with_token:
            return None
        if path in _OPEN_PATHS or path.startswith(_OPEN_FOLDER):
            return None
        if not visit.new_cookie:
            return None
        if self._is_proxy(scope) and headers.get(self._settings.user_header or "-"):
            return None
        visit.new_cookie = ""  # whoever has not signed in gets no session
        if scope["method"] == "GET" and not path.startswith("/api/"):
            return RedirectResponse(f"/login?next={quote(path, safe='')}", 303)
        return _refused(scope, 401, "a token is needed: Authorization: Bearer TOKEN")

    def _is_proxy(self, scope: Scope) -> bool:
        client = scope.get("client")
        return client is not None and client[0] in self._settings.proxies

    def _add_headers(self, headers: MutableHeaders, scope: Scope, visit: Visit) -> None:
        for name, value in _HEADERS.items():
            headers[name] = value
        if "cache-control" not in headers:
            headers["cache-control"] = "no-store"
        path = str(scope["path"])
        is_page = headers.get("content-type", "").startswith("text/html")
        if visit.new_cookie and is_page and not self._is_login_needed(path):
            headers.append(
                "set-cookie",
                session_cookie(self._settings.cookie, visit.new_cookie, secure=visit.secure),
            )

    def _is_login_needed(self, path: str) -> bool:
        """Whether a path is shown to those who have not signed in: they get no session."""
        return self._settings.needs_token and path in _OPEN_PATHS


def _bounded(receive: Receive, most: int) -> Receive:
    """Receive at most so many bytes; what is said of the length need not be true."""
    left = most

    async def bounded() -> Message:
        nonlocal left
        message = await receive()
        if message["type"] == "http.request":
            left -= len(message.get("body", b""))
            if left < 0:
                raise HTTPException(413, _too_large(most))
        return message

    return bounded


def _too_large(most: int) -> str:
    return f"at most {most >> 20} MiB are taken at once"


def session_cookie(name: str, value: str, *, secure: bool) -> str:
    """The value of a Set-Cookie header for a session."""
    text = f"{name}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={MAX_AGE_S}"
    return text + ("; Secure" if secure else "")


def is_own_host(host: str, names: tuple[str, ...]) -> bool:
    """Whether a Host header is an address of numbers, or one of these names."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        _ = urlsplit(f"//{host}").port
    except ValueError:
        return False
    if any(sign in host for sign in "/@?#\\ "):
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name in names
    return True


def _why_foreign(headers: Headers) -> str:
    """Why a change comes from another page; "" if it does not."""
    site = headers.get("sec-fetch-site", "same-origin")
    if site not in ("same-origin", "none"):
        return "another site asked for this"
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.lower() != headers["host"].lower():
        return "another site asked for this"
    return ""


def _is_form(headers: Headers) -> bool:
    """Whether a form of a page was sent, whose token its route checks by `form_of`."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind in ("application/x-www-form-urlencoded", "multipart/form-data")


def _length_fits(text: str, most: int) -> bool:
    return text.isascii() and text.isdigit() and int(text[:20]) <= most


def _cookie(headers: Headers, name: str) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return ""
    return "" if found is None else found.value


Status = Literal[401, 403, 413, 421, 429]


def _refused(scope: Scope, status: Status, why: str) -> Response:
    headers = {"www-authenticate": "Bearer"} if status == 401 else {}
    if str(scope["path"]).startswith("/api/"):
        return JSONResponse({"error": why}, status, headers)
    return PlainTextResponse(f"{why}\n", status, headers)
