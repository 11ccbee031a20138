"""News of a node as it comes: server-sent events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Header, HTTPException, Query, Response
from fastapi.responses import StreamingResponse

from node.api.asked import answers, problems
from node.api.events import MAX_READERS

if TYPE_CHECKING:
    from node.api.events import Events


def router(events: Events) -> APIRouter:
    """The route over a node's events."""
    routes = APIRouter(tags=["node"])

    @routes.get(
        "/events",
        summary="What happens at this node, as it happens (server-sent events); resumes after Last-Event-ID",
        response_class=StreamingResponse,
        responses=answers("text/event-stream", "A stream without end.") | problems(503),
    )
    async def get_events(
        last_event_id: Annotated[
            str | None, Header(max_length=64, description="Id of the event seen last; browsers send it by themselves.")
        ] = None,
        last: Annotated[
            str | None, Query(max_length=64, description="The same, for callers that cannot set headers.")
        ] = None,
    ) -> Response:
        if events.readers >= MAX_READERS:
            raise HTTPException(503, f"{MAX_READERS} readers follow this node already; call again later")
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(events.stream(last_event_id or last), headers=headers, media_type="text/event-stream")

    return routes
