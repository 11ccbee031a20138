"""What peers swap with one another: each route hears a peer's and answers with this node's."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from fastapi import APIRouter, HTTPException, Request, Response

from node.api.asked import answers, problems, taken
from node.api.bodies import read_body
from node.membership.motion import MAX_MESSAGE_BYTES as MAX_MOTION_BYTES
from node.planning.notices import MAX_MESSAGE_BYTES as MAX_NOTICE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from node.api.service import Service


class Swapped(Protocol):
    """One side of a swap."""

    def heard(self, message: bytes) -> object:
        """Take in what a peer says."""

    def told(self) -> bytes:
        """What this node says."""


def router(service: Service) -> APIRouter:
    """The routes over a node."""
    routes = APIRouter(tags=["between nodes"])
    motions = "Motions of a peer, with signatures under them; this node's are the answer"
    notices = "A peer's notices of new data (count and digest); this node's are the answer"
    _add(routes, "motions", lambda: service.motions, MAX_MOTION_BYTES, motions, "node.membership.motion")
    _add(routes, "notices", lambda: service.notices, MAX_NOTICE_BYTES, notices, "node.planning.notices")
    return routes


def _add(routes: APIRouter, what: str, ours: Callable[[], Swapped], most: int, summary: str, form: str) -> None:
    """One route; it reads one peer at a time, so that none can make this node do more."""
    busy = asyncio.Lock()

    @routes.post(
        f"/{what}",
        name=f"post_{what}",
        summary=summary,
        response_class=Response,
        responses=answers("application/json", f"This node's {what}, in the same form.") | problems(400, 408, 503),
        openapi_extra=taken("application/json", f"A message of `{form}`."),
    )
    async def swap(request: Request) -> Response:
        message = await read_body(request, most)
        if busy.locked():
            raise HTTPException(503, f"this node is reading another's {what}; call again later")
        async with busy:
            await asyncio.to_thread(ours().heard, message)
            answer = await asyncio.to_thread(ours().told)
        return Response(answer, media_type="application/json")
