"""Motions put to the members' vote: one route hears a peer's and answers with this node's."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fastapi import APIRouter, HTTPException, Request, Response

from node.membership.motion import MAX_MESSAGE_BYTES

if TYPE_CHECKING:
    from node.api.service import Service

BODY_SECONDS = 10.0
"""How long a caller may take to send its message."""


def router(service: Service) -> APIRouter:
    """The routes over a node."""
    routes = APIRouter(tags=["between nodes"])
    busy = asyncio.Lock()

    @routes.post("/motions", summary="Motions of a peer, with signatures under them; this node's are the answer")
    async def motions(request: Request) -> Response:
        message = await _body(request)
        if busy.locked():
            raise HTTPException(503, "this node is reading another's motions; call again later")
        async with busy:
            await asyncio.to_thread(service.motions.heard, message)
            answer = await asyncio.to_thread(service.motions.told)
        return Response(answer, media_type="application/json")

    return routes


async def _body(request: Request) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for piece in request.stream():
                body += piece
                if len(body) > MAX_MESSAGE_BYTES:
                    raise HTTPException(413, f"at most {MAX_MESSAGE_BYTES} bytes are accepted")
    except TimeoutError:
        raise HTTPException(408, f"the message did not arrive within {BODY_SECONDS:g} seconds") from None
    return bytes(body)
