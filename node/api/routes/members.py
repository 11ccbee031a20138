"""Members, key epochs, and what is put to the members' vote."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, HTTPException, Query, Request, Response

from node.api.asked import problems
from node.api.etags import answer
from node.api.pages import Asked, CursorText, Limit
from node.api.shapes_members import (
    EpochShape,
    EpochsShape,
    MemberShape,
    MembersShape,
    MotionShape,
    MotionsShape,
)

if TYPE_CHECKING:
    from node.api.service import Service


def router(service: Service) -> APIRouter:
    """The routes over a node."""
    routes = APIRouter(tags=["consortium"])

    @routes.get(
        "/members",
        summary="The consortium's members, as the chain knows them",
        response_model=MembersShape,
        responses=problems(400),
    )
    def list_members(
        request: Request,
        former: Annotated[bool, Query(description="With those that left.")] = False,
    ) -> Response:
        view = service.view
        seats = range(len(view.hospitals)) if former else sorted(view.members)
        return answer(
            request, MembersShape(quorum=view.quorum, members=tuple(MemberShape.of(view, seat) for seat in seats))
        )

    @routes.get(
        "/members/{index}", summary="One hospital by its seat", response_model=MemberShape, responses=problems(404)
    )
    def get_member(request: Request, index: int) -> Response:
        if not 0 <= index < len(service.view.hospitals):
            raise HTTPException(404, f"no hospital ever had seat {index}")
        return answer(request, MemberShape.of(service.view, index))

    @routes.get(
        "/epochs", summary="Key epochs and their ceremonies", response_model=EpochsShape, responses=problems(400)
    )
    def list_epochs(request: Request, cursor: CursorText = None, limit: Limit = 100) -> Response:
        view = service.view
        page, more = Asked(("epochs",), limit, cursor).cut(sorted(view.epochs.items()))
        rows = tuple(map(EpochShape.of, page))
        return answer(request, EpochsShape(active=view.active_epoch or None, epochs=rows, next=more))

    @routes.get("/epochs/{number}", summary="One key epoch", response_model=EpochShape, responses=problems(404))
    def get_epoch(request: Request, number: int) -> Response:
        found = service.view.epochs.get(number)
        if found is None:
            raise HTTPException(404, f"there is no epoch {number}")
        return answer(request, EpochShape.of(found))

    @routes.get(
        "/motions",
        summary="What is put to the members' vote: pending oldest first, ended newest first",
        response_model=MotionsShape,
        responses=problems(400),
    )
    def list_motions(
        request: Request,
        state: Annotated[Literal["pending", "ended"], Query(description="Still open, or over.")] = "pending",
        cursor: CursorText = None,
        limit: Limit = 100,
    ) -> Response:
        pending, book = state == "pending", service.book
        rows = [(motion, "") for motion in book.live()] if pending else book.ended()
        page, more = Asked(("motions", state), limit, cursor).cut(enumerate(rows))
        found = tuple(
            MotionShape.of(motion, book.signatures(motion), service.view, pending=pending, how=how)
            for motion, how in page
        )
        return answer(request, MotionsShape(motions=found, next=more))

    return routes
