"""What a caller sends: read whole before a route runs, bounded in size and time, all callers' bodies together as well."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from node.api.access.errors import BadCall, TooMany

if TYPE_CHECKING:
    from starlette.types import Message, Receive

BODY_SECONDS: Final = 10.0
"""How long a small body may take; larger ones have a second more for each `SLOWEST_BYTES`."""
SLOWEST_BYTES: Final = 256 * 1024
MAX_BYTES_AT_ONCE: Final = 512 * 1024 * 1024
"""Of all bodies that are held."""


class Bodies:
    """Reads bodies."""

    def __init__(self) -> None:
        self._held = 0

    async def read(self, receive: Receive, announced: str | None, most: int) -> bytes:
        """The whole body of a request.

        Args:
            receive: ASGI's.
            announced: The `Content-Length` header.
            most: Most bytes accepted.

        Raises:
            BadCall: 413 where it is longer, 408 where it does not arrive in time, 400 where the caller went away.
            TooMany: 503; too many bytes are held already.
        """
        if announced is not None and announced.isdecimal() and int(announced) > most:
            raise BadCall(f"at most {most} bytes are accepted here", 413)
        body = bytearray()
        try:
            return await self._gather(receive, body, most)
        finally:
            self._held -= len(body)

    async def _gather(self, receive: Receive, body: bytearray, most: int) -> bytes:
        """Read into `body`; what is in it counts as held from the piece on with which it came."""
        try:
            async with asyncio.timeout(BODY_SECONDS + most / SLOWEST_BYTES):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise BadCall("the caller went away before its message was whole")
                    piece = message.get("body", b"")
                    body += piece
                    self._held += len(piece)
                    more = message.get("more_body", False)
                    if len(body) > most:
                        raise BadCall(f"at most {most} bytes are accepted here", 413)
                    if self._held > MAX_BYTES_AT_ONCE:
                        raise TooMany("too many messages are being read; come again later", 503, 2)
        except TimeoutError:
            raise BadCall("the message did not arrive in time", 408) from None
        return bytes(body)

    def hold(self, count: int) -> None:
        """Count bytes that are held from now on; a negative number when they are let go."""
        self._held += count


def replayed(body: bytes, receive: Receive) -> Receive:
    """ASGI's `receive` for the application: the body in one piece, then what the connection says."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
