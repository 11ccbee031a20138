"""What a bundle holds of the ledger: its transactions, and the log of finalised rounds, each checked against the chain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dag.proofs.checkpoint import RoundRecord
from node.audit.bundle.history import ProvenHistory
from node.audit.chainside import read_history, seats_of
from node.audit.cone import Cone
from node.audit.errors import IncompleteBundle
from node.errors import LyingPeer
from node.rounds.segment import unpack_segment
from node.rounds.statement import Statement
from node.storage import raw_cid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dag.transaction import Transaction
    from node.audit.bundle.form import Bundle
    from node.audit.chainside import ChainFacts, Finalised
    from node.rounds.statement import Predicate


def facts_of(bundle: Bundle) -> ChainFacts:
    """The chain in a bundle, proven up to its own head; whether that head is the real chain's is not looked at.

    Raises:
        MalformedBlock: A block is not what it is said to be.
        ChainError, AuditError: See `node.audit.chainside.read_history`.
    """
    return read_history(ProvenHistory(bundle.manifest().deployment, bundle.blocks()))


def transactions_of(bundle: Bundle, facts: ChainFacts) -> Iterator[Transaction]:
    """The transactions of every segment in a bundle.

    Raises:
        IncompleteBundle: A round's statement or segment is missing or damaged.
    """
    for made in facts.finalised.values():
        yield from _segment(bundle, made)[1]


def records_of(bundle: Bundle, facts: ChainFacts) -> tuple[RoundRecord, ...]:
    """The log of finalised rounds in a bundle, as checkpoints say it.

    Raises:
        IncompleteBundle: A round's statement or segment is missing or damaged.
    """
    return tuple(_record(facts, made, *_segment(bundle, made)) for made in facts.finalised.values())


def _record(facts: ChainFacts, made: Finalised, predicate: Predicate, segment: tuple[Transaction, ...]) -> RoundRecord:
    held = {transaction.id: transaction for transaction in segment}
    seats = {number: seats_of(row) for number, row in facts.view.rounds.items()}
    issuers = {tx_id: seats.get(tx.round, {}).get(tx.issuer, -1) for tx_id, tx in held.items()}
    proposal = made.row.proposal or b""
    if proposal not in held:
        raise IncompleteBundle(f"round {made.number}", "its segment does not hold the proposal")
    cone = Cone(held, issuers, proposal)
    return RoundRecord(
        consortium=facts.deployment.consortium,
        round=made.number,
        size=len(cone.round_ids),
        root=cone.root,
        proposal=proposal,
        model=bytes.fromhex(predicate.model.sha256),
        statement=made.row.statement or b"",
    )


def _segment(bundle: Bundle, made: Finalised) -> tuple[Predicate, tuple[Transaction, ...]]:
    where = f"round {made.number}"
    try:
        predicate = Statement.from_bytes(_blob(bundle, raw_cid(made.row.statement or b""), where)).predicate
        return predicate, unpack_segment(_blob(bundle, predicate.segment, where))
    except LyingPeer as error:
        raise IncompleteBundle(where, str(error)) from None


def _blob(bundle: Bundle, cid: str, where: str) -> bytes:
    seen = bundle.look(cid)
    if seen.data is None:
        problem = "; ".join(damage.problem for damage in seen.damaged) or "it is not in the bundle"
        raise IncompleteBundle(where, f"blob {cid}: {problem}")
    return seen.data
