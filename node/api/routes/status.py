"""Health, readiness, what this node is doing, what it keeps."""

from __future__ import annotations

import shutil
import threading
import time
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response

from node.api.asked import problems
from node.api.etags import JSON, answer
from node.api.readiness import Readiness
from node.api.shapes_node import (
    EpochStateShape,
    HealthShape,
    HospitalShape,
    PeerShape,
    ReadyShape,
    RoundStateShape,
    StatusShape,
    StorageShape,
)
from node.storage import FileStore
from node.storage.limited import LimitedStore
from node.storage.opening import GIBIBYTE
from node.version import version

if TYPE_CHECKING:
    from dag.ledger import Ledger
    from node.api.events import Events
    from node.api.service import Service
    from node.api.shapes_node import WarningShape

COUNTED_SECONDS = 60.0
"""Counting every blob takes a look at each: done at most this often."""


def router(service: Service, events: Events) -> APIRouter:
    """The routes over a node."""
    routes = APIRouter(tags=["node"])
    readiness = Readiness(service)
    cellar = _Cellar(service)

    @routes.get("/health", summary="Whether the node answers", response_model=HealthShape)
    async def get_health() -> Response:
        seconds = max(0.0, round(time.time() - service.started, 1))
        body = HealthShape(status="ok", seconds=seconds, version=version())
        return Response(body.model_dump_json(), media_type=JSON, headers={"Cache-Control": "no-store"})

    @routes.get(
        "/ready",
        summary="Whether the node can take part in rounds; 503 if not",
        response_model=ReadyShape,
        responses={503: {"model": ReadyShape, "description": "Something it needs is not there; `checks` say what."}},
    )
    def get_ready() -> Response:
        found = readiness.now()
        headers = {"Cache-Control": "no-store"}
        return Response(found.model_dump_json(), 200 if found.ready else 503, headers, JSON)

    @routes.get("/status", summary="What this hospital is doing now", response_model=StatusShape)
    def get_status(request: Request) -> Response:
        own = request.state.caller.kind == "person"
        return answer(request, _status(service, events.warnings if own else ()))

    @routes.get(
        "/storage",
        summary="How many blobs this hospital keeps, and how much room they take and have",
        response_model=StorageShape,
        responses=problems(503),
    )
    def get_storage(request: Request) -> Response:
        return answer(request, cellar.look())

    return routes


def _status(service: Service, warnings: tuple[WarningShape, ...]) -> StatusShape:
    view, me = service.view, service.me
    hospital = view.hospitals[me]
    return StatusShape(
        hospital=HospitalShape(index=me, name=hospital.name, account=hospital.account, url=hospital.url),
        consortium=service.chain.deployment.consortium.hex(),
        version=version(),
        seconds=max(0.0, round(time.time() - service.started, 1)),
        epoch=EpochStateShape(active=view.active_epoch or None, doing=service.keeper.doing),
        round=_round(service),
        finalised=view.finalised,
        target=service.config.rounds.target,
        model=view.head.hex() if view.head else None,
        peers=tuple(
            PeerShape(index=seat, name=h.name, url=h.url, silent=h.url in service.gossip.presence.silent)
            for seat, h in view.present
            if seat != me
        ),
        warnings=warnings,
        **service.publisher.read(_counts),
    )


def _counts(ledger: Ledger) -> dict[str, Any]:
    return {
        "transactions": len(ledger),
        "tips": ledger.tangle.tip_count,
        "outbox": len(ledger.outbox()),
        "missing": len(ledger.missing()),
    }


def _round(service: Service) -> RoundStateShape | None:
    runners = service.conductor.runners if service.conductor else {}
    newest = max(tuple(runners), default=None)
    runner = None if newest is None else runners.get(newest)
    if runner is None:
        return None
    return RoundStateShape(
        round=runner.state.facts.round,
        phase=runner.phase,
        doing=runner.doing,
        progress=min(1.0, max(0.0, runner.progress[1])),
        leader=runner.state.rank == 0,
        refused={subject.hex(): reason for subject, reason in runner.state.refused.items()},
    )


class _Cellar:
    """Counts blobs, not more often than once a minute."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._lock = threading.Lock()
        self._known: tuple[int, int, int | None] = (0, 0, None)
        self._counted = 0.0

    def look(self) -> StorageShape:
        store = self._service.store
        inner = store.store if isinstance(store, LimitedStore) else store
        files = isinstance(inner, FileStore)
        settings = self._service.config.storage
        with self._lock:
            if time.time() - self._counted > COUNTED_SECONDS:
                sizes = [store.size(cid) for cid in store.iterate() if store.has(cid)]
                unfinished = len(inner.unfinished()) if isinstance(inner, FileStore) else None
                self._known, self._counted = (len(sizes), sum(sizes), unfinished), time.time()
            blobs, total, unfinished = self._known
            return StorageShape(
                store="files" if files else "ipfs",
                blobs=blobs,
                bytes=total,
                quota_bytes=int(settings.quota_gib * GIBIBYTE) or None,
                free_bytes=shutil.disk_usage(self._service.home.root).free if files else None,
                unfinished=unfinished,
                counted=self._counted,
            )
