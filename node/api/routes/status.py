"""Health, what this node is doing, members, key epochs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, HTTPException

from node.api.shapes import epoch_json, members_json

if TYPE_CHECKING:
    from node.api.service import Service


def router(service: Service) -> APIRouter:
    """The routes over a node."""
    routes = APIRouter(tags=["node"])

    @routes.get("/health", summary="Whether the node answers")
    def health() -> dict[str, Any]:
        return {"status": "ok", "seconds": round(time.time() - service.started, 1)}

    @routes.get("/status", summary="What this hospital is doing now")
    def status() -> dict[str, Any]:
        return _status(service)

    @routes.get("/members", summary="The consortium's members, as the chain knows them")
    def members() -> dict[str, Any]:
        return {"quorum": service.view.quorum, "members": members_json(service.view)}

    @routes.get("/epochs", summary="Key epochs and their ceremonies")
    def epochs() -> dict[str, Any]:
        rows = [epoch_json(epoch) for epoch in service.view.epochs.values()]
        return {"active": service.view.active_epoch or None, "epochs": rows}

    @routes.get("/epochs/{number}", summary="One key epoch")
    def epoch(number: int) -> dict[str, Any]:
        found = service.view.epochs.get(number)
        if found is None:
            raise HTTPException(404, f"there is no epoch {number}")
        return epoch_json(found)

    return routes


def _status(service: Service) -> dict[str, Any]:
    view = service.view
    hospital = view.hospitals[service.me]
    runners = service.conductor.runners if service.conductor else {}
    runner = runners[max(runners)] if runners else None
    return {
        "hospital": {"index": service.me, "name": hospital.name, "account": hospital.account, "url": hospital.url},
        "consortium": service.chain.deployment.consortium.hex(),
        "epoch": {"active": view.active_epoch or None, "doing": service.keeper.doing},
        "round": None
        if runner is None
        else {
            "round": runner.state.facts.round,
            "phase": runner.phase,
            "doing": runner.doing,
            "progress": runner.progress[1],
            "leader": runner.state.rank == 0,
            "refused": {subject.hex(): reason for subject, reason in runner.state.refused.items()},
        },
        "finalised": view.finalised,
        "target": service.config.rounds.target,
        "model": view.head.hex() if view.head else None,
        "transactions": service.publisher.read(len),
    }
