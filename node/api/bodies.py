"""Reading what a caller sends, bounded in size and time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fastapi import HTTPException

if TYPE_CHECKING:
    from fastapi import Request

BODY_SECONDS = 10.0
"""How long a caller may take to send its message."""


async def read_body(request: Request, most: int) -> bytes:
    """The whole body.

    Args:
        request: The call.
        most: Most bytes accepted.

    Raises:
        HTTPException: 413 where it is longer, 408 where it does not arrive in time.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for piece in request.stream():
                body += piece
                if len(body) > most:
                    raise HTTPException(413, f"at most {most} bytes are accepted")
    except TimeoutError:
        raise HTTPException(408, f"the message did not arrive within {BODY_SECONDS:g} seconds") from None
    return bytes(body)
