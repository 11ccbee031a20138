"""The application: routes by subject, errors as problem documents, bodies bounded."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from fastapi import FastAPI

from node.api import problems
from node.api.routes import blobs, dashboard, gossip, join, ledger, motions, rounds, status

if TYPE_CHECKING:
    from node.api.service import Service


def create_app(service: Service) -> FastAPI:
    """The API of a running node.

    Args:
        service: The node.
    """
    try:
        number = version("medweave")
    except PackageNotFoundError:
        number = "0"
    app = FastAPI(
        title="Medweave node",
        version=number,
        description=f"Node of {service.config.hospital.name}. Follow a round: /v1/status, /v1/rounds, /v1/transactions.",
        redoc_url=None,
    )
    problems.install(app)
    for routes in (status, ledger, rounds, blobs, gossip, motions, join):
        app.include_router(routes.router(service), prefix="/v1")
    app.include_router(dashboard.router(service))
    return app
