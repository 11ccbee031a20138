"""This hospital's ledger behind one lock: posting own transactions, taking in others'."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING, Any, Final

from dag.bodies import AcknowledgementBody, CheckpointBody, Kind, ProposalBody
from dag.closing import closers_of
from dag.equivocation import round_subject
from dag.errors import AlreadyPosted
from dag.gathering import parents_over, tip_over
from dag.ids import sha256
from dag.transaction import address_of
from dag.walks import choose_parents, orphan_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from dag.bodies import Body
    from dag.ledger import Ledger, Received
    from dag.proposing import ProposalBasis
    from dag.store.sqlite import Store
    from dag.transaction import Transaction

MAX_ROUNDS: Final = 64
"""Rounds whose updates' approvals are told with each of their transactions: those under way, and more."""


class Publisher:
    """`RoundLedger` over a real ledger (see `node.rounds.ports`); safe to use from several threads.

    Args:
        ledger: The ledger; from now on touched only through this object.
        store: The ledger's store, closed with this object.
        private_key: This member's secp256k1 key, 32 bytes; signs own transactions.
        members: Address (20 bytes) to seat, of all accounts that ever were members'; may grow, since hospitals join.
        attached: Called, under the lock and in order, with every transaction that enters and with who approves the
            updates of its round (bitmask by update id).
        refused: Called with the bytes of what peers sent and the rules refused: they may convict who signed them.
        forgotten: Called with every transaction of this member's own that a peer brought and this ledger did not know: it is
            older than what the member has said.
    """

    def __init__(
        self,
        ledger: Ledger,
        store: Store,
        private_key: bytes,
        members: Mapping[bytes, int],
        attached: Callable[[Transaction, Mapping[bytes, int]], None],
        refused: Callable[[Sequence[bytes]], None] = lambda _raws: None,
        forgotten: Callable[[Transaction], None] = lambda _transaction: None,
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._key = private_key
        self._me = members[address_of(private_key)]
        self._attached = attached
        self._refused = refused
        self._forgotten = forgotten
        self._lock = threading.RLock()
        self._updates: dict[int, dict[bytes, None]] = {}
        self._random = random.Random()  # noqa: S311  (walks need chance, not secrecy)

    def post(
        self,
        kind: Kind,
        body: Body,
        *,
        epoch: int,
        round_number: int,
        payload: str | None = None,
        approve: bytes | None = None,
        parents: tuple[bytes, bytes] | None = None,
    ) -> Transaction:
        """Choose two tips by weighted walks, check them, sign, attach durably; it goes to the outbox.

        Idempotent for what a member says once: the transaction that said it before is returned.

        Args:
            kind: The body's kind.
            body: What it says.
            epoch: Key epoch of the round.
            round_number: The round.
            payload: CID of its blob, for kinds that have one.
            approve: An id that the past cone must hold.
            parents: Two attached ids to approve instead of the walks' choice (`proposal_basis`).

        Raises:
            LedgerError: The rules refuse it, or the disk does; nothing was written.
        """
        with self._lock:
            if approve is not None:
                tangle = self._ledger.tangle
                rescue = orphan_of(tangle, self._me) if kind is Kind.ACKNOWLEDGEMENT else None
                parents = choose_parents(
                    tangle, self._random, through=approve, rescue=rescue, member=self._me, round_=round_number
                )
            try:
                posted = self._ledger.create(
                    kind, round_number, epoch, body, payload, self._key, self._random, parents=parents
                )
            except AlreadyPosted as error:
                return self._ledger.get(error.tx_id)
            self._tell(posted)
            return posted

    def close(self) -> None:
        """Close the ledger's store: the next start need not check every signature again."""
        with self._lock:
            self._store.close()

    def receive_many(self, raws: Sequence[bytes]) -> Received:
        """Take in many, in one durable commit; `dag.ledger.Ledger.receive_many`.

        Raises:
            StoreError: The disk refuses; nothing entered.
        """
        with self._lock:
            received = self._ledger.receive_many(raws)
            own = address_of(self._key)
            for transaction in received.attached:
                if transaction.issuer == own:
                    self._forgotten(transaction)
                self._tell(transaction)
        if received.refused:
            ids = {tx_id for tx_id, _ in received.refused}
            self._refused([raw for raw in raws if sha256(raw) in ids])
        return received

    def replay(self, round_number: int) -> None:
        """Tell the listener again of every transaction of a round, in arrival order; after a restart."""
        with self._lock:
            after = None
            while page := self._ledger.transactions(round=round_number, after=after, limit=500):
                for transaction in page:
                    self._tell(transaction)
                after = page[-1].id

    def proposal_basis(self, round_number: int, parents: tuple[bytes, bytes] | None = None) -> ProposalBasis:
        """What a proposal on these parents may list, by the ledger's rules; by default on the tips that show most."""
        with self._lock:
            return self._ledger.proposal_basis(round_number, parents)

    def listable_by(self, proposal: bytes) -> ProposalBasis:
        """What a proposal may list by its own past cone."""
        with self._lock:
            return self._ledger.proposal_basis(self._ledger.get(proposal).round, (proposal, proposal))

    def post_close(self, updates: Sequence[bytes], *, epoch: int, round_number: int) -> Transaction:
        """Post this member's close over these updates; the one it has posted before, if it has.

        Args:
            updates: Attached updates of the round.
            epoch: Key epoch of the round.
            round_number: The round.
        """
        with self._lock:
            before = self._ledger.posted(address_of(self._key), Kind.ACKNOWLEDGEMENT, round_subject(round_number))
            if before is not None:
                return self._ledger.get(before)
            tangle, quiet = self._ledger.tangle, AcknowledgementBody(reveal=None)
            parents = self.gather(updates, epoch=epoch, round_number=round_number)
            for update in updates:
                covered = [tangle.cover(parent, round_number) >> tangle.issuer(update) & 1 for parent in parents]
                if not any(covered):  # below them, but not through this round's transactions
                    head = self.post(
                        Kind.ACKNOWLEDGEMENT, quiet, epoch=epoch, round_number=round_number, parents=parents
                    )
                    parents = (head.id, update)
            body = AcknowledgementBody(reveal=None, close=True)
            return self.post(Kind.ACKNOWLEDGEMENT, body, epoch=epoch, round_number=round_number, parents=parents)

    def closers(self, update: bytes) -> int:
        """How many members' closes cover an update, as far as this node has seen."""
        with self._lock:
            tangle = self._ledger.tangle
            closed = self._ledger.closed_within(tangle.tips(), tangle.round(update))
            return closers_of(tangle.issuer(update), closed)

    def gather(self, ids: Sequence[bytes], *, epoch: int, round_number: int) -> tuple[bytes, bytes]:
        """Acknowledge until two transactions hold all these ids in their past cone: parents for what has to show them.

        Args:
            ids: Attached transactions.
            epoch: Key epoch of the round.
            round_number: The round.
        """
        with self._lock:
            tangle, body = self._ledger.tangle, AcknowledgementBody(reveal=None)
            parents = parents_over(tangle, ids)
            for tx_id in ids:
                if not self._ledger.in_cone(tx_id, parents):
                    joint = self.post(
                        Kind.ACKNOWLEDGEMENT, body, epoch=epoch, round_number=round_number, parents=parents
                    )
                    parents = (joint.id, tip_over(tangle, tx_id))
            return parents

    def segment(self, proposal: bytes, also: Sequence[bytes]) -> tuple[bytes, ...]:
        """The transactions that prove a proposal, as bytes, in ascending order of id.

        All of the proposal's round in its past cone, and whatever else in that cone approves one of its updates (a late
        transaction of an earlier round may); so the segment alone shows which updates were confirmed.

        Args:
            proposal: Id of the proposal.
            also: Further ids, such as the verdicts counted.
        """
        with self._lock:
            body = self._ledger.get(proposal).body
            updates = body.updates if isinstance(body, ProposalBody) else ()
            ids = {proposal, *also, *self._ledger.round_ids(proposal), *self._approving(proposal, updates)}
            return tuple(self._ledger.get(tx_id).raw for tx_id in sorted(ids))

    def _approving(self, head: bytes, updates: Sequence[bytes]) -> set[bytes]:
        """Everything in a past cone that approves one of the updates, directly or not."""
        tangle = self._ledger.tangle
        floor = min((tangle.depth(update) for update in updates), default=0)
        seen, stack = {head}, [head]
        while stack:
            for parent in tangle.parents(stack.pop()):
                if parent not in seen and tangle.depth(parent) >= floor:
                    seen.add(parent)
                    stack.append(parent)
        found = set(updates)
        for tx_id in sorted(seen, key=tangle.depth):
            if any(parent in found for parent in tangle.parents(tx_id)):
                found.add(tx_id)
        return found & seen

    def read(self, question: Callable[[Ledger], Any]) -> Any:
        """Ask the ledger anything that does not change it, under the lock."""
        with self._lock:
            return question(self._ledger)

    def get(self, tx_id: bytes) -> Transaction:
        """An attached transaction."""
        with self._lock:
            return self._ledger.get(tx_id)

    def knows(self, tx_id: bytes) -> bool:
        """Whether it is attached."""
        with self._lock:
            return tx_id in self._ledger

    def anchored(self, round_number: int, statement: bytes) -> None:
        """The chain holds a round's statement: walks may enter the ledger at a checkpoint of it (`Tangle.anchor`).

        Args:
            round_number: The round.
            statement: Digest of its statement, 32 bytes.
        """
        with self._lock:
            for transaction in self._ledger.transactions(Kind.CHECKPOINT, round_number):
                if isinstance(transaction.body, CheckpointBody) and transaction.body.statement == statement:
                    self._ledger.tangle.anchor(transaction.id)
                    return

    def round_root(self, proposal: bytes) -> bytes:
        """Merkle root over the round's transactions in a proposal's past cone."""
        with self._lock:
            return self._ledger.round_root(proposal)

    def outbox(self) -> tuple[Transaction, ...]:
        """Own transactions that peers should still hear of."""
        with self._lock:
            return tuple(self._ledger.get(tx_id) for tx_id in self._ledger.outbox())

    def sent(self, tx_id: bytes) -> None:
        """Enough peers have it."""
        with self._lock:
            self._ledger.sent(tx_id)

    def _tell(self, transaction: Transaction) -> None:
        if transaction.kind is Kind.UPDATE:
            self._know(transaction)
        tangle = self._ledger.tangle
        approvals = {update: tangle.approved_by_members(update) for update in self._updates.get(transaction.round, ())}
        self._attached(transaction, approvals)

    def _know(self, update: Transaction) -> None:
        """Have an update's approvals told; rounds whose updates came longest ago give way, or a node would grow for ever."""
        updates = self._updates.pop(update.round, {})
        updates[update.id] = None
        self._updates[update.round] = updates
        while len(self._updates) > MAX_ROUNDS:
            del self._updates[next(iter(self._updates))]
