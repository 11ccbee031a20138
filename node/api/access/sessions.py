"""Sessions of browsers: a token exchanged for a cookie that no script can read and no other site can send.

They live in the node's memory alone: a restart ends them, and so does what ends their token.
"""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Final

from node.api.access.tokens import digest_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from node.api.access.tokens import Token

LIFE_SECONDS: Final = 8 * 3600
IDLE_SECONDS: Final = 1800
"""Without a request."""
MAX_SESSIONS: Final = 1000
"""Beyond these the one that was silent longest ends."""
NAME: Final = "medweave_session"
SECURE_NAME: Final = f"__Host-{NAME}"
"""Over TLS: the prefix binds the cookie to this very host (RFC 6265bis, 4.1.3.2)."""


@dataclass
class _Session:
    token: bytes
    ends: float
    seen: float


class Sessions:
    """Who is signed in.

    Args:
        clock: Unix time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._open: OrderedDict[bytes, _Session] = OrderedDict()

    def begin(self, token: Token) -> tuple[str, int]:
        """A new session of a token that holds.

        Returns:
            The cookie's value, and the Unix time in seconds at which the session ends at the latest.
        """
        now = self._clock()
        secret = secrets.token_urlsafe(32)
        ends = min(now + LIFE_SECONDS, token.expires)
        self._open[digest_of(secret)] = _Session(token.digest, ends, now)
        while len(self._open) > MAX_SESSIONS:
            self._open.popitem(last=False)
        return secret, int(ends)

    def token(self, secret: str) -> tuple[bytes, int] | None:
        """Digest of the token behind a cookie and the session's end; None once it has ended."""
        digest, now = digest_of(secret), self._clock()
        session = self._open.get(digest)
        if session is None:
            return None
        if now >= session.ends or now - session.seen > IDLE_SECONDS:
            del self._open[digest]
            return None
        session.seen = now
        self._open.move_to_end(digest)
        return session.token, int(session.ends)

    def end(self, secret: str) -> None:
        """Sign out; a session that is none is fine."""
        self._open.pop(digest_of(secret), None)


def cookie_in(header: str, *, secure: bool) -> str | None:
    """The session's secret in a `Cookie` header.

    Args:
        header: Its value.
        secure: Whether the node is reached over TLS: then the name with the prefix counts alone, for a neighbouring host, or
            whoever answers for this name without TLS, can plant a cookie of the other name, with a session of its own.
    """
    try:
        jar = SimpleCookie(header)
    except CookieError:
        return None
    morsel = jar.get(SECURE_NAME if secure else NAME)
    return morsel.value if morsel else None


def set_cookie(secret: str, seconds: int, *, secure: bool) -> str:
    """A `Set-Cookie` header; an empty secret with 0 seconds takes the cookie away.

    Args:
        secret: The session's.
        seconds: Until the browser forgets it.
        secure: Whether the node is reached over TLS.
    """
    name, more = (SECURE_NAME, "; Secure") if secure else (NAME, "")
    return f"{name}={secret}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{more}"
