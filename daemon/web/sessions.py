"""Who may use the page: the token, sessions in signed cookies, and tokens against forged forms."""

import contextlib
import hashlib
import hmac
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from daemon.system.errors import ConfigError
from daemon.system.files import read_bounded, shown

MAX_AGE_S = 30 * 86400
"""Seconds for which a session is good after it began."""

_COOKIE = re.compile(r"(?P<id>[0-9a-f]{32})\.(?P<at>\d{1,12})\.(?P<mark>[0-9a-f]{64})")
_MAX_TOKEN_BYTES = 4096
_MIN_TOKEN = 16
"""Fewest characters of a token: what is shorter can be guessed."""


def read_token(path: Path) -> str:
    """The token in a file; a new one is made where there is none.

    Raises:
        ConfigError: Others may read the file, it holds no token, or it cannot be read or made.
    """
    try:
        with contextlib.suppress(FileExistsError):
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with open(handle, "w") as file:  # noqa: PTH123  # it is open already
                file.write(secrets.token_urlsafe(32) + "\n")
        if path.lstat().st_mode & 0o077:
            raise ConfigError(
                f"{shown(path)}: others may open the token of the page; `chmod 600` it, and "
                "remove it first if somebody may have read it: a new one is made"
            )
        token = read_bounded(path, _MAX_TOKEN_BYTES).decode("ascii", "replace").strip()
    except OSError as error:
        raise ConfigError(f"{shown(path)}: {error.strerror or error}") from error
    if len(token) < _MIN_TOKEN or not token.isprintable() or " " in token:
        raise ConfigError(
            f"{shown(path)}: a token has at least {_MIN_TOKEN} characters and no spaces; remove "
            "the file, and a new one is made"
        )
    return token


@dataclass(frozen=True)
class Session:
    """A visit by one browser.

    Attributes:
        id: Random, hex.
        csrf: Token that its forms and scripts send back; pages of other sites cannot read it.
    """

    id: str
    csrf: str


class Sessions:
    """Signs and reads session cookies; nothing is stored."""

    def __init__(self, token: str | None) -> None:
        """Sign with a key made of the token; with a random one if none is needed.

        Args:
            token: What visitors must know, or None.
        """
        secret = secrets.token_bytes(32) if token is None else token.encode()
        self._key = hmac.digest(secret, b"restored web session", hashlib.sha256)
        self._token = token

    def is_token(self, said: str) -> bool:
        """Whether somebody knows the token; takes the same time for every wrong one."""
        token = (self._token or "").encode()
        right = hmac.compare_digest(said.encode("utf-8", "surrogateescape"), token)
        return self._token is not None and right

    def begin(self, now: float) -> tuple[Session, str]:
        """A new session and its cookie; `now` in UTC seconds since the epoch."""
        session_id = secrets.token_hex(16)
        signed = f"{session_id}.{int(now)}"
        return self._session(session_id), f"{signed}.{self._mark('cookie', signed)}"

    def read(self, cookie: str, now: float) -> Session | None:
        """The session of a cookie; None if it is not ours or too old."""
        found = _COOKIE.fullmatch(cookie)
        if found is None:
            return None
        signed = f"{found['id']}.{found['at']}"
        if not hmac.compare_digest(self._mark("cookie", signed), found["mark"]):
            return None
        if not 0 <= now - int(found["at"]) + 60 <= MAX_AGE_S + 60:
            return None
        return self._session(found["id"])

    def _session(self, session_id: str) -> Session:
        return Session(session_id, self._mark("csrf", session_id))

    def _mark(self, purpose: str, text: str) -> str:
        return hmac.new(self._key, f"{purpose}:{text}".encode(), hashlib.sha256).hexdigest()
