"""The ledger: one transaction, lists, tips."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Response

from dag.bodies import Kind
from dag.ids import cid_of
from node.api.shapes import transaction_id, transaction_json

if TYPE_CHECKING:
    from dag.ledger import Ledger
    from node.api.service import Service


def router(service: Service) -> APIRouter:
    """The routes over a node."""
    routes = APIRouter(tags=["ledger"])

    @routes.get("/transactions", summary="Transactions in the order this node attached them")
    def transactions(
        kind: Kind | None = None,
        round: Annotated[int | None, Query(ge=0, le=2**53 - 1)] = None,  # noqa: A002  (the field's own name)
        after: Annotated[str | None, Query(description="CID of the last one of the page before")] = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
    ) -> dict[str, Any]:
        start = transaction_id(after) if after else None

        def page(ledger: Ledger) -> list[dict[str, Any]]:
            found = ledger.transactions(kind=kind, round=round, after=start, limit=limit)
            return [transaction_json(tx, service.view, confirmed=ledger.is_confirmed(tx.id)) for tx in found]

        rows = service.publisher.read(page)
        return {"transactions": rows, "next": rows[-1]["id"] if len(rows) == limit else None}

    @routes.get("/transactions/tips", summary="Transactions that nobody approves yet")
    def tips() -> dict[str, Any]:
        return {"tips": [cid_of(tx_id) for tx_id in service.publisher.read(lambda ledger: ledger.tips())]}

    @routes.get("/transactions/{cid}", summary="One transaction, by CID or hex id")
    def transaction(cid: str) -> dict[str, Any]:
        tx_id = transaction_id(cid)

        def one(ledger: Ledger) -> dict[str, Any]:
            return transaction_json(ledger.get(tx_id), service.view, confirmed=ledger.is_confirmed(tx_id))

        found: dict[str, Any] = service.publisher.read(one)
        return found

    @routes.get("/transactions/{cid}/raw", summary="One transaction's canonical bytes (dag-cbor)")
    def raw(cid: str) -> Response:
        tx = service.publisher.get(transaction_id(cid))
        return Response(tx.raw, media_type="application/vnd.ipld.dag-cbor")

    @routes.get("/checkpoint", summary="Head of the log of rounds that this hospital cosigned last (a C2SP note)")
    def checkpoint() -> Response:
        try:
            return Response(service.home.checkpoint.read_bytes(), media_type="text/plain; charset=utf-8")
        except FileNotFoundError:
            raise HTTPException(404, "this hospital has cosigned no head yet") from None

    return routes
