"""Transactions whose parents have not arrived, kept on disk and bounded."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from dag.errors import WaitingFull

if TYPE_CHECKING:
    from collections.abc import Callable

    from dag.store.port import LedgerStore
    from dag.transaction import Transaction


class Waiting:
    """The waiting table and its index by missing parent. Holds only what passed `dag.rules.verify_standalone`."""

    def __init__(self, store: LedgerStore, limit: int, limit_per_issuer: int) -> None:
        """An empty index over the store's table; `remember` fills it at start.

        Args:
            store: where waiting transactions are kept.
            limit: how many may wait altogether.
            limit_per_issuer: how many of one issuer may wait, so that one member cannot crowd out the others.
        """
        self._store = store
        self._limit = limit
        self._limit_per_issuer = limit_per_issuer
        self._waiting: dict[bytes, Transaction] = {}
        self._children: dict[bytes, dict[bytes, None]] = {}
        self._per_issuer: Counter[bytes] = Counter()

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, tx_id: bytes) -> bool:
        return tx_id in self._waiting

    def is_wanted(self, tx_id: bytes) -> bool:
        """Whether a waiting transaction has it as a parent."""
        return tx_id in self._children

    def add(self, transaction: Transaction) -> None:
        """Keeps a transaction until its parents arrive; keeping it again changes nothing.

        Raises:
            WaitingFull: too many wait already.
            StoreFailed: the disk refused.
        """
        if transaction.id in self._waiting:
            return
        mine = self._per_issuer[transaction.issuer]
        if len(self._waiting) >= self._limit or mine >= self._limit_per_issuer:
            raise WaitingFull(
                f"{len(self._waiting)} transactions wait for parents, {mine} of this issuer (limits {self._limit}, "
                f"{self._limit_per_issuer}); fetch missing parents first, then send it again"
            )
        self._store.keep_waiting(transaction.id, transaction.raw)
        self.remember(transaction)

    def remember(self, transaction: Transaction) -> None:
        """Indexes a transaction that the table holds already."""
        self._waiting[transaction.id] = transaction
        self._per_issuer[transaction.issuer] += 1
        for parent in transaction.parents:
            self._children.setdefault(parent, {})[transaction.id] = None

    def drop(self, tx_id: bytes) -> None:
        """Forgets a transaction, attached by now or refused."""
        transaction = self._waiting.pop(tx_id, None)
        if transaction is None:
            return
        self._per_issuer[transaction.issuer] -= 1
        self._store.drop_waiting(tx_id)
        for parent in transaction.parents:
            children = self._children.get(parent, {})
            children.pop(tx_id, None)
            if not children:
                self._children.pop(parent, None)

    def children(self, tx_id: bytes) -> tuple[Transaction, ...]:
        """Waiting transactions that have it as a parent."""
        children = self._children.get(tx_id)
        return tuple(self._waiting[child] for child in children) if children else ()

    def drop_descendants(self, tx_id: bytes) -> tuple[bytes, ...]:
        """Forgets everything that waits, directly or not, for a transaction that was refused for good."""
        dropped: list[bytes] = []
        stack = [tx_id]
        while stack:
            for child in self.children(stack.pop()):
                dropped.append(child.id)
                stack.append(child.id)
                self.drop(child.id)
        return tuple(dropped)

    def next_sequence(self, issuer: bytes) -> int:
        """One more than the largest sequence number of the issuer's waiting transactions; 0 if none waits."""
        return max((tx.sequence + 1 for tx in self._waiting.values() if tx.issuer == issuer), default=0)

    def missing(self, is_attached: Callable[[bytes], bool]) -> tuple[bytes, ...]:
        """Ids to ask peers for: parents that are neither attached nor waiting themselves."""
        return tuple(parent for parent in self._children if parent not in self._waiting and not is_attached(parent))
