"""Proofs: of one transaction, of the log's growth; the head that this hospital cosigned, and the log itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, HTTPException, Query, Request, Response

from dag.errors import LedgerError, ProofFailed
from dag.proofs.merkle import consistency_proof, root
from dag.proofs.notes import Note
from node.api.asked import answers, problems
from node.api.etags import answer
from node.api.pages import Asked, CursorText, Limit
from node.api.shapes import transaction_id
from node.api.shapes_ledger import ConsistencyShape, LogRow, LogShape

if TYPE_CHECKING:
    from dag.proofs.roundlog import RoundLog
    from node.api.service import Service

TEXT = "text/plain; charset=utf-8"


def router(service: Service) -> APIRouter:
    """The routes over a node."""
    routes = APIRouter(tags=["proofs"])

    @routes.get(
        "/transactions/{cid}/proof",
        summary="That a finalised round holds a transaction: a file for `medweave ledger verify`",
        response_class=Response,
        responses=answers(TEXT, "A proof file (docs/spec/ledger.md); needs the list of members and nothing else.")
        | problems(400, 404, 503),
    )
    def get_proof(
        request: Request,
        cid: str,
        log: Annotated[
            bool, Query(description="With the round's place in the log, under the head this hospital cosigned.")
        ] = False,
    ) -> Response:
        tx_id = transaction_id(cid)
        transaction = service.publisher.get(tx_id)
        known, head = _log(service), _head(service) if log else None
        try:
            proof = known.prove(transaction, head)
        except ProofFailed as error:
            raise HTTPException(404, str(error)) from None
        return answer(request, proof.render(), TEXT)

    @routes.get(
        "/checkpoint",
        summary="Head of the log of rounds that this hospital cosigned last (a C2SP note)",
        response_class=Response,
        responses=answers(TEXT, "The note.") | problems(404),
    )
    def get_checkpoint(request: Request) -> Response:
        try:
            return answer(request, service.home.checkpoint.read_bytes(), TEXT)
        except FileNotFoundError:
            raise HTTPException(404, "this hospital has cosigned no head yet") from None

    @routes.get("/log", summary="The log of finalised rounds", response_model=LogShape, responses=problems(400))
    def get_log(request: Request, cursor: CursorText = None, limit: Limit = 100) -> Response:
        known = service.witness.log
        rounds = () if known is None else known.rounds
        page, more = Asked(("log",), limit, cursor).cut(enumerate(rounds))
        body = LogShape(
            consortium=service.chain.deployment.consortium.hex(),
            size=len(rounds),
            root=None if known is None else known.head.root.hex(),
            rounds=tuple(map(LogRow.of, page)),
            next=more,
        )
        return answer(request, body)

    @routes.get(
        "/log/consistency",
        summary="That an earlier head of the log is a prefix of a later one",
        response_model=ConsistencyShape,
        responses=problems(404),
    )
    def get_consistency(
        request: Request,
        first: Annotated[int, Query(ge=1, le=2**31, description="Rounds under the earlier head.")],
        second: Annotated[int, Query(ge=1, le=2**31, description="Rounds under the later one.")],
    ) -> Response:
        known = _log(service)
        if not first <= second <= len(known.rounds):
            raise HTTPException(404, f"the log has {len(known.rounds)} rounds: expected first ≤ second ≤ that")
        leaves = [one.record.leaf for one in known.rounds[:second]]
        body = ConsistencyShape(
            consortium=service.chain.deployment.consortium.hex(),
            first=first,
            second=second,
            first_root=root(leaves[:first]).hex(),
            second_root=root(leaves).hex(),
            path=tuple(step.hex() for step in consistency_proof(leaves, first).path),
        )
        return answer(request, body)

    return routes


def _log(service: Service) -> RoundLog:
    known = service.witness.log
    if known is None:
        raise HTTPException(404, "no round is in the log yet")
    return known


def _head(service: Service) -> Note:
    try:
        return Note.parse(service.home.checkpoint.read_bytes())
    except (FileNotFoundError, LedgerError):
        raise HTTPException(404, "this hospital has cosigned no head yet: ask without log=true") from None
