"""The ledger: lists, one transaction, tips, cones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from dag.bodies import Kind
from dag.ids import cid_of
from dag.index.filters import Wanted, find_places
from node.api.asked import answers, problems
from node.api.etags import answer
from node.api.pages import MAX_PAGE, Asked, CursorText, Limit, Order
from node.api.rows import TransactionRows, listed
from node.api.shapes import address, transaction_id
from node.api.shapes_ledger import ConeShape, TipsShape, TransactionShape, TransactionsShape

if TYPE_CHECKING:
    from collections.abc import Callable

    from dag.ledger import Ledger
    from node.api.service import Service

MAX_DEPTH = 64
Direction = Literal["past", "future"]


def router(service: Service) -> APIRouter:
    """The routes over a node."""
    routes = APIRouter(tags=["ledger"])
    rows = TransactionRows()

    @routes.get(
        "/transactions",
        summary="Transactions in the order this node attached them",
        response_model=TransactionsShape,
        responses=problems(400, 404, 503),
    )
    def list_transactions(
        request: Request,
        kind: Kind | None = None,
        round: Annotated[int | None, Query(ge=0, le=2**53 - 1)] = None,  # noqa: A002  (the field's own name)
        issuer: Annotated[
            str | None,
            Query(max_length=42, description="Only of the hospital with this account (hex), under whichever it had."),
        ] = None,
        since: Annotated[
            str | None, Query(max_length=64, description="Only those attached after this transaction (CID or hex).")
        ] = None,
        confirmed: Annotated[bool | None, Query(description="Only those a quorum approves, or does not yet.")] = None,
        order: Order = "oldest",
        cursor: CursorText = None,
        limit: Limit = 100,
    ) -> Response:
        seat = _seat(service, issuer)
        if seat is None:
            return answer(request, listed("transactions", (), next=None))
        wanted = Wanted(kind, round, None if issuer is None else seat, confirmed)
        asked = Asked(("transactions", wanted, since), limit, cursor, newest=order == "newest")
        start = transaction_id(since) if since else None

        def page(ledger: Ledger) -> bytes:
            places = _places(ledger, wanted, asked, start)
            more = asked.cursor_at(places[limit - 1]) if len(places) > limit else None
            ids = [ledger.tangle.id_at(place) for place in places[:limit]]
            return listed("transactions", rows.rows(ledger, ids, service.view), next=more)

        return answer(request, service.publisher.read(page))

    @routes.get("/transactions/tips", summary="Transactions that nobody approves yet", response_model=TipsShape)
    def list_tips(request: Request) -> Response:
        tips = service.publisher.read(lambda ledger: ledger.tips())
        return answer(request, TipsShape(tips=tuple(map(cid_of, tips[:MAX_PAGE])), count=len(tips)))

    @routes.get(
        "/transactions/{cid}",
        summary="One transaction, by CID or hex id",
        response_model=TransactionShape,
        responses=problems(400, 404, 503),
    )
    def get_transaction(request: Request, cid: str) -> Response:
        tx_id = transaction_id(cid)
        return answer(request, service.publisher.read(lambda ledger: rows.rows(ledger, [tx_id], service.view)[0]))

    @routes.get(
        "/transactions/{cid}/raw",
        summary="One transaction's canonical bytes (dag-cbor)",
        response_class=Response,
        responses=answers("application/vnd.ipld.dag-cbor", "The bytes; the id is their digest.")
        | problems(400, 404, 503),
    )
    def get_transaction_bytes(request: Request, cid: str) -> Response:
        tx = service.publisher.get(transaction_id(cid))
        return answer(request, tx.raw, "application/vnd.ipld.dag-cbor")

    @routes.get(
        "/transactions/{cid}/cone",
        summary="What a transaction approves, or what approves it, nearest first",
        response_model=ConeShape,
        responses=problems(400, 404, 503),
    )
    def get_cone(
        request: Request,
        cid: str,
        direction: Direction = "past",
        depth: Annotated[int, Query(ge=1, le=MAX_DEPTH, description="At most so many steps away.")] = 8,
        limit: Limit = 100,
    ) -> Response:
        tx_id = transaction_id(cid)

        def cone(ledger: Ledger) -> bytes:
            tangle = ledger.tangle
            reached, cut = _reach(tx_id, tangle.parents if direction == "past" else tangle.approvers, depth, limit)
            found = rows.rows(ledger, list(reached), service.view)
            named = [b'%s,"distance":%d}' % (row[:-1], far) for row, far in zip(found, reached.values(), strict=True)]
            return listed("transactions", named, transaction=cid_of(tx_id), direction=direction, cut=cut)

        return answer(request, service.publisher.read(cone))

    return routes


def _seat(service: Service, issuer: str | None) -> int | None:
    """The issuer's seat; None where that account never was a member's, so that nothing is by it."""
    return -1 if issuer is None else service.view.seats.get(address(issuer))


def _places(ledger: Ledger, wanted: Wanted, asked: Asked, since: bytes | None) -> list[int]:
    """Places of the page's transactions, and of one more where there is one."""
    floor = -1 if since is None else ledger.tangle.position(since)
    at = asked.after
    if asked.newest:
        return find_places(ledger.tangle, wanted, asked.limit + 1, after=floor, before=at, newest=True)
    return find_places(ledger.tangle, wanted, asked.limit + 1, after=floor if at is None else max(floor, at))


def _reach(
    start: bytes, step: Callable[[bytes], tuple[bytes, ...]], depth: int, limit: int
) -> tuple[dict[bytes, int], bool]:
    """What is reached within some steps, with its distance, nearest first; and whether something was left out."""
    reached, queue = {start: 0}, [start]
    step(start)
    for at in queue:
        for other in step(at):
            if other in reached:
                continue
            if len(reached) == limit or reached[at] == depth:
                return reached, True
            reached[other] = reached[at] + 1
            queue.append(other)
    return reached, False
