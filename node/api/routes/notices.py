"""Data notices between nodes: one route hears a peer's and answers with this node's."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fastapi import APIRouter, HTTPException, Request, Response

from node.api.asked import answers, problems, taken
from node.api.bodies import read_body
from node.planning.notices import MAX_MESSAGE_BYTES

if TYPE_CHECKING:
    from node.api.service import Service


def router(service: Service) -> APIRouter:
    """The routes over a node."""
    routes = APIRouter(tags=["between nodes"])
    busy = asyncio.Lock()

    @routes.post(
        "/notices",
        summary="A peer's notices of new data (count and digest); this node's are the answer",
        response_class=Response,
        responses=answers("application/json", "This node's notices, in the same form.") | problems(400, 408, 503),
        openapi_extra=taken("application/json", "A message of `node.planning.notices`."),
    )
    async def post_notices(request: Request) -> Response:
        message = await read_body(request, MAX_MESSAGE_BYTES)
        if busy.locked():
            raise HTTPException(503, "this node is reading another's notices; call again later")
        async with busy:
            await asyncio.to_thread(service.notices.heard, message)
            answer = await asyncio.to_thread(service.notices.told)
        return Response(answer, media_type="application/json")

    return routes
