"""What is asked of the disk for every transaction, kept in memory: who said what, and how far each counter has come.

Exact, not a guess: the first question about an issuer or a subject reads the disk, and every attachment is noted here. An
honest transaction has a fresh sequence number, so the look-up by number is left out for all but the suspicious ones.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from dag.bodies import Kind
from dag.equivocation import ROUND_BYTES

if TYPE_CHECKING:
    from dag.store.port import LedgerStore
    from dag.store.schema import Row
    from dag.transaction import Transaction

_SUBJECTS: Final = 512  # rounds and proposals whose answers are remembered, about 100 bytes an answer
_TRANSACTIONS: Final = 2048
"""The newest so many at least, twice as many at most, are at hand: a round of 256 members. One takes 1.8 kB (all 7.4 MB)."""

Answers = dict[tuple[bytes, str], tuple[bytes, ...]]


class Recent:
    """Answers to frequent questions about attached transactions. Bounded; forgotten ones are read from disk again."""

    def __init__(self, store: LedgerStore) -> None:
        self._store = store
        self._next: dict[bytes, int] = {}
        self._answers: OrderedDict[bytes, Answers] = OrderedDict()
        self._newer: dict[bytes, tuple[Transaction, int]] = {}
        self._older: dict[bytes, tuple[Transaction, int]] = {}
        self._newest_round = store.newest_round()

    def next_sequence(self, issuer: bytes) -> int:
        """One more than the largest sequence number among the issuer's attached transactions; 0 for a new issuer."""
        if issuer not in self._next:
            self._next[issuer] = self._store.next_sequence(issuer)
        return self._next[issuer]

    def with_sequence(self, issuer: bytes, sequence: int) -> tuple[bytes, ...]:
        """Ids of the issuer's attached transactions with this sequence number."""
        return self._store.ids_by_sequence(issuer, sequence) if sequence < self.next_sequence(issuer) else ()

    def answered(self, issuer: bytes, kind: str, subject: bytes) -> tuple[bytes, ...]:
        """Ids of the issuer's attached transactions of this kind about a subject, in arrival order."""
        return self._about(subject).get((issuer, kind), ())

    def transaction(self, tx_id: bytes) -> Transaction | None:
        """An attached transaction, if it is among those at hand."""
        found = self._newer.get(tx_id) or self._older.get(tx_id)
        return None if found is None else found[0]

    def arrival(self, tx_id: bytes) -> int | None:
        """An attached transaction's arrival number, if it is among those at hand."""
        found = self._newer.get(tx_id) or self._older.get(tx_id)
        return None if found is None else found[1]

    def keep(self, transaction: Transaction, arrival: int) -> None:
        """Has a transaction at hand; those kept longest give way together, which costs less than one by one."""
        self._newer[transaction.id] = (transaction, arrival)
        if len(self._newer) >= _TRANSACTIONS:
            self._older, self._newer = self._newer, {}

    def attached(self, row: Row, transaction: Transaction) -> None:
        """Notes what has just been appended to the store."""
        self.keep(transaction, row.arrival)
        counted = self._next.get(row.issuer)
        if counted is not None and counted <= row.sequence:
            self._next[row.issuer] = row.sequence + 1
        self._newest_round = max(self._newest_round, row.round)
        if transaction.kind is Kind.PROPOSAL:
            self._remember(row.id, {})  # nobody has answered what was not attached
        if row.subject is not None and row.subject in self._answers:
            answers, key = self._answers[row.subject], (row.issuer, row.kind)
            answers[key] = (*answers.get(key, ()), row.id)

    def _about(self, subject: bytes) -> Answers:
        found = self._answers.get(subject)
        if found is None:
            found = self._read(subject)
            self._remember(subject, found)
        return found

    def _remember(self, subject: bytes, answers: Answers) -> None:
        self._answers[subject] = answers
        if len(self._answers) > _SUBJECTS:
            self._answers.popitem(last=False)

    def _read(self, subject: bytes) -> Answers:
        if len(subject) == ROUND_BYTES and int.from_bytes(subject, "big") > self._newest_round:
            return {}  # a round of which nothing is attached
        found: Answers = {}
        for issuer, kind, tx_id in self._store.answers(subject):
            found[issuer, kind] = (*found.get((issuer, kind), ()), tx_id)
        return found
