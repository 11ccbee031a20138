"""The gate: stands before the whole application and lets in what the table allows.

In this order: form of the request, host, row of the table, who calls, how often, whether that role may, the body. What is
refused never reaches a route. Answers stream through untouched but for the security headers. Everything is written into the
access log.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from typing import TYPE_CHECKING, Any, Final

from node.api.access.bodies import replayed
from node.api.access.errors import AccessError, BadCall, NotAllowed, NotSignedIn, TooMany
from node.api.access.identify import Envelope, fields_of
from node.api.access.roles import Role
from node.api.access.table import Router
from node.api.problems import problem
from node.calling.errors import BadSignedRequest
from node.calling.signatures import verify_body
from node.logs import bound, request_id

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from node.api.access.access import Access
    from node.api.access.roles import Caller
    from node.api.access.table import Match

MAX_PATH_BYTES: Final = 2048
MAX_QUERY_BYTES: Final = 4096
MAX_HEADER_BYTES: Final = 16 * 1024
MAX_HEADERS: Final = 64
RECHECK_SECONDS: Final = 5.0
"""While an answer streams, so often at most it is looked whether the person may still have it."""
HASHED_ON_THE_LOOP: Final = 128 * 1024
"""A longer body is hashed in a thread."""
CERTIFIED: Final = "medweave.certified"
"""Key in `scope["extensions"]`: the connection showed a certificate of the members' authority (`node.api.access.connections`)."""
_SAFE_VALUE: Final = re.compile(r"(?!mw_)[A-Za-z0-9._-]{1,128}")
_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"),
    (b"cache-control", b"no-store"),
)
"""Set where a route does not set its own."""
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
_OVER_TLS: Final = (b"strict-transport-security", b"max-age=31536000")


