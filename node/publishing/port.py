"""The ledger behind the publisher's lock, as the sync machine sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from dag.sync import LedgerAccess

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dag.equivocation import EquivocationProof
    from dag.ledger import Received
    from dag.transaction import Transaction
    from node.publishing.publisher import Publisher

T = TypeVar("T")


class PublisherPort:
    """`dag.sync.LedgerPort` over a publisher; safe to use while other threads post."""

    def __init__(self, publisher: Publisher) -> None:
        """A view of the publisher's ledger."""
        self._publisher = publisher
        self._access: LedgerAccess = publisher.read(LedgerAccess)

    def __len__(self) -> int:
        return self._under_lock(lambda: len(self._access))

    def __contains__(self, tx_id: bytes) -> bool:
        return self._under_lock(lambda: tx_id in self._access)

    def raw(self, tx_id: bytes) -> bytes:
        """See `LedgerPort.raw`."""
        return self._under_lock(lambda: self._access.raw(tx_id))

    def tips(self) -> tuple[bytes, ...]:
        """See `LedgerPort.tips`."""
        return self._under_lock(self._access.tips)

    def locator(self) -> tuple[bytes, ...]:
        """See `LedgerPort.locator`."""
        return self._under_lock(self._access.locator)

    def page(self, after: bytes, limit: int) -> tuple[bytes, ...]:
        """See `LedgerPort.page`."""
        return self._under_lock(lambda: self._access.page(after, limit))

    def missing(self) -> tuple[bytes, ...]:
        """See `LedgerPort.missing`."""
        return self._under_lock(self._access.missing)

    def inspect(self, raw: bytes) -> Transaction:
        """See `LedgerPort.inspect`."""
        return self._under_lock(lambda: self._access.inspect(raw))

    def receive_many(self, raws: Sequence[bytes]) -> Received:
        """See `LedgerPort.receive_many`; the publisher tells its listener of what entered."""
        return self._publisher.receive_many(raws)

    def evidence(self) -> tuple[EquivocationProof, ...]:
        """See `LedgerPort.evidence`."""
        return self._under_lock(self._access.evidence)

    def _under_lock(self, question: Callable[[], T]) -> T:
        answer: T = self._publisher.read(lambda _ledger: question())
        return answer
