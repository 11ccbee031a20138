"""Faults that can be proven on chain, found in the ledger and in what was refused (CHN-4): what to send, and about whom.

A leader's list is known by its Merkle root on chain, so whatever bytes have that root are the list, signed or not. Who can
read a proposal that the ledger's rules refuse keeps its bytes (`node.membership.evidence`).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from eth_utils.address import to_checksum_address

from chain.conduct import Fault, Place, ProposalOnRecord
from dag import codec
from dag.bodies import Kind, ProposalBody
from dag.errors import LedgerError
from dag.ids import sha256
from dag.proofs import merkle
from dag.transaction import MAX_BYTES, Transaction
from node.membership.history import omission_history

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from chain.client import Chain
    from dag.ledger import Ledger
    from node.consortium.records import ProposedView, RoundView
    from node.consortium.view import ConsortiumView
    from node.membership.findings import Seen

_DIGEST_BYTES = 32


@dataclass(frozen=True)
class Charge:
    """One provable fault of one member.

    Attributes:
        round: The round it counts for.
        fault: What was done.
        seat: By whom.
        call: Which method of `chain.rounds` proves it.
        arguments: What it takes.
    """

    round: int
    fault: Fault
    seat: int
    call: str
    arguments: tuple[Any, ...]

    @property
    def key(self) -> tuple[int, int, int]:
        """As `ConsortiumView.faults` names it."""
        return self.round, int(self.fault), self.seat

    def bring(self, chain: Chain) -> None:
        """Send the proof.

        Raises:
            ContractReverted: It does not prove, or the fault is known; the contract's own error says which.
            ChainError: The chain does not answer.
        """
        getattr(chain.rounds, self.call)(*self.arguments)


def contradictions(ledger: Ledger, view: ConsortiumView) -> Iterator[Charge]:
    """Members of whom this node holds two signed transactions that contradict each other."""
    for proof in ledger.evidence():
        seat = view.seats.get(proof.issuer)
        if seat is None or seat in view.standing.equivocators or seat not in view.members:
            continue
        if view.hospitals[seat].account != to_checksum_address(proof.issuer):
            continue  # the contract knows present accounts only
        halves = proof.first.raw, proof.second.raw
        yield Charge(proof.first.round, Fault.EQUIVOCATION, seat, "prove_equivocation", halves)


def false_lists(
    ledger: Ledger,
    view: ConsortiumView,
    row: RoundView,
    kept: Mapping[bytes, bytes],
    seen: Seen,
) -> Iterator[Charge]:
    """What is wrong with the lists that a round's leaders put on record.

    That an update was left out is charged only where this node's own part in the round found the proposal false: the
    contract does not see that an update's ciphertexts are none, and that it is right to leave it out.

    Args:
        ledger: This node's ledger.
        view: What the chain said so far.
        row: The round.
        kept: Refused transactions by id.
        seen: What its own part in the rounds has shown it.
    """
    for place, proposed in enumerate(row.proposals):
        seat = view.seats.get(proposed.leader)
        leaves = _leaves(ledger, proposed, kept)
        if leaves is None or seat is None or seat not in view.members:
            continue
        record = _on_record(view, row, proposed)
        yield from _out_of_order(record, seat, leaves)
        yield from _no_updates(ledger, view, row, record, seat, leaves, kept)
        earlier = row.proposals[:place]
        first = all(other.updates_root != proposed.updates_root for other in earlier)
        if first and proposed.proposal in ledger and proposed.proposal in seen.refused:
            yield from _left_out(ledger, view, row, record, seat, leaves, earlier, seen.unsound)


def _on_record(view: ConsortiumView, row: RoundView, proposed: ProposedView) -> ProposalOnRecord:
    account = view.hospitals[view.seats[proposed.leader]].account
    return ProposalOnRecord(row.round, account, proposed.proposal, proposed.updates_root, proposed.sums_root)


def _leaves(ledger: Ledger, proposed: ProposedView, kept: Mapping[bytes, bytes]) -> tuple[bytes, ...] | None:
    """The list behind a root on chain, if its bytes are here."""
    if proposed.proposal in ledger:
        body = ledger.get(proposed.proposal).body
        leaves = body.updates if isinstance(body, ProposalBody) else ()
    else:
        leaves = listed_in(kept.get(proposed.proposal, b""))
    return leaves if leaves and merkle.root(leaves) == proposed.updates_root else None


def listed_in(raw: bytes) -> tuple[bytes, ...]:
    """What bytes that may be no valid transaction list as updates; empty where they list nothing."""
    try:
        content = codec.decode(raw, MAX_BYTES)
    except LedgerError:
        return ()
    body = content.get("body") if isinstance(content, dict) else None
    leaves = body.get("updates") if isinstance(body, dict) else None
    if not isinstance(leaves, list | tuple) or not all(
        isinstance(x, bytes) and len(x) == _DIGEST_BYTES for x in leaves
    ):
        return ()
    return tuple(leaves)


def _out_of_order(record: ProposalOnRecord, seat: int, leaves: tuple[bytes, ...]) -> Iterator[Charge]:
    for at, (left, right) in enumerate(pairwise(leaves)):
        if left >= right:
            given = record, len(leaves), _place(leaves, at), _place(leaves, at + 1)
            yield Charge(record.round, Fault.WRONG_INCLUSION, seat, "prove_wrong_order", given)
            return


def _no_updates(
    ledger: Ledger,
    view: ConsortiumView,
    row: RoundView,
    record: ProposalOnRecord,
    seat: int,
    leaves: tuple[bytes, ...],
    kept: Mapping[bytes, bytes],
) -> Iterator[Charge]:
    for at, leaf in enumerate(leaves):
        raw = ledger.get(leaf).raw if leaf in ledger else kept.get(leaf)
        if raw is None or sha256(raw) != leaf or _is_update(raw, view, row):
            continue
        given = record, raw, _place(leaves, at), len(leaves)
        yield Charge(record.round, Fault.WRONG_INCLUSION, seat, "prove_wrong_inclusion", given)
        return


def _is_update(raw: bytes, view: ConsortiumView, row: RoundView) -> bool:
    """Whether a list of the round may hold a transaction, as the contract sees it."""
    try:
        found = Transaction.decode(raw)
        issuer = found.issuer
    except LedgerError:
        return False
    return found.kind is Kind.UPDATE and (found.round, found.epoch) == (row.round, row.epoch) and issuer in view.seats


def _left_out(
    ledger: Ledger,
    view: ConsortiumView,
    row: RoundView,
    record: ProposalOnRecord,
    seat: int,
    leaves: tuple[bytes, ...],
    earlier: tuple[ProposedView, ...],
    unsound: frozenset[bytes],
) -> Iterator[Charge]:
    basis = ledger.proposal_basis(row.round, (record.id, record.id))
    for update in sorted(set(basis.updates) - set(leaves) - unsound):
        author = ledger.tangle.issuer(update)
        history = omission_history(ledger, record.id, update, view.members - view.standing.equivocators, row.quorum)
        if history is None or author in view.standing.equivocators or author not in view.members:
            continue
        after = sum(leaf < update for leaf in leaves)
        around = [_place(leaves, at) for at in (after - 1, after) if 0 <= at < len(leaves)]
        before = [_on_record(view, row, other) for other in earlier]
        given = record, history, len(leaves), around, before
        yield Charge(record.round, Fault.OMISSION, seat, "prove_omission", given)
        return


def _place(leaves: tuple[bytes, ...], at: int) -> Place:
    return Place(leaves[at], at, merkle.inclusion_proof(leaves, at).path)
