"""For hospitals that are not members yet: what the consortium is, and a request to be admitted."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import JSONResponse

from node.api.bodies import read_body
from node.errors import PeerBusy
from node.membership.invitation import Invitation
from node.membership.request import MAX_REQUEST_BYTES
from node.membership.waitingroom import WaitingRoom
from node.rounds.plan import Plan
from node.storage import StorageError, raw_cid
from node.version import version

if TYPE_CHECKING:
    from node.api.service import Service

AT_ONCE = 2
"""Requests that are read at once: each costs a signature's recovery and a write to the disk."""


def router(service: Service) -> APIRouter:
    """The routes over a node."""
    routes = APIRouter(tags=["joining"])
    reading = asyncio.Semaphore(AT_ONCE)

    @routes.get("/join", summary="What a hospital must know to ask to be admitted: contracts, plan, this member's name")
    def invitation() -> dict[str, Any]:
        found = Invitation(service.chain.deployment, service.config.hospital.name, _plan(service), version())
        return found.to_json()

    @routes.post(
        "/join", summary="A hospital's signed request to be admitted, for this member's people", status_code=202
    )
    async def ask(request: Request) -> JSONResponse:
        text = await read_body(request, MAX_REQUEST_BYTES)
        if reading.locked():
            raise HTTPException(503, "this node is reading others' requests; call again later", {"Retry-After": "2"})
        async with reading:
            fingerprint = await asyncio.to_thread(_take, service, text)
        return JSONResponse({"fingerprint": fingerprint}, 202)

    return routes


def _take(service: Service, text: bytes) -> str:
    with WaitingRoom(service.home.requests, service.chain.deployment) as room:
        try:
            return room.take(text, service.view, time.time()).fingerprint
        except PeerBusy as error:
            raise HTTPException(503, str(error), {"Retry-After": "3600"}) from None


def _plan(service: Service) -> Plan | None:
    """The plan in force: the newest round's, else what this hospital would open rounds with."""
    current = service.view.current
    try:
        if current is not None:
            return Plan.from_bytes(service.store.get(raw_cid(current.plan)))
    except StorageError:
        return None
    file = service.home.file(service.config.rounds.plan)
    return Plan.from_toml(file) if file.exists() else None
