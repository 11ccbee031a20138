"""Motions put to the members' vote: one route hears a peer's and answers with this node's."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fastapi import APIRouter, HTTPException, Request, Response

from node.api.asked import answers, problems, taken
from node.api.bodies import read_body
from node.membership.motion import MAX_MESSAGE_BYTES

if TYPE_CHECKING:
    from node.api.service import Service


def router(service: Service) -> APIRouter:
    """The routes over a node."""
    routes = APIRouter(tags=["between nodes"])
    busy = asyncio.Lock()

    @routes.post(
        "/motions",
        summary="Motions of a peer, with signatures under them; this node's are the answer",
        response_class=Response,
        responses=answers("application/json", "This node's motions, in the same form.") | problems(400, 408, 503),
        openapi_extra=taken("application/json", "A message of `node.membership.motion`."),
    )
    async def post_motions(request: Request) -> Response:
        message = await read_body(request, MAX_MESSAGE_BYTES)
        if busy.locked():
            raise HTTPException(503, "this node is reading another's motions; call again later")
        async with busy:
            await asyncio.to_thread(service.motions.heard, message)
            answer = await asyncio.to_thread(service.motions.told)
        return Response(answer, media_type="application/json")

    return routes
