"""The ledger of one node: durable store, graph in memory, rules at the door.

What enters is written to disk before anybody sees it (`dag.replica`); what peers send goes through `dag.intake`. Not
thread-safe: one caller at a time.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dag.bodies import AcknowledgementBody, Body, CheckpointBody, Kind, ProposalBody, ShareBody, VerdictBody
from dag.closing import closers_of
from dag.equivocation import EquivocationProof, subject_of
from dag.errors import AlreadyPosted, LedgerError, NotAMember, UnknownTransaction
from dag.gathering import parents_over
from dag.ids import sha256
from dag.intake import Intake
from dag.proofs.merkle import Proof, inclusion_proof, root
from dag.proposing import ProposalBasis, best_parents, confirmed_on
from dag.replica import Replica
from dag.restoring import least_sequence
from dag.rules import Context, verify_standalone, verify_transaction
from dag.transaction import Transaction, Unsigned, address_of, sign
from dag.walks import choose_parents, orphan_of
from dag.work import mine, price

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable, Iterator

    from dag.store.port import LedgerStore
    from dag.tangle import Tangle


@dataclass(frozen=True)
class Received:
    """What came of bytes from a peer.

    Attributes:
        attached: transactions that entered, parents before children: the ones received and those that waited for them.
        missing: ids of parents to fetch before the rest can enter.
        duplicate: nothing new was received.
        refused: ids and reasons of transactions that may not enter.
    """

    attached: tuple[Transaction, ...] = ()
    missing: tuple[bytes, ...] = ()
    duplicate: bool = False
    refused: tuple[tuple[bytes, LedgerError], ...] = ()


class Ledger:
    """One node's ledger."""

    def __init__(
        self,
        store: LedgerStore,
        context_provider: Callable[[], Context],
        *,
        alpha: float = 2.0,
        accept: Callable[[bytes], bool] | None = None,
        max_waiting: int = 8192,
        decode: Callable[[bytes], Transaction] = Transaction.decode,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Replays and verifies the store.

        Row seals and ids are checked always; signatures too if the last run did not end cleanly.

        Args:
            store: the ledger's file, new or used before.
            context_provider: gives what the chain says now; called once a batch.
            alpha: greed of the walks (`dag.walks.choose_parents`).
            accept: says of an id whether this node wants to approve it, for example once its payload is at hand.
            max_waiting: how many transactions may wait for parents.
            decode: what turns bytes into a transaction; a simulator of many nodes shares the work between them.
            progress: told how many stored transactions were read, and of how many, every few thousand.

        Raises:
            StoreCorrupt: a row does not hold what was written.
            StoreFailed: the disk refused.
            WrongConsortium: the store belongs to another consortium.
        """
        self._replica = Replica(store, context_provider, max_waiting, decode, progress)
        self._store = store
        self._provide = context_provider
        self._alpha = alpha
        self._accept = accept
        self._least_sequence = least_sequence(store)
        self.genesis_id = self._replica.genesis_id

    @property
    def tangle(self) -> Tangle:
        """The graph index, for reading."""
        return self._replica.tangle

    # -- writing -------------------------------------------------------------------------------------------------

    def create(
        self,
        kind: Kind,
        round_: int,
        epoch: int,
        body: Body,
        payload: str | None,
        private_key: bytes,
        rng: random.Random,
        *,
        parents: tuple[bytes, bytes] | None = None,
        progress: Callable[[int], bool] | None = None,
    ) -> Transaction:
        """Chooses parents, signs, verifies, writes to disk and attaches a transaction of this node's member.

        The first walk starts at what the body refers to, so that the past cone holds it. The id is put into the outbox.

        Args:
            kind: the kind; must be the body's.
            round_: round it belongs to.
            epoch: key epoch of that round.
            body: what it says.
            payload: CID of its blob, for kinds that have one.
            private_key: the member's secp256k1 key (32 bytes).
            rng: source of chance for the walks.
            parents: two attached ids to approve instead of the walks' choice.
            progress: where the plan asks for proof of work: told of the tries, returns False to give up (`dag.work`).

        Raises:
            AlreadyPosted: the member has answered this question before; names the transaction.
            MalformedTransaction: a field is out of range.
            RefusedTransaction: the rules refuse it; nothing was written.
            StoreFailed: the disk refused; nothing was written.
            WorkCancelled: `progress` said so; nothing was written.
        """
        context = self._provide()
        issuer = address_of(private_key)
        if parents is None:
            parents = self._parents_for(body, round_, issuer, context, rng)
        sequence = self.next_sequence(issuer)
        unsigned = Unsigned(kind, context.consortium, epoch, round_, sequence, parents, payload, body)
        if (subject := subject_of(unsigned)) and (before := self._replica.recent.answered(issuer, kind, subject)):
            raise AlreadyPosted(before[0], kind)
        if terms := context.rounds.get(round_):
            unsigned = mine(unsigned, issuer, price(unsigned, issuer, terms, self._replica), progress)
        transaction = sign(unsigned, private_key)
        verify_transaction(transaction, context, self._replica)
        with self._replica.batch():
            self._replica.attach(transaction, context)
            self._store.put_outbox(transaction.id)
        return transaction

    def receive(self, raw: bytes) -> Received:
        """Verifies and attaches a transaction from a peer, and whatever waited for it.

        Raises:
            MalformedTransaction: the bytes are no transaction.
            RefusedTransaction: the rules refuse it; `Equivocation` carries the proof, which is kept.
            StoreFailed: the disk refused; nothing entered.
            WaitingFull: its parents are missing and too many wait already.
        """
        received = self.receive_many((raw,))
        own = sha256(raw)
        for tx_id, error in received.refused:
            if tx_id == own:
                raise error
        return received

    def receive_many(self, raws: Iterable[bytes]) -> Received:
        """Like `receive` for many, in one durable commit. Refused ones are reported, not raised.

        Raises:
            StoreFailed: the disk refused; nothing entered.
        """
        intake = Intake(self._replica, self._provide())
        with self._replica.batch():
            intake.take(raws)
        return Received(tuple(intake.attached.values()), intake.still_missing(), not intake.news, tuple(intake.refused))

    def accuse(self, raw: bytes) -> EquivocationProof:
        """Keeps a peer's proof of equivocation; the equivocator's approval stops counting.

        Raises:
            BadSignature: one of the proof's signatures is none.
            MalformedTransaction: no proof, or one that does not prove.
            NotAMember: it accuses nobody of this consortium.
            StoreFailed: the disk refused.
        """
        context = self._provide()
        proof = EquivocationProof.decode(raw)
        if proof.first.consortium != context.consortium or proof.issuer not in context.members:
            raise NotAMember(proof.first.id, f"0x{proof.issuer.hex()} is no member of this consortium")
        with self._replica.batch():
            self._store.put_evidence(proof.issuer, raw)
            self._replica.note(proof, context)
        return proof

    @contextmanager
    def batch(self) -> Iterator[None]:
        """One durable commit around everything done inside; other nodes may be told of it once the block has ended.

        If the block raises, nothing of it was done: disk and memory are as before.

        Raises:
            StoreFailed: the disk refused.
        """
        with self._replica.batch():
            yield

    def verify_standalone(self, transaction: Transaction) -> None:
        """The rules that need no other transaction: worth asking before anything costly is done for a stranger.

        Raises:
            RefusedTransaction: the rules refuse it.
        """
        verify_standalone(transaction, self._provide())

    # -- reading -------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.tangle)

    def __contains__(self, tx_id: bytes) -> bool:
        return tx_id in self.tangle

    def get(self, tx_id: bytes) -> Transaction:
        """An attached transaction.

        Raises:
            StoreCorrupt: its row does not hold what was written.
            UnknownTransaction: it is not attached.
        """
        return self._replica.get(tx_id)

    def transactions(
        self,
        kind: Kind | None = None,
        round: int | None = None,  # noqa: A002  (the field's name everywhere else)
        after: bytes | None = None,
        limit: int = 100,
    ) -> tuple[Transaction, ...]:
        """Attached transactions in arrival order.

        Args:
            kind: only this kind.
            round: only this round.
            after: only those that arrived after this id; the last id of a page asks for the next one.
            limit: at most so many.

        Raises:
            UnknownTransaction: `after` is not attached.
        """
        start = 0 if after is None else self._replica.arrival(after)
        return tuple(transaction for _, transaction in self._replica.page(start, limit, kind, round))

    def since(self, arrival: int, limit: int = 1000) -> tuple[tuple[int, Transaction], ...]:
        """Transactions with a larger arrival number, each with its own, in order; 0 starts at genesis."""
        return self._replica.page(arrival, limit)

    def tips(self) -> tuple[bytes, ...]:
        """Ids that nobody approves yet, in arrival order."""
        return self.tangle.tips()

    def frontier(self) -> tuple[bytes, ...]:
        """Ids that tell a peer what this node has: the tips first, then a sample of older ones (`Tangle.locator`)."""
        return self.tangle.locator()

    def missing(self) -> tuple[bytes, ...]:
        """Ids of parents that waiting transactions lack; ask any peer for them."""
        return self._replica.waiting.missing(self.__contains__)

    def is_confirmed(self, tx_id: bytes) -> bool:
        """Whether a quorum of members approves it, as far as this node has seen."""
        return self.tangle.is_confirmed(tx_id)

    def in_cone(self, tx_id: bytes, heads: Iterable[bytes]) -> bool:
        """Whether it is one of the heads or an ancestor of one. Raises UnknownTransaction."""
        return self._replica.in_cone(tx_id, heads)

    def confirmed_within(self, tx_id: bytes, heads: bytes | Iterable[bytes]) -> frozenset[int]:
        """Members that approve it inside the heads' past cone (`Tangle.confirmed_within`)."""
        return self.tangle.confirmed_within(tx_id, heads)

    def unapproved(self, member: bytes, round_: int, kind: Kind | None = None) -> tuple[bytes, ...]:
        """Ids of a round that the member's transactions do not approve yet: reasons to post an acknowledgement.

        Args:
            member: address (20 bytes).
            round_: the round.
            kind: only this kind.

        Raises:
            NotAMember: no such member.
        """
        index = self._member_index(member)
        return tuple(tx_id for tx_id in self._store.ids(kind, round_) if not self.tangle.approved_by(tx_id, index))

    def updates_of(self, issuer: bytes, round_: int) -> tuple[Transaction, ...]:
        """The issuer's attached updates of a round (more than one only of an equivocator)."""
        return self._replica.updates_of(issuer, round_)

    def posted(self, issuer: bytes, kind: Kind, proposal: bytes) -> bytes | None:
        """Id of the issuer's share, verdict or checkpoint about a proposal, or None."""
        ids = self._replica.recent.answered(issuer, kind, proposal)
        return ids[0] if ids else None

    def next_sequence(self, issuer: bytes) -> int:
        """The sequence number of the issuer's next transaction, counting those that wait for parents.

        In a ledger that was restored from an older copy it is at least the number noted then (`skip_sequences`).
        """
        counted = max(self._replica.recent.next_sequence(issuer), self._replica.waiting.next_sequence(issuer))
        return max(counted, self._least_sequence)

    def outbox(self) -> tuple[bytes, ...]:
        """Ids of own transactions that peers should hear of."""
        return self._store.outbox()

    def sent(self, tx_id: bytes) -> None:
        """Takes an id out of the outbox: enough peers have it."""
        self._store.clear_outbox(tx_id)

    def evidence(self) -> tuple[EquivocationProof, ...]:
        """Every proof of equivocation this node has kept."""
        return self._replica.evidence()

    def is_settled(self, round_: int, member: bytes) -> bool:
        """Whether two tips confirm every update of the round, equivocators' aside, once `member` builds on them.

        Until they do, members go on posting acknowledgements (one each time news has come in); it takes about two
        times log2(N) of them each when all post at once.

        Raises:
            NotAMember: no such member.
        """
        index = self._member_index(member)
        counted = [tx_id for tx_id in self._store.ids(Kind.UPDATE, round_) if not self._is_void(tx_id)]
        parents = best_parents(self.tangle, round_, index)
        return set(counted) == set(confirmed_on(self.tangle, counted, parents, index))

    # -- proposals and proofs ------------------------------------------------------------------------------------

    def closes(self, round_: int) -> tuple[bytes, ...]:
        """Ids of a round's closes, by member."""
        return self._replica.closes(round_)

    def closed_within(self, heads: Iterable[bytes], round_: int) -> dict[int, int]:
        """What the round's closes inside the heads' past cone cover (`dag.closing.closed_by`)."""
        return self._replica.closed_within(heads, round_)

    def proposal_basis(self, round_: int, parents: tuple[bytes, bytes] | None = None) -> ProposalBasis:
        """What a proposal may list: the updates that a quorum's closes cover and whose issuers reveal, in the parents' cone.

        Args:
            round_: the round.
            parents: two attached ids; by default the tips whose cone holds most of the round's updates, closes and reveals.
        """
        if parents is None:
            parents = parents_over(self.tangle, self._worth_listing(round_))
        closed = self.closed_within(parents, round_)
        void = self._replica.void_within(parents, round_)
        updates = {
            self.tangle.issuer(tx_id): tx_id
            for tx_id in self._store.ids(Kind.UPDATE, round_)
            if self.in_cone(tx_id, parents) and self.tangle.issuer(tx_id) not in void
        }
        quorum = self._provide().quorum_of(round_)
        counted = [u for member, u in updates.items() if closers_of(member, closed) >= quorum]
        reveals = self.reveals_of(counted, (i for i in self._reveals(round_) if self.in_cone(i, parents)))
        revealed = {self.tangle.issuer(tx_id) for tx_id in reveals}
        listed = sorted(tx_id for tx_id in counted if self.tangle.issuer(tx_id) in revealed)
        return ProposalBasis(parents, tuple(listed), reveals)

    def _worth_listing(self, round_: int) -> tuple[bytes, ...]:
        return (*self._store.ids(Kind.UPDATE, round_), *self.closes(round_), *self._reveals(round_))

    def _reveals(self, round_: int) -> list[bytes]:
        return [i for i in self._store.ids(Kind.ACKNOWLEDGEMENT, round_) if _reveals(self.get(i))]

    def reveals_of(self, updates: Iterable[bytes], acknowledgements: Iterable[bytes]) -> tuple[bytes, ...]:
        """Of these acknowledgements the first reveal of each member that issued one of the updates; ids ascending.

        Raises:
            UnknownTransaction: one of them is not attached.
        """
        issuers = {self.tangle.issuer(tx_id) for tx_id in updates}
        first: dict[int, Transaction] = {}
        for tx_id in acknowledgements:
            member, said = self.tangle.issuer(tx_id), self.get(tx_id)
            if member in issuers and _reveals(said) and (member not in first or said.sequence < first[member].sequence):
                first[member] = said
        return tuple(sorted(said.id for said in first.values()))

    def round_ids(self, proposal: bytes) -> tuple[bytes, ...]:
        """Ascending ids of the proposal's round in its past cone. Raises UnknownTransaction."""
        return self._replica.round_ids(proposal)

    def round_root(self, proposal: bytes) -> bytes:
        """The round's Merkle root (32 bytes), which checkpoints carry. Raises UnknownTransaction."""
        return root(self.round_ids(proposal))

    def prove(self, tx_id: bytes, proposal: bytes) -> Proof:
        """Proof that a transaction is under `round_root(proposal)`; `dag.proofs.merkle.verify_inclusion` checks it offline.

        Raises:
            UnknownTransaction: the transaction is not among the proposal's round, or the proposal is not attached.
        """
        ids = self.round_ids(proposal)
        if tx_id not in ids:
            raise UnknownTransaction(tx_id)
        return inclusion_proof(ids, ids.index(tx_id))

    def verify(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Reads every row again and checks seal, id, signature, issuer and parents; a large ledger on all cores.

        Args:
            progress: told how many transactions were checked, and of how many, every few thousand.

        Raises:
            StoreCorrupt: a row does not hold what was written and signed.
        """
        self._replica.verify(progress)

    # -- inside --------------------------------------------------------------------------------------------------

    def _parents_for(
        self, body: Body, round_: int, issuer: bytes, context: Context, rng: random.Random
    ) -> tuple[bytes, bytes]:
        member = context.members[issuer].index if issuer in context.members else None
        if (below := self._must_prove(body, round_, issuer)) and member is not None:
            return parents_over(self.tangle, below)
        return choose_parents(
            self.tangle,
            rng,
            self._alpha,
            through=self._must_cover(body, round_, issuer, rng),
            rescue=orphan_of(self.tangle, member) if isinstance(body, AcknowledgementBody) else None,
            member=member,
            round_=round_,
            accept=self._accept,
        )

    def _must_prove(self, body: Body, round_: int, issuer: bytes) -> tuple[bytes, ...]:
        """What the past cone has to show where the rules look into it: walks would find parents that show only a part."""
        if isinstance(body, ProposalBody):
            return (*body.updates, *body.reveals, *self.closes(round_))
        if isinstance(body, AcknowledgementBody) and body.reveal is not None:
            return (*(update.id for update in self.updates_of(issuer, round_)), *self.closes(round_))
        if isinstance(body, AcknowledgementBody) and body.close:
            return tuple(tx_id for tx_id in self._store.ids(Kind.UPDATE, round_) if self._may_approve(tx_id))
        return ()

    def _must_cover(self, body: Body, round_: int, issuer: bytes, rng: random.Random) -> bytes | None:
        """What a new transaction's past cone has to hold for its body to make sense.

        For an acknowledgement without a reveal that is some update of the round that its member has not approved: an update
        that arrived on old parents is light, and free walks would leave it behind.
        """
        if isinstance(body, ShareBody | VerdictBody | CheckpointBody):
            return body.proposal if body.proposal in self else None
        if not isinstance(body, AcknowledgementBody):
            return None
        if issuer not in self._provide().members:
            return None
        behind = [tx_id for tx_id in self.unapproved(issuer, round_, Kind.UPDATE) if self._may_approve(tx_id)]
        return rng.choice(behind) if behind else None

    def _member_index(self, member: bytes) -> int:
        known = self._provide().members.get(member)
        if known is None:
            raise NotAMember(self.genesis_id, f"0x{member.hex()} is not in the registry")
        return known.index

    def _is_void(self, tx_id: bytes) -> bool:
        return self.tangle.is_faulty(self.tangle.issuer(tx_id))

    def _may_approve(self, tx_id: bytes) -> bool:
        return self.tangle.approval_weight(tx_id) > 0 and (self._accept is None or self._accept(tx_id))


def _reveals(transaction: Transaction) -> bool:
    return isinstance(transaction.body, AcknowledgementBody) and transaction.body.reveal is not None
