"""Between nodes: one route takes every message of the exchange (`dag.sync.messages`). dag-cbor, bounded in size and time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fastapi import APIRouter, HTTPException, Request, Response

from dag.sync import MAX_MESSAGE_BYTES, MEDIA_TYPE
from node.errors import PeerBusy

if TYPE_CHECKING:
    from node.api.service import Service

BODY_SECONDS = 10.0
"""How long a caller may take to send its message."""


def router(service: Service) -> APIRouter:
    """The routes over a node."""
    routes = APIRouter(tags=["between nodes"])

    @routes.post(
        "/gossip", status_code=202, summary="A message of the exchange; a question's answer is in the response"
    )
    async def gossip(request: Request) -> Response:
        message = await _body(request)
        caller = _known_url(service, request.headers.get("Medweave-Node"))
        try:
            answer = await service.gossip.hear(message, caller)
        except PeerBusy as error:
            raise HTTPException(503, str(error)) from None
        if not answer:
            return Response(status_code=202)
        return Response(answer, media_type=MEDIA_TYPE)

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


def _known_url(service: Service, url: str | None) -> str | None:
    """Only members are asked back: a stranger must not make this node call an address of its choice."""
    return url if url in {hospital.url for _, hospital in service.view.present} else None
