"""Audits: ask for one, see how it goes, read what it found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, HTTPException, Request, Response

from node.api.asked import found_model, found_round, problems
from node.api.audits import AuditDesk
from node.api.etags import answer
from node.api.shapes_audits import AuditAsked, AuditDetailShape, AuditShape, AuditsShape
from node.audit.errors import TooManyAudits

if TYPE_CHECKING:
    from node.api.service import Service

RETRY_SECONDS = 30


def router(service: Service) -> APIRouter:
    """The routes over a node."""
    routes = APIRouter(tags=["audits"])
    desk = AuditDesk(service)

    @routes.post(
        "/audits",
        summary="Ask for an audit; it runs in a process of its own and is followed by its number",
        status_code=202,
        response_model=AuditShape,
        responses=problems(400, 404, 503),
    )
    def post_audit(asked: AuditAsked, response: Response) -> AuditShape:
        if asked.model is not None and asked.round is not None:
            raise HTTPException(400, "name a model or a round, not both")
        if asked.model is not None:
            found_model(service, asked.model)
        if asked.round is not None and not found_round(service, asked.round).finalised:
            raise HTTPException(400, f"round {asked.round} is not finalised: there is nothing to audit")
        try:
            made = desk.ask(asked.model, asked.round)
        except TooManyAudits as error:
            raise HTTPException(503, str(error), {"Retry-After": str(RETRY_SECONDS)}) from None
        response.headers["Location"] = f"/v1/audits/{made.number}"
        return AuditShape.of(made)

    @routes.get("/audits", summary="Audits that were asked for, newest first", response_model=AuditsShape)
    def list_audits(request: Request) -> Response:
        known = desk.all()
        waiting = sum(audit.state == "waiting" for audit in known)
        return answer(request, AuditsShape(audits=tuple(map(AuditShape.of, known)), waiting=waiting))

    @routes.get(
        "/audits/{number}",
        summary="One audit: how far it is, or its report",
        response_model=AuditDetailShape,
        responses=problems(404),
    )
    def get_audit(request: Request, number: int) -> Response:
        found = desk.get(number)
        if found is None:
            raise HTTPException(404, f"there is no audit {number} since this node was started")
        return answer(request, AuditDetailShape.of(found))

    return routes
