"""Rounds, models and where a model came from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, HTTPException, Response

from node.api.shapes import digest, model_json, round_json
from node.errors import LyingPeer
from node.provenance.envelopes import kept
from node.provenance.errors import NotAtHand
from node.provenance.forms import MEDIA_TYPES, Form, rendered
from node.provenance.story import tell
from node.rounds.plan import Plan
from node.storage import BlobMissing, raw_cid

if TYPE_CHECKING:
    from node.api.service import Service
    from node.consortium.records import ModelView, RoundView


def router(service: Service) -> APIRouter:
    """The routes over a node."""
    routes = APIRouter(tags=["rounds"])

    @routes.get("/rounds", summary="All rounds, oldest first")
    def rounds() -> dict[str, Any]:
        return {"rounds": [round_json(row) for row in service.view.rounds.values()]}

    @routes.get("/rounds/{number}", summary="One round: chain, plan, and how it went at this hospital")
    def one_round(number: int) -> dict[str, Any]:
        row = service.view.rounds.get(number)
        if row is None:
            raise HTTPException(404, f"there is no round {number}")
        return round_json(row) | {"plan_text": _plan(service, row), "here": service.journal.facts(number)}

    @routes.get("/rounds/{number}/envelope", summary="The round's statement in its DSSE envelope, under the quorum")
    def envelope(number: int) -> Response:
        data = kept(service.journal, service.store.get, number) if number in service.view.rounds else None
        if data is None:
            raise HTTPException(404, f"this hospital holds no envelope of round {number}")
        return Response(data, media_type="application/vnd.dsse.envelope.v1+json")

    @routes.get("/models", summary="The lineage, genesis first")
    def models() -> dict[str, Any]:
        return {"models": [model_json(model) for model in service.view.models.values()]}

    @routes.get("/models/{model}", summary="One model of the lineage")
    def one_model(model: str) -> dict[str, Any]:
        return model_json(_model(service, model))

    @routes.get("/models/{model}/sealed/{epoch}", summary="Where a model lies sealed to the members of a key epoch")
    def sealed(model: str, epoch: int) -> dict[str, Any]:
        held = service.journal.model(digest(model))
        if held is None or held[0] != epoch:
            raise HTTPException(404, f"model {model[:80]} is not held here under epoch {epoch}")
        return {"epoch": held[0], "round": held[1], "cid": held[2]}

    @routes.get("/models/{model}/provenance", summary="Where a model came from: its statements back to genesis")
    def provenance(model: str) -> dict[str, Any]:
        steps = []
        at: ModelView | None = _model(service, model)
        while at is not None:
            steps.append(model_json(at) | {"statement_text": _statement(service, at)})
            at = service.view.models.get(at.parent)
        return {"model": steps[0]["model"], "lineage": steps}

    @routes.get("/models/{model}/card", summary="The model's card, for people")
    def card(model: str, form: Form = "html") -> Response:
        found = _model(service, model)
        try:
            story = tell(service.view, service.chain.deployment, found.model, _Shelf(service))
        except NotAtHand as error:
            raise HTTPException(404, str(error)) from None
        except LyingPeer as error:
            raise HTTPException(503, f"what lies here contradicts the chain: {error}") from None
        return Response(rendered(story, form), media_type=MEDIA_TYPES[form])

    @routes.get("/training", summary="Metrics of this hospital's training, by round")
    def training() -> dict[str, Any]:
        rows = {number: service.journal.facts(number) for number in service.view.rounds}
        return {"rounds": {number: facts for number, facts in rows.items() if facts}}

    return routes


class _Shelf:
    """`Shelf` over a node's own store."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def blob(self, cid: str) -> bytes | None:
        try:
            return self._service.store.get(cid)
        except BlobMissing:
            return None

    def envelope(self, number: int) -> bytes | None:
        return kept(self._service.journal, self._service.store.get, number)


def _model(service: Service, text: str) -> ModelView:
    found = service.view.models.get(digest(text))
    if found is None:
        raise HTTPException(404, f"model {text[:80]} is not in the lineage")
    return found


def _plan(service: Service, row: RoundView) -> dict[str, Any] | None:
    try:
        return Plan.from_bytes(service.store.get(raw_cid(row.plan))).model_dump(mode="json")
    except BlobMissing:
        return None


def _statement(service: Service, model: ModelView) -> dict[str, Any] | None:
    if not any(model.statement):
        return None
    try:
        found: dict[str, Any] = json.loads(service.store.get(raw_cid(model.statement)))
    except BlobMissing:
        return None
    return found
