"""Connections to the port: how many, and how long one may take to say what it wants."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from node.api.access.gate import CERTIFIED
from node.api.access.limits import network_of

if TYPE_CHECKING:
    import asyncio

    from starlette.types import ASGIApp, Receive, Scope, Send

HEAD_SECONDS: Final = 10.0
"""For a request's line and headers: a caller that sends a byte a second (Slowloris) is cut off."""
STALLED_SECONDS: Final = 60.0
"""An answer of which nothing could be sent for so long is given up: its caller does not read."""
MAX_CONNECTIONS: Final = 1024
MAX_CONNECTIONS_EACH: Final = 256
"""From one address."""


class GuardedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 with these limits; tells the application whether a certificate was shown and verified."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        if self._crowded():
            transport.abort()
            return
        if transport.get_extra_info("peercert"):
            self.app = _certified(self.app)
        self._silent_since: float | None = time.monotonic()
        self._look()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if self._silent_since is None and self.conn.their_state is h11.IDLE:
            self._silent_since = time.monotonic()
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._silent_since = None

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`: what was sent waits for the caller to read."""
        super().pause_writing()
        self._wait(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        super().resume_writing()
        self._stalled.cancel()

    def _wait(self, unsent: int) -> None:
        """Look in a while whether anything was read meanwhile; a slow reader of much is fine."""
        self._stalled = self.loop.call_later(STALLED_SECONDS, self._give_up, unsent)

    def _give_up(self, unsent: int) -> None:
        left = self.transport.get_write_buffer_size()
        if left < unsent:
            self._wait(left)
        else:
            self.transport.abort()

    def _look(self) -> None:
        """Cut off whoever has begun a request and does not come to its end of headers."""
        if self.transport.is_closing():
            return
        if self._silent_since is not None and time.monotonic() - self._silent_since > HEAD_SECONDS:
            self.transport.abort()
            return
        self.loop.call_later(HEAD_SECONDS / 2, self._look)

    def _crowded(self) -> bool:
        if len(self.connections) > MAX_CONNECTIONS:
            return True
        own = network_of(self.client[0]) if self.client else ""
        same = sum(
            1
            for one in self.connections
            if isinstance(one, GuardedProtocol) and one.client and network_of(one.client[0]) == own
        )
        return same > MAX_CONNECTIONS_EACH


def _certified(app: ASGIApp) -> ASGIApp:
    async def told(scope: Scope, receive: Receive, send: Send) -> None:
        scope["extensions"] = {**(scope.get("extensions") or {}), CERTIFIED: {}}
        await app(scope, receive, send)

    return told
