"""The door: what happens to bytes from a peer.

Children that arrive before their parents wait on disk. The first of two contradicting transactions enters; the second is
kept as evidence and refused, unless a transaction that waits has it as a parent: some member built on it before the
contradiction was known, and refusing it would cut that member off. Either way the equivocator's approval stops counting.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final

from dag.equivocation import EquivocationProof, contradiction, subject_of
from dag.errors import (
    DuplicateUpdate,
    Equivocation,
    LedgerError,
    MalformedTransaction,
    MissingParent,
    NotAMember,
    StoreError,
    WaitingFull,
    WrongRound,
)
from dag.ids import sha256
from dag.rules import Context, verify_transaction
from dag.transaction import Transaction, identified, recover_issuers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dag.replica import Replica

_STRIDE: Final = 256  # transactions decoded ahead; bounds memory where a caller streams many

# What the chain may allow, or other transactions make room for, later: descendants keep waiting.
_RETRYABLE: Final = (WrongRound, NotAMember, WaitingFull, Equivocation)


@dataclass
class Intake:
    """One batch from peers, inside one durable commit.

    Attributes:
        replica: where transactions go.
        context: what the chain says, for the whole batch.
        attached: what entered by its id, parents before children.
        refused: ids and reasons of what may not enter.
        missing: parents that were found missing on the way.
        news: whether anything was not known before.
    """

    replica: Replica
    context: Context
    attached: dict[bytes, Transaction] = field(default_factory=dict)
    refused: list[tuple[bytes, LedgerError]] = field(default_factory=list)
    missing: dict[bytes, None] = field(default_factory=dict)
    news: bool = False

    def take(self, raws: Iterable[bytes]) -> None:
        """Lets transactions in, parks them, or notes why not; then lets in what waited for them.

        Raises:
            StoreError: the disk refused or a stored row is damaged; the batch must be rolled back.
        """
        source = iter(raws)
        while part := list(islice(source, _STRIDE)):
            for found in self._read(part):
                if isinstance(found, Transaction):
                    self._take(found)
                else:
                    self._refuse(*found)

    def _read(self, raws: list[bytes]) -> list[Transaction | tuple[bytes, LedgerError]]:
        """Decodes what is not attached yet, and recovers the signatures of what is of this consortium."""
        found: list[Transaction | tuple[bytes, LedgerError]] = []
        ours: list[Transaction] = []
        for tx_id, raw in {sha256(raw): raw for raw in raws}.items():
            if tx_id in self.replica:
                continue
            try:
                transaction = identified(self.replica.decode(raw), tx_id)
            except MalformedTransaction as error:
                found.append((tx_id, error))
                continue
            found.append(transaction)
            if transaction.consortium == self.context.consortium:
                ours.append(transaction)
        recover_issuers(ours)
        return found

    def _take(self, transaction: Transaction) -> None:
        queue = [transaction]
        while queue:
            current = queue.pop()
            if current.id in self.attached:  # it had waited, and its parent came before it in this batch
                continue
            try:
                queue += self._admit(current)
            except StoreError:
                raise
            except LedgerError as error:
                self._refuse(current.id, error)

    def still_missing(self) -> tuple[bytes, ...]:
        """Parents that this batch turned out to need and that have not come with it."""
        return tuple(
            parent for parent in self.missing if parent not in self.replica and parent not in self.replica.waiting
        )

    def _admit(self, transaction: Transaction) -> list[Transaction]:
        """Attaches or parks a transaction; returns what waited for nothing but it."""
        replica = self.replica
        try:
            verify_transaction(transaction, self.context, replica)
        except MissingParent as error:
            self.missing.update(dict.fromkeys(error.ids))
            self.news = self.news or transaction.id not in replica.waiting
            replica.waiting.add(transaction)
            return []
        proofs = self._settle(transaction)
        replica.attach(transaction, self.context)
        for proof in proofs:
            replica.note(proof, self.context)
        self.news = True
        self.attached[transaction.id] = transaction
        replica.waiting.drop(transaction.id)
        children = replica.waiting.children(transaction.id)
        return [child for child in children if all(parent in replica for parent in child.parents)]

    def _refuse(self, tx_id: bytes, error: LedgerError) -> None:
        self.refused.append((tx_id, error))
        self.news = True
        self.replica.waiting.drop(tx_id)
        if not isinstance(error, _RETRYABLE):
            self.replica.waiting.drop_descendants(tx_id)

    def _settle(self, transaction: Transaction) -> list[EquivocationProof]:
        """Keeps evidence of contradictions; refuses an equivocator's transaction unless a waiting one is built on it."""
        replica, issuer = self.replica, transaction.issuer
        proofs = self._contradictions(transaction)
        for proof in proofs:
            replica.store.put_evidence(issuer, proof.encode())
            replica.note(proof, self.context)
        index = self.context.members[issuer].index
        if not replica.tangle.is_faulty(index) or replica.waiting.is_wanted(transaction.id):
            return proofs
        if not proofs:
            kept = next(proof for proof in replica.evidence() if proof.issuer == issuer)
            raise Equivocation(transaction.id, f"member {index} is a proven equivocator", kept)
        reason = contradiction(proofs[0].first, proofs[0].second) or ""
        kind = Equivocation if proofs[0].first.sequence == proofs[0].second.sequence else DuplicateUpdate
        raise kind(transaction.id, f"member {index} equivocates: {reason}; the evidence is kept", proofs[0])

    def _contradictions(self, transaction: Transaction) -> list[EquivocationProof]:
        recent, issuer = self.replica.recent, transaction.issuer
        rivals = recent.with_sequence(issuer, transaction.sequence)
        if subject := subject_of(transaction):
            rivals += recent.answered(issuer, transaction.kind, subject)
        if not rivals:
            return []
        known = (self.replica.get(rival) for rival in sorted({*rivals}))
        return [EquivocationProof.of(transaction, rival) for rival in known if contradiction(transaction, rival)]
