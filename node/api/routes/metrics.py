"""Figures for Prometheus, at the root where its scrapers look."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST

from node.api.asked import answers

if TYPE_CHECKING:
    from node.api.metrics import Meter


def router(meter: Meter) -> APIRouter:
    """The route over a node's figures."""
    routes = APIRouter(tags=["node"])

    @routes.get(
        "/metrics",
        summary="Figures for Prometheus",
        response_class=Response,
        responses=answers("text/plain", "Text form of Prometheus."),
    )
    def get_metrics() -> Response:
        return Response(meter.text(), headers={"Content-Type": CONTENT_TYPE_LATEST, "Cache-Control": "no-store"})

    return routes
