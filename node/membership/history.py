"""The part of a proposal's past that shows an update closed over by a quorum and revealed: evidence of an omission."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dag.bodies import AcknowledgementBody

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dag.ledger import Ledger


def omission_history(
    ledger: Ledger, proposal: bytes, update: bytes, members: frozenset[int], quorum: int
) -> list[bytes] | None:
    """Signed transactions, ancestors first: the update, a quorum's closes, the reveal, what links them, the proposal.

    Each but the last is a parent of a later one; a close covers the update by way of the round's transactions alone, as the
    contract asks. Shortest paths, so that little is sent.

    Args:
        ledger: This node's ledger.
        proposal: Id of the proposal, attached.
        update: Id of the update it leaves out.
        members: Seats whose closes count.
        quorum: How many must.

    Returns:
        Their bytes, or None where the proposal's past does not show it.
    """
    tangle = ledger.tangle
    round_, author = tangle.round(update), tangle.issuer(update)
    closes = [
        tx_id
        for tx_id in ledger.closes(round_)
        if tangle.issuer(tx_id) in members
        and tangle.in_cone(tx_id, proposal)
        and tangle.cover(tx_id, round_) >> author & 1
    ]
    by_member = {tangle.issuer(tx_id): tx_id for tx_id in sorted(closes, key=tangle.depth, reverse=True)}
    reveals = ledger.proposal_basis(round_, (proposal, proposal)).reveals
    reveal = next((tx_id for tx_id in reveals if tangle.issuer(tx_id) == author and _reveals(ledger, tx_id)), None)
    if len(by_member) < quorum or reveal is None:
        return None
    chosen = sorted(by_member.values(), key=tangle.depth)[:quorum]
    needed = {update, proposal}
    for close in chosen:
        needed |= _path(tangle.parents, close, update, lambda tx_id: tangle.round(tx_id) == round_)
    for target in (*chosen, reveal):
        needed |= _path(tangle.parents, proposal, target, lambda _tx_id: True)
    rest = sorted(needed - {update, proposal}, key=lambda tx_id: (tangle.depth(tx_id), tx_id))
    return [ledger.get(tx_id).raw for tx_id in (update, *rest, proposal)]


def _path(
    parents: Callable[[bytes], Iterable[bytes]], start: bytes, goal: bytes, allowed: Callable[[bytes], bool]
) -> set[bytes]:
    """A shortest way from a transaction down to an ancestor through allowed ones, both ends included."""
    came: dict[bytes, bytes] = {start: start}
    level = [start]
    while level and goal not in came:
        below = []
        for tx_id in level:
            for parent in parents(tx_id):
                if parent not in came and (parent == goal or allowed(parent)):
                    came[parent] = tx_id
                    below.append(parent)
        level = below
    found, at = {goal}, goal
    while at != start and at in came:
        at = came[at]
        found.add(at)
    return found


def _reveals(ledger: Ledger, tx_id: bytes) -> bool:
    body = ledger.get(tx_id).body
    return isinstance(body, AcknowledgementBody) and body.reveal is not None
