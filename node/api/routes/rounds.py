"""Rounds: what the chain says of them, how they went here, how members scored them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request, Response

from dag.bodies import Kind, ProposalBody, UpdateBody, VerdictBody
from dag.ids import cid_of
from dag.index.filters import Wanted, find_places
from node.api.asked import answers, found_round, problems
from node.api.etags import answer
from node.api.pages import MAX_PAGE, Asked, CursorText, Limit, Order
from node.api.shapes_rounds import (
    BytesShape,
    RoundDetailShape,
    RoundShape,
    RoundsShape,
    Status,
    TrainingShape,
    UpdateShape,
    VerdictShape,
    VerdictsShape,
    gas_of,
    phases_of,
)
from node.provenance.envelopes import kept
from node.rounds.plan import Plan
from node.storage import BlobMissing, raw_cid

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dag.ledger import Ledger
    from dag.transaction import Transaction
    from node.api.service import Service
    from node.consortium.records import RoundView

    _Verdict = tuple[Transaction, VerdictBody, int]

ENVELOPE = "application/vnd.dsse.envelope.v1+json"


def router(service: Service) -> APIRouter:
    """The routes over a node."""
    routes = APIRouter(tags=["rounds"])

    @routes.get(
        "/rounds", summary="Rounds as the chain tells them", response_model=RoundsShape, responses=problems(400)
    )
    def list_rounds(
        request: Request,
        status: Annotated[Status | None, Query(description="Only those that stand so.")] = None,
        order: Order = "oldest",
        cursor: CursorText = None,
        limit: Limit = 100,
    ) -> Response:
        view = service.view
        rows = [(number, row) for number, row in sorted(view.rounds.items()) if status in {None, row.status}]
        page, more = Asked(("rounds", status), limit, cursor, newest=order == "newest").cut(rows)
        found = tuple(RoundShape.model_validate(RoundShape.fields_of(row, view)) for row in page)
        return answer(request, RoundsShape(rounds=found, next=more))

    @routes.get(
        "/rounds/{number}",
        summary="One round: chain, plan, updates, verdicts, and how it went at this hospital",
        response_model=RoundDetailShape,
        responses=problems(404, 503),
    )
    def get_round(request: Request, number: int) -> Response:
        return answer(request, _detail(service, found_round(service, number)))

    @routes.get(
        "/rounds/{number}/envelope",
        summary="The round's statement in its DSSE envelope, under the quorum",
        response_class=Response,
        responses=answers(ENVELOPE, "The envelope, byte for byte.") | problems(404, 503),
    )
    def get_round_envelope(request: Request, number: int) -> Response:
        row = found_round(service, number)
        data = kept(service.journal, service.store.get, row.round)
        if data is None:
            raise HTTPException(404, f"this hospital holds no envelope of round {number}")
        return answer(request, data, ENVELOPE)

    @routes.get(
        "/verdicts",
        summary="How members scored proposals on their own held-out images",
        response_model=VerdictsShape,
        responses=problems(400, 503),
    )
    def list_verdicts(
        request: Request,
        round: Annotated[int | None, Query(ge=0, le=2**53 - 1)] = None,  # noqa: A002  (the field's own name)
        order: Order = "oldest",
        cursor: CursorText = None,
        limit: Limit = 100,
    ) -> Response:
        wanted = Wanted(Kind.VERDICT, round)
        asked = Asked(("verdicts", round), limit, cursor, newest=order == "newest")

        def page(ledger: Ledger) -> tuple[list[_Verdict], str | None]:
            at, newest = asked.after, asked.newest
            after, before = (-1, at) if newest else (-1 if at is None else at, None)
            places = find_places(ledger.tangle, wanted, limit + 1, after=after, before=before, newest=newest)
            more = asked.cursor_at(places[limit - 1]) if len(places) > limit else None
            return _sectioned(ledger, (ledger.get(ledger.tangle.id_at(place)) for place in places[:limit])), more

        found, more = service.publisher.read(page)
        return answer(request, VerdictsShape(verdicts=_verdicts(service, found), next=more))

    @routes.get(
        "/training",
        summary="Everything this hospital noted of its part in rounds",
        response_model=TrainingShape,
        responses=problems(400),
    )
    def list_training(request: Request, cursor: CursorText = None, limit: Limit = 100) -> Response:
        numbers = [(number, number) for number in sorted(service.view.rounds)]
        page, more = Asked(("training",), limit, cursor).cut(numbers)
        noted = {number: facts for number in page if (facts := service.journal.facts(number))}
        return answer(request, TrainingShape(rounds=noted, next=more))

    return routes


def _detail(service: Service, row: RoundView) -> RoundDetailShape:
    facts = service.journal.facts(row.round)

    def ask(ledger: Ledger) -> tuple[list[UpdateShape], list[_Verdict]]:
        updates = ledger.transactions(Kind.UPDATE, row.round, limit=MAX_PAGE)
        verdicts = ledger.transactions(Kind.VERDICT, row.round, limit=MAX_PAGE)
        return [_update(service, tx, confirmed=ledger.is_confirmed(tx.id)) for tx in updates], _sectioned(
            ledger, verdicts
        )

    updates, verdicts = service.publisher.read(ask)
    return RoundDetailShape.model_validate(
        RoundShape.fields_of(row, service.view)
        | {
            "plan_text": _plan(service, row),
            "here": facts,
            "phases": phases_of(facts.get("marks", {})),
            "bytes": BytesShape(upload=facts.get("upload_bytes", 0), shares=facts.get("share_bytes", 0)),
            "gas": gas_of(facts),
            "updates": updates,
            "verdicts": _verdicts(service, verdicts),
        }
    )


def _sectioned(ledger: Ledger, found: Iterable[Transaction]) -> list[_Verdict]:
    """Verdicts, each with the number of sections that the groups of its proposal are of."""
    known: dict[bytes, int] = {}
    told = []
    for tx in found:
        if isinstance(tx.body, VerdictBody):
            about = tx.body.proposal
            if about not in known:
                proposal = ledger.get(about).body
                known[about] = proposal.sections if isinstance(proposal, ProposalBody) else 1
            told.append((tx, tx.body, known[about]))
    return told


def _verdicts(service: Service, found: list[_Verdict]) -> tuple[VerdictShape, ...]:
    view = service.view
    return tuple(VerdictShape.of(*each, view) for each in found)


def _update(service: Service, tx: Transaction, *, confirmed: bool) -> UpdateShape:
    seat = service.view.seats.get(tx.issuer)
    body = tx.body
    weight, samples = (body.weight_ppm, body.samples) if isinstance(body, UpdateBody) else (1, 0)
    return UpdateShape(
        transaction=cid_of(tx.id),
        seat=seat,
        hospital=None if seat is None else service.view.hospitals[seat].name,
        weight_ppm=weight,
        samples=samples,
        confirmed=confirmed,
    )


def _plan(service: Service, row: RoundView) -> dict[str, Any] | None:
    try:
        return Plan.from_bytes(service.store.get(raw_cid(row.plan))).model_dump(mode="json")
    except BlobMissing:
        return None