class Gate:
    """ASGI application round another.

    Args:
        app: What is guarded; every route of it has its row (`node.api.access.table.verify_guarded`).
        access: Who may come in.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access
        self._router = Router()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI 3.0. Sockets (WebSocket) are refused: no route is one."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await _Visit(self._app, self._access, self._router, scope, send).run(receive)
        else:
            await send({"type": "websocket.close", "code": 1008})


class _Visit:
    """One request on its way in and out."""

    def __init__(self, app: ASGIApp, access: Access, router: Router, scope: Scope, send: Send) -> None:
        self._app, self._access, self._router = app, access, router
        self._scope, self._send = scope, send
        self._began = time.monotonic()
        self._caller: Caller | None = None
        self._match: Match | None = None
        self._envelope: Envelope | None = None
        self._checked, self._cut = self._began, False
        self._status, self._bytes = 0, 0
        self._request = ""

    async def run(self, receive: Receive) -> None:
        """Let it in or refuse it, and write it down."""
        given = next((value for name, value in self._scope["headers"] if name == b"x-request-id"), b"")
        self._request = request_id(given.decode("latin-1"))
        with bound(request=self._request):
            try:
                await self._admit(receive)
            except AccessError as error:
                await self._refuse(error, receive)
            except Exception:
                self._status = self._status or 500
                if not self._cut:  # what ends a stream may come back wrapped by whoever sent it
                    raise
            finally:
                self._record()

    async def _admit(self, receive: Receive) -> None:
        try:
            self._check_form()
            envelope = self._envelope = self._read_envelope()
            self._access.names.verify_host(envelope.host)
            self._match = self._router.find(envelope.method, self._scope["path"])
            self._caller = self._access.door.identify(envelope)
        except AccessError as error:
            self._caller = self._access.door.nobody(self._address())
            if isinstance(error, TooMany):
                raise
            self._spend(self._caller)  # whoever guesses is slowed down, and so is whoever would fill the log
            raise
        caller, rule = self._caller, self._match.rule
        self._spend(caller, rule.cost)
        if Role.ANYONE not in rule.who and caller.role not in rule.who:
            if caller.kind == "nobody":
                raise NotSignedIn(
                    "credentials are needed here: a token (`medweave token create`) or a member's signature"
                )
            raise NotAllowed(f"{caller.role} may not do this; it takes {', '.join(sorted(rule.who))}")
        with self._access.under_way.one(caller.key, known=caller.kind != "nobody"):
            body = await self._access.bodies.read(receive, envelope.fields.get("content-length"), rule.body)
            await self._check_body(envelope, body)
            self._scope.setdefault("state", {})["caller"] = caller
            self._access.bodies.hold(len(body))
            try:
                await self._app(self._scope, replayed(body, receive), self._pass_on)
            finally:
                self._access.bodies.hold(-len(body))

    def _check_form(self) -> None:
        headers = self._scope["headers"]
        if len(self._scope["raw_path"]) > MAX_PATH_BYTES or len(self._scope["query_string"]) > MAX_QUERY_BYTES:
            raise BadCall(f"at most {MAX_PATH_BYTES} bytes of path and {MAX_QUERY_BYTES} of query are read", 414)
        if len(headers) > MAX_HEADERS or sum(len(name) + len(value) for name, value in headers) > MAX_HEADER_BYTES:
            raise BadCall(f"at most {MAX_HEADERS} headers of {MAX_HEADER_BYTES} bytes in all are read", 431)
        if {b"content-length", b"transfer-encoding"} <= {name.lower() for name, _ in headers}:
            raise BadCall("the message has two lengths, Content-Length and Transfer-Encoding; send one of them")

    def _read_envelope(self) -> Envelope:
        scope = self._scope
        client = scope.get("client")
        return Envelope(
            scope["method"],
            scope["scheme"],
            scope["raw_path"].partition(b"?")[0].decode("latin-1"),
            scope["query_string"].decode("latin-1"),
            fields_of(scope["headers"]),
            client[0] if client else "local",
            CERTIFIED in (scope.get("extensions") or {}),
        )

    def _spend(self, caller: Caller, cost: float = 1.0) -> None:
        self._access.rates.spend(caller.key, self._access.rate_of(caller), cost)

    async def _check_body(self, envelope: Envelope, body: bytes) -> None:
        if self._caller is None or self._caller.kind != "member":
            return
        digest = envelope.fields.get("content-digest", "")
        if body and '"content-digest"' not in envelope.fields["signature-input"]:
            raise NotSignedIn("the signature does not cover the body: sign Content-Digest with it")
        if not digest:
            return
        try:
            if len(body) > HASHED_ON_THE_LOOP:
                await asyncio.to_thread(verify_body, digest, body)
            else:
                verify_body(digest, body)
        except BadSignedRequest as error:
            raise NotSignedIn(str(error)) from None

    async def _pass_on(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            given = {name.lower() for name, _ in message["headers"]}
            more = [*_HEADERS, *((_OVER_TLS,) if self._scope["scheme"] == "https" else ())]
            extra = [header for header in more if header[0] not in given]
            extra.append((b"x-request-id", self._request.encode()))
            message = {**message, "headers": [*message["headers"], *extra]}
        elif message["type"] == "http.response.body":
            self._bytes += len(message.get("body", b""))
            if message.get("more_body"):
                await self._check_again()
        await self._send(message)

    async def _check_again(self) -> None:
        """End a person's stream soon after the token was revoked or the session has ended."""
        now = time.monotonic()
        if self._envelope is None or self._caller is None or self._caller.kind != "person":
            return
        if now - self._checked < RECHECK_SECONDS:
            return
        self._checked = now
        try:
            self._access.door.identify(self._envelope)
        except AccessError:
            self._cut = True
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
            raise

    async def _refuse(self, error: AccessError, receive: Receive) -> None:
        if self._status:  # the answer is on its way already
            return
        answer = problem(error.status, str(error))
        answer.headers.update(error.headers)
        if error.status in {400, 408, 413}:
            answer.headers["Connection"] = "close"  # what is left of the body is not read
        with contextlib.suppress(OSError):
            await answer(self._scope, receive, self._pass_on)

    def _record(self) -> None:
        caller, match = self._caller, self._match
        who, role = (caller.name, str(caller.role)) if caller else (self._address(), str(Role.ANYONE))
        route = match.route if match else f"{_known(self._scope['method'])} (none)"
        status = self._status or 499  # nginx's number for a caller that went away
        quiet = status < 400 and match is not None and match.rule.quiet
        if quiet or status == 429:
            known = caller is not None and caller.kind != "nobody"
            self._access.book.count(who if known else "-", role, route, status, self._bytes)
            return
        line: dict[str, Any] = {"who": who, "key": caller.key if caller else "", "role": role, "from": self._address()}
        line |= {"route": route, "status": status, "bytes": self._bytes, "request": self._request}
        if match is not None and match.values:
            line["values"] = [value if _SAFE_VALUE.fullmatch(value) else "-" for value in match.values]
        line["ms"] = round((time.monotonic() - self._began) * 1000, 1)
        self._access.book.add(line)

    def _address(self) -> str:
        client = self._scope.get("client")
        return str(client[0]) if client else "local"


def _known(method: str) -> str:
    """A method as the log names it: one that a caller made up would make a line of its own for each."""
    return method if method in _METHODS else "other"
