"""The past cone of a proposal, computed from a segment's own parent links and nothing else (DAG-6)."""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property
from typing import TYPE_CHECKING

from dag.bodies import AcknowledgementBody
from dag.equivocation import subject_of
from dag.proofs.merkle import root

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dag.transaction import Transaction


class Cone:
    """A head and those of its ancestors that a segment holds.

    A segment holds every transaction of the round in the head's past cone, and whatever else there approves one of the
    updates; so who approves an update inside the cone can be told from it.

    Args:
        transactions: The segment by id; every signature was verified.
        issuers: Seat of each transaction's issuer, by id.
        head: Id of a transaction in the segment.
    """

    def __init__(self, transactions: Mapping[bytes, Transaction], issuers: Mapping[bytes, int], head: bytes) -> None:
        self._transactions = transactions
        self._issuers = issuers
        self.head = head
        self.round = transactions[head].round

    @cached_property
    def ids(self) -> frozenset[bytes]:
        """Every id of the segment in the head's past cone, the head included."""
        return self._reach(0)

    @cached_property
    def round_ids(self) -> tuple[bytes, ...]:
        """Ascending ids of the round in the cone, reached through transactions of this or a later round only."""
        reached = self._reach(self.round)
        return tuple(sorted(tx_id for tx_id in reached if self._transactions[tx_id].round == self.round))

    @property
    def root(self) -> bytes:
        """The round's Merkle root (32 bytes), as checkpoints carry it."""
        return root(self.round_ids)

    @cached_property
    def void(self) -> frozenset[int]:
        """Members with two contradicting transactions in the cone, one of them in this round or later: they count for nothing."""
        seen: dict[tuple[object, ...], list[bytes]] = defaultdict(list)
        for tx_id in self.ids:
            transaction, issuer = self._transactions[tx_id], self._issuers[tx_id]
            seen[issuer, transaction.sequence].append(tx_id)
            if (subject := subject_of(transaction)) is not None:
                seen[issuer, transaction.kind, subject].append(tx_id)
        return frozenset(
            self._issuers[ids[0]]
            for ids in seen.values()
            if len(ids) > 1 and any(self._transactions[tx_id].round >= self.round for tx_id in ids)
        )

    def approving(self, updates: tuple[bytes, ...]) -> dict[bytes, frozenset[int]]:
        """Per update, the members that approve it inside the cone, its issuer included; nobody for a void issuer's.

        Args:
            updates: Ids in the segment; those outside the cone are approved by nobody.
        """
        bits = {tx_id: 1 << position for position, tx_id in enumerate(updates)}
        masks: dict[bytes, int] = {}
        by_member: dict[int, int] = defaultdict(int)
        for tx_id in self._ascending:
            mask = bits.get(tx_id, 0)
            for parent in self._transactions[tx_id].parents:
                mask |= masks.get(parent, 0)
            masks[tx_id] = mask
            by_member[self._issuers[tx_id]] |= mask
        return {tx_id: self._approvers(tx_id, bit, by_member) for tx_id, bit in bits.items()}

    def closing(self, updates: tuple[bytes, ...]) -> dict[bytes, frozenset[int]]:
        """Per update, the members that closed above it inside the cone; nobody for a void issuer's.

        Above: on a path through transactions of the round alone, as the ledger counts it (`dag.closing`).

        Args:
            updates: Ids in the segment; those outside the cone are closed by nobody.
        """
        bits = {tx_id: 1 << position for position, tx_id in enumerate(updates)}
        masks: dict[bytes, int] = {}
        by_member: dict[int, int] = defaultdict(int)
        for tx_id in self._ascending:
            transaction = self._transactions[tx_id]
            if transaction.round != self.round:
                continue
            mask = bits.get(tx_id, 0)
            for parent in transaction.parents:
                mask |= masks.get(parent, 0)
            masks[tx_id] = mask
            if isinstance(transaction.body, AcknowledgementBody) and transaction.body.close:
                by_member[self._issuers[tx_id]] |= mask
        return {tx_id: self._approvers(tx_id, bit, by_member) for tx_id, bit in bits.items()}

    def _approvers(self, update: bytes, bit: int, by_member: Mapping[int, int]) -> frozenset[int]:
        if self._issuers[update] in self.void:
            return frozenset()
        return frozenset(member for member, mask in by_member.items() if mask & bit and member not in self.void)

    @cached_property
    def _ascending(self) -> tuple[bytes, ...]:
        """The cone, parents before children (ids are digests over the parents' ids, so there is no cycle)."""
        order: list[bytes] = []
        done: set[bytes] = set()
        stack = [(self.head, False)]
        while stack:
            tx_id, expanded = stack.pop()
            if expanded:
                order.append(tx_id)
            elif tx_id not in done:
                done.add(tx_id)
                stack.append((tx_id, True))
                stack += [
                    (p, False) for p in self._transactions[tx_id].parents if p in self._transactions and p not in done
                ]
        return tuple(order)

    def _reach(self, oldest: int) -> frozenset[bytes]:
        seen, stack = {self.head}, [self.head]
        while stack:
            for parent in self._transactions[stack.pop()].parents:
                known = self._transactions.get(parent)
                if known is not None and parent not in seen and known.round >= oldest:
                    seen.add(parent)
                    stack.append(parent)
        return frozenset(seen)
