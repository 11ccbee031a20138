"""When a transaction may enter the ledger.

Every rule but one is a function of the transaction, its past cone and what the chain says about the consortium and the
round. All honest members therefore come to the same answer, in whatever order messages reach them, and a transaction
that one of them built on can be attached by all. The exception is equivocation, which depends on which half came first;
`dag.ledger` settles it. `verify_transaction` returns None or raises with evidence.

| checked | on |
|---|---|
| signature, membership, consortium | all but genesis, which every node derives itself |
| round known, key epoch is the round's | all but genesis |
| proof of work, if the plan asks for it; no nonce, if not (`dag.work`) | all but genesis |
| parents attached | all but genesis |
| parameter set, layout, weight by eq. 19 | update |
| the reveal opens the commitment of the issuer's update, which lies in the past cone | acknowledgement |
| updates of this round, each covered by the closes of a quorum inside the past cone (which leaves one a member) and with one reveal; groups of at least `min_group`, as many in each of at most `sections` parts, a part holding no update twice; enough openers; both roots | proposal |
| the proposal is in the past cone and of this round; the issuer is one of its openers | share |
| the proposal is in the past cone; one score and vote a group | verdict |
| the proposal is in the past cone; the root is the round's | checkpoint |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from dag.bodies import (
    AcknowledgementBody,
    CheckpointBody,
    Kind,
    ProposalBody,
    ShareBody,
    UpdateBody,
    VerdictBody,
    commit,
    proposal_roots,
)
from dag.closing import closers_of
from dag.errors import (
    MissingParent,
    NotAMember,
    Unconfirmed,
    UnknownTransaction,
    WrongConsortium,
    WrongEpoch,
    WrongParameters,
    WrongProposal,
    WrongReference,
    WrongReveal,
    WrongRound,
    WrongWeight,
)
from dag.proofs import merkle
from dag.transaction import Transaction, genesis
from dag.weights import contribution_weight
from dag.work import price, verify_work

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True)
class Member:
    """A hospital as the registry knows it.

    Attributes:
        index: position in the registry, 0 … 255; never reused.
        registered_size: data size it declared on chain, in images, ≥ 1.
    """

    index: int
    registered_size: int


@dataclass(frozen=True)
class RoundTerms:
    """What chain and plan say about one round.

    Attributes:
        epoch: key epoch the round runs in.
        threshold: members needed to open a sum (T).
        parameter_set: id (16 bytes) of the encryption parameters.
        cap: samples that give the full weight (D of eq. 19).
        max_slots: slots of work the plan allows a member (S of eq. 19).
        min_group: fewest updates in an opened group.
        layout: digest (32 bytes) of the plan's layout manifest, or None if the plan leaves it open.
        pow_bits: proof of work that each transaction carries, in bits, 0 … 64; 0 for none.
        pow_free: transactions of one issuer in the round that cost no more than that; each further one costs a bit more.
        sections: most partitions of the updates whose groups a proposal may list, one after the other: the plan's parts of the model.
        roster: address (20 bytes) to member, of those who were members when the round was opened, with the accounts and
            sizes they had then; None where the consortium never changed: all the context's members.
    """

    epoch: int
    threshold: int
    parameter_set: bytes
    cap: int
    max_slots: int
    min_group: int
    layout: bytes | None = None
    pow_bits: int = 0
    pow_free: int = 64
    sections: int = 1
    roster: Mapping[bytes, Member] | None = None


@dataclass(frozen=True)
class Context:
    """What the chain says, as far as this node has read it.

    Attributes:
        consortium: id (32 bytes) of the consortium.
        chain_id: EIP-155 id of the anchoring chain.
        registry: address (20 bytes) of the HospitalRegistry.
        members: address (20 bytes) to member, of every account that ever was a member's: so that history can be read.
        quorum: members that confirm a transaction now, ceil(2N/3).
        rounds: rounds whose transactions may enter. A node that catches up lists past rounds too; a round that is missing
            here is refused with `WrongRound` and can be asked for again later.
    """

    consortium: bytes
    chain_id: int
    registry: bytes
    members: Mapping[bytes, Member]
    quorum: int
    rounds: Mapping[int, RoundTerms]

    def genesis(self) -> Transaction:
        """The ledger's first transaction."""
        return genesis(self.consortium, self.chain_id, self.registry)

    def roster(self, round_: int) -> Mapping[bytes, Member]:
        """Who takes part in a round: its own roster, or all members where it has none or is not known."""
        terms = self.rounds.get(round_)
        return self.members if terms is None or terms.roster is None else terms.roster

    def quorum_of(self, round_: int) -> int:
        """How many members decide in a round, ceil(2N/3) of its roster."""
        terms = self.rounds.get(round_)
        return self.quorum if terms is None or terms.roster is None else -(-2 * len(terms.roster) // 3)


class LedgerView(Protocol):
    """What the rules ask of the ledger; `dag.ledger.Ledger` answers."""

    def get(self, tx_id: bytes) -> Transaction:
        """The attached transaction. Raises UnknownTransaction."""

    def __contains__(self, tx_id: bytes) -> bool:
        """Whether it is attached."""

    def in_cone(self, tx_id: bytes, heads: Iterable[bytes]) -> bool:
        """Whether it is one of the heads or an ancestor of one. Raises UnknownTransaction."""

    def confirmed_within(self, tx_id: bytes, heads: Iterable[bytes]) -> frozenset[int]:
        """Members that approve it inside the heads' past cone. Raises UnknownTransaction."""

    def closed_within(self, heads: Iterable[bytes], round_: int) -> Mapping[int, int]:
        """What the round's closes inside the heads' past cone cover (`dag.closing.closed_by`). Raises UnknownTransaction."""

    def first_sequence(self, heads: Iterable[bytes], issuer: bytes, round_: int) -> int | None:
        """The smallest sequence number of the issuer's transactions of a round in the heads' past cone, or None."""

    def void_within(self, heads: Iterable[bytes], round_: int) -> frozenset[int]:
        """Members that contradict themselves inside the heads' past cone. Raises UnknownTransaction."""

    def updates_of(self, issuer: bytes, round_: int) -> tuple[Transaction, ...]:
        """The issuer's attached updates of a round (more than one only of an equivocator)."""

    def round_ids(self, proposal: bytes) -> tuple[bytes, ...]:
        """Ascending ids of the proposal's round in its past cone. Raises UnknownTransaction."""


def verify_standalone(transaction: Transaction, context: Context) -> None:
    """The rules that need no other transaction; cheap enough for anything a stranger sends.

    Raises:
        RefusedTransaction: the subclass and message say which rule and why.
    """
    if transaction.consortium != context.consortium:
        raise WrongConsortium(
            transaction.id, f"consortium {transaction.consortium.hex()} is not {context.consortium.hex()}"
        )
    if transaction.kind is Kind.GENESIS:
        if transaction.id != context.genesis().id:
            raise WrongConsortium(transaction.id, "a genesis with another chain id or registry than this consortium's")
        return
    issuer = transaction.issuer
    if issuer not in context.members:
        raise NotAMember(transaction.id, f"issuer 0x{issuer.hex()} is not in the registry")
    terms = context.rounds.get(transaction.round)
    if terms is None:
        raise WrongRound(transaction.id, f"round {transaction.round} is not known to be open or past")
    if transaction.epoch != terms.epoch:
        raise WrongEpoch(transaction.id, f"epoch {transaction.epoch}; round {transaction.round} runs in {terms.epoch}")
    member = (context.members if terms.roster is None else terms.roster).get(issuer)
    if member is None:
        raise NotAMember(
            transaction.id, f"issuer 0x{issuer.hex()} was no member's account when round {transaction.round} was opened"
        )
    verify_work(transaction, terms.pow_bits)
    if isinstance(transaction.body, UpdateBody):
        _check_update(transaction, transaction.body, member, terms)


def verify_transaction(transaction: Transaction, context: Context, view: LedgerView) -> None:
    """All rules but equivocation.

    Raises:
        MissingParent: parents are not attached; nothing else is wrong so far.
        RefusedTransaction: the subclass and message say which rule and why.
    """
    verify_standalone(transaction, context)
    for parent in transaction.parents:
        if parent not in view:
            missing = (other for other in transaction.parents if other not in view)
            raise MissingParent(transaction.id, tuple(dict.fromkeys(missing)))
    if transaction.nonce is not None:
        terms = context.rounds[transaction.round]
        verify_work(transaction, price(transaction, transaction.issuer, terms, view))
    body = transaction.body
    if isinstance(body, AcknowledgementBody) and body.reveal is not None:
        _check_reveal(transaction, body.reveal, view)
    elif isinstance(body, ProposalBody):
        _check_proposal(transaction, body, context, view)
    elif isinstance(body, ShareBody):
        _check_share(transaction, body, context, view)
    elif isinstance(body, VerdictBody):
        _check_verdict(transaction, body, view)
    elif isinstance(body, CheckpointBody):
        _check_checkpoint(transaction, body, view)


def _check_update(transaction: Transaction, body: UpdateBody, member: Member, terms: RoundTerms) -> None:
    if body.parameter_set != terms.parameter_set:
        raise WrongParameters(
            transaction.id, f"parameter set {body.parameter_set.hex()}, the round uses {terms.parameter_set.hex()}"
        )
    if terms.layout is not None and body.layout != terms.layout:
        raise WrongParameters(transaction.id, f"layout {body.layout.hex()}, the plan's is {terms.layout.hex()}")
    if body.slots > terms.max_slots:
        raise WrongWeight(transaction.id, f"{body.slots} slots, the plan allows {terms.max_slots}")
    weight = contribution_weight(body.samples, member.registered_size, terms.cap, body.slots, terms.max_slots)
    if body.weight_ppm != weight:
        raise WrongWeight(
            transaction.id,
            f"declared weight {body.weight_ppm} ppm; eq. 19 gives {weight} for {body.samples} samples, registered size "
            f"{member.registered_size}, cap {terms.cap}, {body.slots} of {terms.max_slots} slots",
        )


def _check_reveal(transaction: Transaction, reveal: bytes, view: LedgerView) -> None:
    updates = view.updates_of(transaction.issuer, transaction.round)
    inside = [update for update in updates if view.in_cone(update.id, transaction.parents)]
    if not inside:
        raise WrongReveal(transaction.id, "reveals a secret, but the issuer's update is not in the past cone")
    commitments = [update.body.commitment for update in inside if isinstance(update.body, UpdateBody)]
    if commit(reveal) not in commitments:
        raise WrongReveal(transaction.id, f"secret does not open the commitment {commitments[0].hex()}")


def _check_proposal(transaction: Transaction, body: ProposalBody, context: Context, view: LedgerView) -> None:
    terms, quorum = context.rounds[transaction.round], context.quorum_of(transaction.round)
    _check_groups(transaction, body, terms, {member.index for member in context.roster(transaction.round).values()})
    issuers: set[bytes] = set()
    closed = view.closed_within(transaction.parents, transaction.round)
    void = view.void_within(transaction.parents, transaction.round)
    for tx_id in body.updates:
        issuer = _referred(transaction, tx_id, Kind.UPDATE, view).issuer
        issuers.add(issuer)
        index = context.members[issuer].index
        # Two updates of one member in one cone void each other, so a member cannot be listed twice.
        count = 0 if index in void else closers_of(index, closed)
        if count < quorum:
            raise Unconfirmed(
                transaction.id,
                f"update {tx_id.hex()} is covered by the closes of {count} members, {quorum} are needed",
            )
    _check_reveals(transaction, body, issuers, view)


def _check_reveals(transaction: Transaction, body: ProposalBody, issuers: set[bytes], view: LedgerView) -> None:
    """Exactly one reveal for each listed update: without it nobody can unlock the ciphertexts."""
    revealed: set[bytes] = set()
    for tx_id in body.reveals:
        reveal = _referred(transaction, tx_id, Kind.ACKNOWLEDGEMENT, view)
        if not isinstance(reveal.body, AcknowledgementBody) or reveal.body.reveal is None:
            raise WrongReference(transaction.id, f"acknowledgement {tx_id.hex()} reveals nothing")
        if reveal.issuer not in issuers:
            raise WrongReference(transaction.id, f"reveal {tx_id.hex()} is by a member without a listed update")
        revealed.add(reveal.issuer)
    if revealed != issuers or len(body.reveals) != len(issuers):
        raise WrongProposal(
            transaction.id, f"{len(body.reveals)} reveals for {len(issuers)} updates: expected one by each issuer"
        )


def _check_groups(transaction: Transaction, body: ProposalBody, terms: RoundTerms, members: set[int]) -> None:
    if len(body.sums) != len(body.groups):
        raise WrongProposal(transaction.id, f"{len(body.sums)} sums for {len(body.groups)} groups")
    _check_sections(transaction, body, terms)
    smallest = min(map(len, body.groups))
    if smallest < terms.min_group:
        raise WrongProposal(
            transaction.id, f"a group of {smallest} updates; the plan demands at least {terms.min_group}"
        )
    if len(body.openers) < terms.threshold or not members.issuperset(body.openers):
        raise WrongProposal(
            transaction.id, f"openers {body.openers}; {terms.threshold} or more of {sorted(members)} are needed"
        )
    if (body.updates_root, body.sums_root) != proposal_roots(body.updates, body.sums):
        raise WrongProposal(transaction.id, "updates_root or sums_root is not the Merkle root over its list")


def _check_sections(transaction: Transaction, body: ProposalBody, terms: RoundTerms) -> None:
    """The groups are those of as many partitions as the position that is listed most often says; which, the members recompute."""
    sections = body.sections
    if sections > terms.sections:
        raise WrongProposal(
            transaction.id,
            f"groups hold one of the {len(body.updates)} updates {'twice' if sections == 2 else f'{sections} times'}; "
            f"the plan's sections allow {terms.sections}",
        )
    each, rest = divmod(len(body.groups), sections)
    if rest:
        raise WrongProposal(transaction.id, f"{len(body.groups)} groups are not as many in each of {sections} sections")
    for section in range(sections):
        listed = [position for group in body.groups[section * each : (section + 1) * each] for position in group]
        if len(set(listed)) != len(listed):
            raise WrongProposal(transaction.id, f"groups of section {section} hold an update twice")


def _check_share(transaction: Transaction, body: ShareBody, context: Context, view: LedgerView) -> None:
    proposal = _proposal(transaction, body.proposal, view)
    if body.member != context.members[transaction.issuer].index:
        raise WrongReference(transaction.id, f"member {body.member} is not the issuer")
    if body.member not in proposal.openers:
        raise WrongReference(transaction.id, f"member {body.member} is not among the openers {proposal.openers}")


def _check_verdict(transaction: Transaction, body: VerdictBody, view: LedgerView) -> None:
    groups = len(_proposal(transaction, body.proposal, view).groups)
    if len(body.scores_ppm) != groups:
        raise WrongReference(transaction.id, f"{len(body.scores_ppm)} scores for the proposal's {groups} groups")


def _check_checkpoint(transaction: Transaction, body: CheckpointBody, view: LedgerView) -> None:
    _proposal(transaction, body.proposal, view)
    root = merkle.root(view.round_ids(body.proposal))
    if body.root != root:
        raise WrongReference(transaction.id, f"root {body.root.hex()} is not the round's {root.hex()}")


def _proposal(transaction: Transaction, tx_id: bytes, view: LedgerView) -> ProposalBody:
    body = _referred(transaction, tx_id, Kind.PROPOSAL, view).body
    if not isinstance(body, ProposalBody):  # unreachable by construction; tells the type checker
        raise WrongReference(transaction.id, f"{tx_id.hex()} is no proposal")
    return body


def _referred(transaction: Transaction, tx_id: bytes, kind: Kind, view: LedgerView) -> Transaction:
    """The transaction that a body names: in the past cone, of the expected kind and of the same round."""
    try:
        inside = view.in_cone(tx_id, transaction.parents)
    except UnknownTransaction:
        inside = False
    if not inside:
        raise WrongReference(transaction.id, f"{kind} {tx_id.hex()} is not in the past cone")
    found = view.get(tx_id)
    if found.kind is not kind or found.round != transaction.round:
        raise WrongReference(
            transaction.id,
            f"{tx_id.hex()} is a {found.kind} of round {found.round}, expected a {kind} of round {transaction.round}",
        )
    return found
