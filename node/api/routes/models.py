"""Models: the lineage, where a model came from, its statement, envelope and card, and the model itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from fastapi import APIRouter, HTTPException, Request, Response

from crypto.errors import MalformedBytes
from crypto.passing import pass_on
from node.api.asked import answers, found_model, problems
from node.api.etags import answer
from node.api.opened import opened
from node.api.pages import Asked, CursorText, Limit, Order
from node.api.routes.rounds import ENVELOPE
from node.api.shapes import digest
from node.api.shapes_models import (
    ModelDetailShape,
    ModelShape,
    ModelsShape,
    ProvenanceShape,
    SealedShape,
    StepShape,
)
from node.errors import LyingPeer
from node.provenance.envelopes import kept
from node.provenance.errors import NotAtHand
from node.provenance.forms import MEDIA_TYPES, Form, rendered
from node.provenance.story import tell
from node.sealing.models import OWN
from node.storage import BlobMissing, raw_cid

if TYPE_CHECKING:
    from node.api.service import Service
    from node.consortium.records import ModelView

MODEL_FILE = "application/octet-stream"


CARD_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The card carries its own style, and nothing else that a browser would load or run."""


def router(service: Service) -> APIRouter:
    """The routes over a node."""
    routes = APIRouter(tags=["models"])

    @routes.get("/models", summary="The lineage of models", response_model=ModelsShape, responses=problems(400))
    def list_models(
        request: Request, order: Order = "oldest", cursor: CursorText = None, limit: Limit = 100
    ) -> Response:
        view, held = service.view, _held(service)
        page, more = Asked(("models",), limit, cursor, newest=order == "newest").cut(enumerate(view.models.values()))
        rows = tuple(ModelShape.of(model, view, held) for model in page)
        return answer(request, ModelsShape(models=rows, next=more))

    @routes.get(
        "/models/{model}",
        summary="One model of the lineage",
        response_model=ModelDetailShape,
        responses=problems(400, 404),
    )
    def get_model(request: Request, model: str) -> Response:
        found, view = found_model(service, model), service.view
        children = tuple(other.model.hex() for other in view.models.values() if other.parent == found.model)
        row = ModelShape.of(found, view, _held(service))
        return answer(request, ModelDetailShape(**row.model_dump(), children=children))

    @routes.get(
        "/models/{model}/sealed/{epoch}",
        summary="Where a model lies sealed to the members of a key epoch",
        response_model=SealedShape,
        responses=problems(400, 404),
    )
    def get_sealed_model(request: Request, model: str, epoch: int) -> Response:
        held = service.journal.model(digest(model))
        if held is None or epoch == OWN or held[0] != epoch:
            raise HTTPException(404, f"model {model[:80]} is not held here under epoch {epoch}")
        return answer(request, SealedShape(epoch=held[0], round=held[1], cid=held[2]))

    @routes.get(
        "/models/{model}/provenance",
        summary="Where a model came from: its statements back to the first model",
        response_model=ProvenanceShape,
        responses=problems(400, 404, 503),
    )
    def get_provenance(request: Request, model: str, cursor: CursorText = None, limit: Limit = 100) -> Response:
        found, held = found_model(service, model), _held(service)
        page, more = Asked(("provenance", found.model), limit, cursor).cut(enumerate(_lineage(service, found)))
        steps = tuple(
            StepShape(
                **ModelShape.of(step, service.view, held).model_dump(), statement_text=_statement_text(service, step)
            )
            for step in page
        )
        return answer(request, ProvenanceShape(model=found.model.hex(), lineage=steps, next=more))

    @routes.get(
        "/models/{model}/card",
        summary="The model's card, for people",
        response_class=Response,
        responses=answers(MEDIA_TYPES["html"], "In the form asked for.", MEDIA_TYPES["md"], MEDIA_TYPES["json"])
        | problems(400, 404, 503),
    )
    def get_card(request: Request, model: str, form: Form = "html") -> Response:
        found = found_model(service, model)
        try:
            story = tell(service.view, service.chain.deployment, found.model, _Shelf(service))
        except NotAtHand as error:
            raise HTTPException(404, str(error)) from None
        except LyingPeer as error:
            raise HTTPException(503, f"what lies here contradicts the chain: {error}") from None
        page = answer(request, rendered(story, form).encode(), MEDIA_TYPES[form])
        page.headers["Content-Security-Policy"] = CARD_POLICY
        return page

    _files(routes, service)
    return routes


def _files(routes: APIRouter, service: Service) -> None:
    """What is given out byte for byte."""

    @routes.get(
        "/models/{model}/statement",
        summary="The model's statement, byte for byte as the chain names it",
        response_class=Response,
        responses=answers("application/vnd.in-toto+json", "sha2-256 of the bytes is on chain.")
        | problems(400, 404, 503),
    )
    def get_statement(request: Request, model: str) -> Response:
        found = found_model(service, model)
        if not any(found.statement):
            raise HTTPException(404, f"model {found.model.hex()} is the first one: no round made it")
        return answer(request, service.store.get(raw_cid(found.statement)), "application/vnd.in-toto+json")

    @routes.get(
        "/models/{model}/envelope",
        summary="The model's statement in its DSSE envelope, under the quorum",
        response_class=Response,
        responses=answers(ENVELOPE, "The envelope, byte for byte.") | problems(400, 404, 503),
    )
    def get_model_envelope(request: Request, model: str) -> Response:
        found = found_model(service, model)
        data = kept(service.journal, service.store.get, found.round) if found.round else None
        if data is None:
            raise HTTPException(404, f"this hospital holds no envelope of model {found.model.hex()}")
        return answer(request, data, ENVELOPE)

    @routes.get(
        "/models/{model}/passed/{seat}",
        summary="The model itself, sealed to a member's registered key: for who rested in the round that made it",
        response_class=Response,
        responses=answers(MODEL_FILE, "A libsodium sealed box; only that member opens it.") | problems(400, 404, 503),
    )
    def get_passed_model(model: str, seat: int) -> Response:
        found, view = found_model(service, model), service.view
        if seat not in view.members:
            raise HTTPException(404, f"seat {seat} is no member's")
        data = opened(service, found.model)
        try:
            sealed = pass_on(data, view.hospitals[seat].box_key)
        except MalformedBytes as error:
            raise HTTPException(404, f"nothing can be sealed to the member of seat {seat}: {error}") from None
        return Response(sealed, media_type=MODEL_FILE, headers={"Cache-Control": "no-store"})

    @routes.get(
        "/models/{model}/file",
        summary="The model itself, opened with this hospital's key: for people of this hospital who may take it along",
        response_class=Response,
        responses=answers(MODEL_FILE, "The model file; its sha2-256 is the model's name.") | problems(400, 404, 503),
    )
    def get_model_file(request: Request, model: str) -> Response:
        found = found_model(service, model)
        return answer(request, opened(service, found.model), MODEL_FILE)


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


def _held(service: Service) -> frozenset[bytes]:
    return frozenset(row[0] for row in service.journal.models())


def _lineage(service: Service, model: ModelView) -> list[ModelView]:
    """The model and its ancestors, newest first."""
    steps, seen = [model], {model.model}
    while (parent := service.view.models.get(steps[-1].parent)) is not None and parent.model not in seen:
        steps.append(parent)
        seen.add(parent.model)
    return steps


def _statement_text(service: Service, model: ModelView) -> dict[str, Any] | None:
    if not any(model.statement):
        return None
    try:
        found: dict[str, Any] = json.loads(service.store.get(raw_cid(model.statement)))
    except BlobMissing:
        return None
    return found
