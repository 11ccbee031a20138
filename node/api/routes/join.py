"""For hospitals that are not members yet: what the consortium is, and a request to be admitted."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from fastapi import APIRouter, HTTPException, Request, Response

from node.api.asked import problems
from node.api.bodies import read_body
from node.api.etags import answer
from node.api.shapes_joining import InvitationShape, RequestShape, RequestsShape, TakenShape
from node.errors import BadPlan, PeerBusy
from node.membership.invitation import Invitation
from node.membership.request import MAX_REQUEST_BYTES
from node.membership.waitingroom import WaitingRoom
from node.planning.choice import choose
from node.rounds.plan import Plan
from node.storage import StorageError, raw_cid
from node.version import version

if TYPE_CHECKING:
    from node.api.service import Service

log = logging.getLogger("medweave.membership")

AT_ONCE = 2
"""Requests that are read at once: each costs a signature's recovery and a write to the disk."""
SOON = {"Retry-After": "2"}
LATER = {"Retry-After": "3600"}


def router(service: Service) -> APIRouter:
    """The routes over a node."""
    routes = APIRouter(tags=["joining"])
    reading = asyncio.Semaphore(AT_ONCE)

    @routes.get(
        "/join",
        summary="What a hospital must know to ask to be admitted: contracts, plan, this member's name",
        response_model=InvitationShape,
    )
    def get_invitation(request: Request) -> Response:
        found = Invitation(service.chain.deployment, service.config.hospital.name, _plan(service), version())
        return answer(request, InvitationShape(**found.to_json()))

    @routes.post(
        "/join",
        summary="A hospital's signed request to be admitted, for this member's people",
        status_code=202,
        response_model=TakenShape,
        responses=problems(400, 408, 413, 503),
    )
    async def post_request(request: Request) -> TakenShape:
        text = await read_body(request, MAX_REQUEST_BYTES)
        if reading.locked():
            raise HTTPException(503, "this node is reading others' requests; call again later", SOON)
        async with reading:
            return TakenShape(fingerprint=await asyncio.to_thread(_take, service, text))

    @routes.get(
        "/requests", summary="Hospitals that ask to be admitted, with their fingerprints", response_model=RequestsShape
    )
    def list_requests(request: Request) -> Response:
        with _room(service) as room:
            rows = tuple(map(RequestShape.of, room.waiting(service.view, time.time())))
        return answer(request, RequestsShape(requests=rows))

    return routes


def _room(service: Service) -> WaitingRoom:
    return WaitingRoom(service.home.requests, service.chain.deployment)


def _take(service: Service, text: bytes) -> str:
    with _room(service) as room:
        known = {asked.hospital.account for asked in room.waiting(service.view, time.time())}
        try:
            asked = room.take(text, service.view, time.time())
        except PeerBusy as error:
            raise HTTPException(503, str(error), LATER) from None
    if asked.hospital.account not in known:
        log.warning(
            "%s asks to be admitted, fingerprint %s: medweave members pending", asked.hospital.name, asked.fingerprint
        )
    return asked.fingerprint


def _plan(service: Service) -> Plan | None:
    """The plan in force, if its bytes are here; read anew each time, for a plan may be decided meanwhile."""
    file = service.home.file(service.config.rounds.plan)
    try:
        own = Plan.from_toml(file) if file.exists() else None
        digest = choose(service.view, own).digest
        if digest is None:
            return None
        if own is not None and digest == own.digest:
            return own
        return Plan.from_bytes(service.store.get(raw_cid(digest)))
    except (BadPlan, StorageError):
        return None
