"""Answers to peers' questions, each within the limits of one message."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dag.ids import sha256
from dag.sync.messages import MAX_CONTENT_BYTES, MAX_TIPS, MAX_TRANSACTIONS, Answer, Frontier, Range

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable

    from dag.sync.messages import RangeRequest, Request
    from dag.sync.ports import LedgerPort


def answer(port: LedgerPort, request: Request) -> Answer:
    """The asked transactions that are attached, as many as fit, and which are not."""
    known = [tx_id for tx_id in request.ids if tx_id in port]
    absent = tuple(tx_id for tx_id in request.ids if tx_id not in port)
    return Answer(request.number, within(port.raw(tx_id) for tx_id in known), absent)


def page(port: LedgerPort, request: RangeRequest, limit: int) -> Range:
    """A page of the order in which this node attached its transactions; empty where it has no place to begin at.

    Args:
        port: the ledger.
        request: the question.
        limit: most transactions in the page.
    """
    start = next((tx_id for tx_id in request.after if tx_id in port), None)
    if start is None or (request.until is not None and request.until not in port):
        return Range(request.number, (), more=False)
    found = port.page(start, limit)
    raws = within(found)
    if request.until is not None:
        ids = [sha256(raw) for raw in raws]
        if request.until in ids:
            return Range(request.number, raws[: ids.index(request.until) + 1], more=False)
    return Range(request.number, raws, more=bool(raws) and (len(found) == limit or len(raws) < len(found)))


def frontier(port: LedgerPort, rng: random.Random, *, reply: bool) -> Frontier:
    """This node's count and tips; of too many tips a sample, so that in time each is named."""
    tips = port.tips()
    chosen = tips if len(tips) <= MAX_TIPS else tuple(rng.sample(tips, MAX_TIPS))
    return Frontier(len(port), chosen, reply)


def within(raws: Iterable[bytes]) -> tuple[bytes, ...]:
    """The first of these that one message holds."""
    chosen: list[bytes] = []
    size = 0
    for raw in raws:
        size += len(raw)
        if size > MAX_CONTENT_BYTES or len(chosen) == MAX_TRANSACTIONS:
            break
        chosen.append(raw)
    return tuple(chosen)
