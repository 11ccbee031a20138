"""The application: routes by subject behind one gate, errors as problem documents."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import Depends, FastAPI

from node.api import problems
from node.api.access.gate import Gate
from node.api.access.table import verify_guarded
from node.api.asked import once_each
from node.api.events import Events
from node.api.metrics import Meter, Metered
from node.api.openapi import describe, operation_id
from node.api.routes import (
    audits,
    blobs,
    dashboard,
    exchanges,
    gossip,
    join,
    ledger,
    members,
    metrics,
    models,
    plans,
    predict,
    proofs,
    rounds,
    session,
    status,
)
from node.api.routes import events as news
from node.version import version

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from node.api.service import Service


def create_app(service: Service) -> FastAPI:
    """The API of a running node.

    Its event stream begins and ends with the application's life; `app.state.events` stops it before open streams keep a
    server from ending. Nothing is served but what `node.api.access.table` says who may call.

    Args:
        service: The node.

    Raises:
        UnguardedRoute: A route has no row in that table.
    """
    events = Events(service)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        events.start()
        try:
            yield
        finally:
            events.stop()

    app = FastAPI(
        title="Medweave node",
        version=version(),
        description=f"Node of {service.config.hospital.name}. Follow a round: /v1/status, /v1/rounds, /v1/transactions.",
        docs_url=None,
        redoc_url=None,
        lifespan=life,
        dependencies=[Depends(once_each)],
        generate_unique_id_function=operation_id,
    )
    app.state.events = events
    meter = Meter(service, events)
    problems.install(app)
    for routes in (
        ledger,
        proofs,
        rounds,
        models,
        predict,
        members,
        blobs,
        gossip,
        exchanges,
        plans,
        join,
        audits,
        session,
    ):
        app.include_router(routes.router(service), prefix="/v1")
    app.include_router(status.router(service, events), prefix="/v1")
    app.include_router(news.router(events), prefix="/v1")
    app.include_router(metrics.router(meter))
    app.include_router(dashboard.router(service))
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]
    verify_guarded(app)
    app.add_middleware(Gate, access=service.access)
    app.add_middleware(Metered, meter=meter)  # the last one added is the outermost: what is refused is counted as well
    return app
