"""Between nodes: announcements, requests for transactions, frontiers. dag-cbor, bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, HTTPException, Request, Response

from node.publishing.wire import (
    MAX_MESSAGE_BYTES,
    MEDIA_TYPE,
    pack_ids,
    pack_transactions,
    unpack_ids,
    unpack_transactions,
)

if TYPE_CHECKING:
    from node.api.service import Service


def router(service: Service) -> APIRouter:
    """The routes over a node."""
    routes = APIRouter(tags=["between nodes"])

    @routes.post("/gossip/transactions", status_code=202, summary="Announce transactions")
    async def announce(request: Request) -> Response:
        raws = unpack_transactions(await _body(request))
        sender = _known_url(service, request.headers.get("Medweave-Node"))
        taken = [service.gossip.offer(raw, sender) for raw in raws]
        if not all(taken):
            raise HTTPException(503, "too many transactions wait to be checked; come again")
        return Response(status_code=202)

    @routes.post("/gossip/fetch", summary="Ask for transactions by id; unknown ones are left out")
    async def fetch(request: Request) -> Response:
        ids = unpack_ids(await _body(request))
        return Response(pack_transactions(service.gossip.serve(ids)), media_type=MEDIA_TYPE)

    @routes.get("/gossip/frontier", summary="Ids that stand for everything this node has attached")
    def frontier() -> Response:
        return Response(pack_ids(service.gossip.frontier()), media_type=MEDIA_TYPE)

    return routes


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_MESSAGE_BYTES:
            raise HTTPException(413, f"at most {MAX_MESSAGE_BYTES} bytes are accepted")
    return bytes(body)


def _known_url(service: Service, url: str | None) -> str | None:
    """Only members are asked back: a stranger must not make this node call an address of its choice."""
    return url if url in {hospital.url for hospital in service.view.hospitals} else None
