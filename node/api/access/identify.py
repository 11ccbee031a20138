"""Who calls: a member by its signature, a person by a token or a session's cookie, nobody otherwise."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from node.api.access.errors import BadCall, NotAllowed, NotSignedIn
from node.api.access.limits import network_of
from node.api.access.roles import Caller, Role
from node.api.access.sessions import cookie_in
from node.calling.errors import BadSignedRequest
from node.calling.signatures import Call, normalised, read, verify_signature
from node.consortium.view import address_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from node.api.access.names import Names
    from node.api.access.seen import Seen
    from node.api.access.sessions import Sessions
    from node.api.access.tokens import Token, Tokens
    from node.consortium.view import ConsortiumView

_SCHEME: Final = "bearer "
_ONCE: Final = (
    "host",
    "authorization",
    "cookie",
    "signature",
    "signature-input",
    "content-digest",
    "origin",
    "content-length",
)
"""Headers that decide something: given twice, two readers could read two things."""


@dataclass(frozen=True)
class Envelope:
    """A request without its body."""

    method: str
    scheme: str
    path: str
    """As sent, percent-encoded."""
    query: str
    fields: Mapping[str, str]
    """Headers by name in lower case."""
    address: str
    """Network address it comes from."""
    certified: bool
    """Whether the connection showed a certificate of the members' authority."""

    @property
    def host(self) -> str:
        """The `Host` field in the form that is signed."""
        return normalised(self.fields.get("host", ""), self.scheme)


def fields_of(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by name.

    Raises:
        BadCall: One that decides something stands twice.
    """
    found: dict[str, str] = {}
    for raw, value in headers:
        name = raw.decode("latin-1").lower()
        if name in found and name in _ONCE:
            raise BadCall(f"the header {name} stands twice")
        found[name] = value.decode("latin-1")
    return found


class Doorkeeper:
    """Tells who calls.

    Args:
        tokens: People's tokens.
        sessions: Who is signed in.
        seen: Nonces taken.
        names: The names this node is called by.
        consortium: Its id, 32 bytes.
        view: What the chain said so far.
        window: Seconds by which another node's clock may be off.
        certified: Whether members have to show a certificate.
        clock: Unix time in seconds.
    """

    def __init__(
        self,
        tokens: Tokens,
        sessions: Sessions,
        seen: Seen,
        names: Names,
        consortium: bytes,
        view: Callable[[], ConsortiumView],
        *,
        window: float,
        certified: bool,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._tokens, self._sessions, self._seen = tokens, sessions, seen
        self._names, self._consortium, self._view = names, consortium, view
        self._window, self._certified, self._clock = window, certified, clock

    def nobody(self, address: str) -> Caller:
        """A caller of whom nothing is known but where it calls from."""
        return Caller("nobody", address, Role.ANYONE, f"address {network_of(address)}")

    def identify(self, envelope: Envelope) -> Caller:
        """Who calls.

        Raises:
            NotSignedIn: It shows credentials, and they do not hold.
            NotAllowed: They hold, but are of nobody who is let in now.
            BadCall: They are of two kinds.
        """
        fields = envelope.fields
        signed = "signature" in fields or "signature-input" in fields
        if signed and "authorization" in fields:
            raise BadCall("the request has a signature and a token; send one of them")
        if signed:
            return self._member(envelope)
        if "authorization" in fields:
            return self._bearer(fields["authorization"])
        secret = cookie_in(fields["cookie"], secure=envelope.scheme == "https") if "cookie" in fields else None
        return self.nobody(envelope.address) if secret is None else self._browser(secret, envelope)

    def _bearer(self, field: str) -> Caller:
        if not field.lower().startswith(_SCHEME):
            raise NotSignedIn("Authorization: only `Bearer` and a token is understood")
        token = self._tokens.find(field[len(_SCHEME) :].strip())
        if token is None:
            raise NotSignedIn("this node knows no such token; its operator makes one with `medweave token create`")
        return self._person(token, token.expires, by_cookie=False)

    def _browser(self, secret: str, envelope: Envelope) -> Caller:
        found = self._sessions.token(secret)
        token = self._tokens.by_digest(found[0]) if found else None
        if found is None or token is None:
            raise NotSignedIn("the session has ended; sign in again")
        if envelope.method not in {"GET", "HEAD"} and not _same_origin(envelope):
            raise NotAllowed("a page of another origin may not do this")
        return self._person(token, found[1], by_cookie=True)

    def _person(self, token: Token, expires: int, *, by_cookie: bool) -> Caller:
        reason = token.ended(self._clock())
        if reason is not None:
            raise NotSignedIn(reason)
        self._tokens.note_use(token)
        return Caller("person", token.name, token.role, f"token {token.id}", expires=expires, by_cookie=by_cookie)

    def _member(self, envelope: Envelope) -> Caller:
        self._names.verify_audience(envelope.host)
        now = self._clock()
        try:
            signed = read(envelope.fields)
            if signed.consortium != self._consortium:
                raise NotSignedIn("the request is signed for another consortium")
            if abs(now - signed.created) > self._window:
                raise NotSignedIn(
                    f"the request was signed {now - signed.created:+.0f} s from this node's time, {self._window:g} s are "
                    "allowed: compare the clocks"
                )
            digest = envelope.fields.get("content-digest", "") if signed.covers_body else ""
            verify_signature(signed, Call(envelope.method, envelope.host, envelope.path, envelope.query, digest))
        except BadSignedRequest as error:
            raise NotSignedIn(str(error)) from None
        view = self._view()
        seat = view.seats.get(signed.account)
        if seat is None or seat not in view.members or address_bytes(view.hospitals[seat].account) != signed.account:
            raise NotAllowed(f"0x{signed.account.hex()} is no present member's account")
        if self._certified and not envelope.certified:
            raise NotAllowed("members call over TLS with a certificate of the members' authority")
        self._seen.take(signed.account, signed.nonce, now)
        return Caller("member", view.hospitals[seat].name, Role.MEMBER, f"seat {seat}", seat=seat)


def _same_origin(envelope: Envelope) -> bool:
    """Whether a browser says that its page came from this node; where it says nothing, no."""
    site = envelope.fields.get("sec-fetch-site")
    if site is not None and site != "same-origin":
        return False
    scheme, _, host = envelope.fields.get("origin", "").partition("://")
    sure = scheme == "https" or (
        scheme == "http" and envelope.scheme == "http"
    )  # over TLS a page without it is another's
    return sure and normalised(host, scheme) == envelope.host
