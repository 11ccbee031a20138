"""What the machine needs of a ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from dag.transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dag.equivocation import EquivocationProof
    from dag.ledger import Ledger, Received


class LedgerPort(Protocol):
    """A ledger, as the machine sees it. Ids have 32 bytes."""

    def __len__(self) -> int:
        """How many transactions are attached, genesis included."""

    def __contains__(self, tx_id: bytes) -> bool:
        """Whether it is attached."""

    def raw(self, tx_id: bytes) -> bytes:
        """The bytes of an attached transaction."""

    def tips(self) -> tuple[bytes, ...]:
        """Ids that nobody approves yet."""

    def locator(self) -> tuple[bytes, ...]:
        """Ids to begin catching up at, the newest first, genesis last."""

    def page(self, after: bytes, limit: int) -> tuple[bytes, ...]:
        """Bytes of what was attached after a transaction, in that order, at most `limit` of them."""

    def missing(self) -> tuple[bytes, ...]:
        """Parents that waiting transactions lack."""

    def inspect(self, raw: bytes) -> Transaction:
        """The transaction in bytes, judged by the rules that need no other transaction. Raises LedgerError."""

    def receive_many(self, raws: Sequence[bytes]) -> Received:
        """Takes transactions in, in one durable commit. Raises StoreError; nothing entered then."""

    def evidence(self) -> tuple[EquivocationProof, ...]:
        """Proofs of equivocation that are kept."""


class LedgerAccess:
    """`LedgerPort` over a ledger in this process."""

    def __init__(self, ledger: Ledger) -> None:
        """A view of `ledger`; nothing is kept besides."""
        self._ledger = ledger

    def __len__(self) -> int:
        return len(self._ledger)

    def __contains__(self, tx_id: bytes) -> bool:
        return tx_id in self._ledger

    def raw(self, tx_id: bytes) -> bytes:
        """See `LedgerPort.raw`."""
        return self._ledger.get(tx_id).raw

    def tips(self) -> tuple[bytes, ...]:
        """See `LedgerPort.tips`."""
        return self._ledger.tips()

    def locator(self) -> tuple[bytes, ...]:
        """See `LedgerPort.locator`.

        Confirmed transactions only: a quorum approved them at the time, so every node attached them at about the same place.
        A lonely transaction on old parents, such as the first after a long absence, would be found at the end.
        """
        ledger = self._ledger
        places = [tx_id for tx_id in ledger.frontier() if tx_id != ledger.genesis_id and ledger.is_confirmed(tx_id)]
        return (*places, ledger.genesis_id)

    def page(self, after: bytes, limit: int) -> tuple[bytes, ...]:
        """See `LedgerPort.page`."""
        return tuple(transaction.raw for transaction in self._ledger.transactions(after=after, limit=limit))

    def missing(self) -> tuple[bytes, ...]:
        """See `LedgerPort.missing`."""
        return self._ledger.missing()

    def inspect(self, raw: bytes) -> Transaction:
        """See `LedgerPort.inspect`."""
        transaction = Transaction.decode(raw)
        self._ledger.verify_standalone(transaction)
        return transaction

    def receive_many(self, raws: Sequence[bytes]) -> Received:
        """See `LedgerPort.receive_many`."""
        return self._ledger.receive_many(raws)

    def evidence(self) -> tuple[EquivocationProof, ...]:
        """See `LedgerPort.evidence`."""
        return self._ledger.evidence()
