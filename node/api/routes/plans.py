"""The plan in force, and when the next round is opened by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response

from node.api.etags import answer
from node.api.shapes_plans import NextRoundShape, PlanShape
from node.planning.words import explain

if TYPE_CHECKING:
    from node.api.service import Service


def router(service: Service) -> APIRouter:
    """The routes over a node."""
    routes = APIRouter(tags=["rounds"])

    @routes.get(
        "/plan",
        summary="The plan in force: its settings, what it costs and hides, when the next round is opened",
        response_model=PlanShape,
    )
    def get_plan(request: Request) -> Response:
        view, planning = service.view, service.planning
        fresh = service.notices.fresh(view)
        opening = planning.outlook(view, len(fresh))
        following = NextRoundShape(
            at=opening.at,
            why=opening.why,
            paused=planning.orders.paused,
            new_data=tuple(view.hospitals[seat].name for seat in sorted(fresh)),
        )
        choice, plan = planning.choice(view), planning.plan
        said = None if plan is None else explain(plan, max(1, len(view.members)))
        fields = None if plan is None else plan.model_dump(mode="json")
        return answer(request, PlanShape.of(choice.source, choice.digest, fields, said, following))

    return routes
