"""The ledger segment: every transaction in it is a member's, and together they make up what the quorum signed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dag.bodies import Kind, ProposalBody
from dag.errors import LedgerError, WrongWork
from dag.work import verify_work
from node.audit.chainside import seats_of
from node.audit.cone import Cone
from node.audit.dossier import Ledger, missing
from node.audit.notes import short
from node.errors import LyingPeer
from node.rounds.segment import unpack_segment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dag.transaction import Transaction
    from node.audit.dossier import Dossier
    from node.audit.notes import Link
    from node.rounds.statement import Predicate


def check(dossier: Dossier, link: Link) -> Ledger | None:
    """Read the segment, recover every issuer, find the proposal, recompute the ledger root over its past cone."""
    predicate = dossier.predicate
    if missing(link, statement=predicate) or predicate is None:
        return None
    data = dossier.reader.read(predicate.segment, f"the ledger segment of round {dossier.here.number}", link)
    if data is None:
        return None
    try:
        listed = unpack_segment(data)
    except LyingPeer as error:
        link.falsified(predicate.segment, str(error))
        return None
    transactions, issuers = _members_only(dossier, listed, link)
    head = bytes.fromhex(predicate.proposal)
    found = transactions.get(head)
    if found is None or not isinstance(found.body, ProposalBody):
        link.falsified(f"proposal {short(head)}", f"the segment does not hold this proposal ({predicate.segment})")
        return None
    cone = Cone(transactions, issuers, head)
    link.equal(predicate.segment, "ledger_root", predicate.ledger_root, cone.root.hex())
    _check_proposal(dossier, found, predicate, link)
    return Ledger(transactions, issuers, cone, found.body)


def _members_only(
    dossier: Dossier, listed: tuple[Transaction, ...], link: Link
) -> tuple[dict[bytes, Transaction], dict[bytes, int]]:
    """The transactions that a member of this consortium signed for a round and epoch the chain has."""
    seats = {number: seats_of(row) for number, row in dossier.facts.view.rounds.items()}
    kept, issuers = {}, {}
    for transaction in listed:
        problem = _problem(dossier, transaction, seats)
        if problem:
            link.falsified(f"transaction {transaction.id.hex()}", problem)
        else:
            kept[transaction.id] = transaction
            issuers[transaction.id] = seats[transaction.round][transaction.issuer]
    return kept, issuers


def _problem(dossier: Dossier, transaction: Transaction, seats: Mapping[int, Mapping[bytes, int]]) -> str:
    """Why a transaction does not belong into a segment; empty if it does."""
    if transaction.kind is Kind.GENESIS:
        return "a genesis, which belongs to no round"
    if transaction.consortium != dossier.facts.deployment.consortium:
        return f"it is of consortium {transaction.consortium.hex()}"
    row = dossier.facts.view.rounds.get(transaction.round)
    if row is None or row.epoch != transaction.epoch:
        return f"the chain has no round {transaction.round} in key epoch {transaction.epoch}"
    try:
        issuer = transaction.issuer
    except LedgerError as error:
        return str(error)
    if issuer not in seats[transaction.round]:
        return f"signed by 0x{issuer.hex()}, who is no member in round {transaction.round}"
    return _work_problem(dossier, transaction)


def _work_problem(dossier: Dossier, transaction: Transaction) -> str:
    """Why a transaction of this round is not worth the work its plan asks of every one; empty if it is.

    What a flooder pays on top depends on how much of the flood a past cone shows; members ask for it at the door.
    """
    if dossier.plan is None or transaction.round != dossier.here.number:
        return ""
    try:
        verify_work(transaction, dossier.plan.pow_bits)
    except WrongWork as error:
        return str(error)
    return ""


def _check_proposal(dossier: Dossier, found: Transaction, predicate: Predicate, link: Link) -> None:
    """The signed proposal says what the statement says."""
    name, body = f"proposal {short(found.id)}", found.body
    if not isinstance(body, ProposalBody):
        return
    said = {
        "round": (found.round, dossier.here.number),
        "issuer": (f"0x{found.issuer.hex()}", predicate.leader),
        "updates": (tuple(update.hex() for update in body.updates), tuple(update.id for update in predicate.updates)),
        "reveals": (tuple(reveal.hex() for reveal in body.reveals), predicate.reveals),
        "groups": (body.groups, tuple(group.updates for group in predicate.groups)),
        "sums": (body.sums, tuple(group.sum for group in predicate.groups)),
        "openers": (body.openers, predicate.openers),
        "updates_root": (body.updates_root.hex(), predicate.updates_root),
        "sums_root": (body.sums_root.hex(), predicate.sums_root),
    }
    for what, (signed, stated) in said.items():
        link.equal(name, f"{what} in the statement", stated, signed)
