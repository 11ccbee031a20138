"""Between nodes: one route takes every message of the exchange (`dag.sync.messages`). dag-cbor, bounded in size and time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, HTTPException, Request, Response

from dag.sync import MAX_MESSAGE_BYTES, MEDIA_TYPE
from node.api.asked import answers, problems, taken
from node.api.bodies import read_body
from node.errors import PeerBusy

if TYPE_CHECKING:
    from node.api.service import Service


def router(service: Service) -> APIRouter:
    """The routes over a node."""
    routes = APIRouter(tags=["between nodes"])

    @routes.post(
        "/gossip",
        status_code=202,
        summary="A message of the exchange; a question's answer is in the response",
        response_class=Response,
        responses=answers(MEDIA_TYPE, "The answer to a question.")
        | {202: {"description": "Taken in."}}
        | problems(400, 408, 503),
        openapi_extra=taken(MEDIA_TYPE, "A message of `dag.sync.messages`."),
    )
    async def post_gossip(request: Request) -> Response:
        message = await read_body(request, MAX_MESSAGE_BYTES)
        caller = service.view.hospitals[request.state.caller.seat].url or None
        try:
            answer = await service.gossip.hear(message, caller)
        except PeerBusy as error:
            raise HTTPException(503, str(error)) from None
        if not answer:
            return Response(status_code=202)
        return Response(answer, media_type=MEDIA_TYPE)

    return routes
