"""What a ledger asks of the place where it is kept. `dag.store.sqlite.Store` is the one on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from dag.store.schema import Row


class LedgerStore(Protocol):
    """Rows by arrival number, and small tables beside them. All writes of one `batch` become durable together or not at all.

    Every method may raise StoreFailed (the disk refused) or StoreCorrupt (what is read is not what was written).
    """

    path: str
    was_dirty: bool

    def batch(self) -> AbstractContextManager[None]:
        """One durable commit around everything written inside; rolled back if the block raises. Nests."""

    def append(self, rows: Sequence[Row]) -> None:
        """Appends rows, numbered on from the last one."""

    def last_arrival(self) -> int:
        """The newest row's arrival number; 0 in an empty ledger."""

    def rows(
        self, after: int = 0, limit: int = -1, kind: str | None = None, round_: int | None = None
    ) -> Iterator[Row]:
        """Verified rows in arrival order; filters as in `dag.store.sqlite.Store.rows`."""

    def chunks(self, after: int = 0) -> Iterator[list[Row]]:
        """All verified rows with a larger arrival number, many at a time."""

    def row(self, arrival: int) -> Row | None:
        """The verified row with this arrival number, or None."""

    def newest_round(self) -> int:
        """The largest round of any row; 0 in an empty ledger."""

    def ids(self, kind: str | None = None, round_: int | None = None) -> tuple[bytes, ...]:
        """Ids in arrival order, of one kind or round if given."""

    def ids_by_sequence(self, issuer: bytes, sequence: int) -> tuple[bytes, ...]:
        """Ids of an issuer's transactions with this sequence number."""

    def answers(self, subject: bytes) -> tuple[tuple[bytes, str, bytes], ...]:
        """Issuer, kind and id of every transaction about a subject, in arrival order."""

    def next_sequence(self, issuer: bytes) -> int:
        """One more than the issuer's largest sequence number; 0 for a new issuer."""

    def keep_waiting(self, tx_id: bytes, raw: bytes) -> None:
        """Keeps a transaction whose parents are missing."""

    def drop_waiting(self, tx_id: bytes) -> None:
        """Forgets a waiting transaction."""

    def waiting(self) -> tuple[bytes, ...]:
        """Bytes of all waiting transactions."""

    def put_outbox(self, tx_id: bytes) -> None:
        """Notes that peers should hear of a transaction."""

    def clear_outbox(self, tx_id: bytes) -> None:
        """Notes that peers have heard of it."""

    def outbox(self) -> tuple[bytes, ...]:
        """Ids of transactions that peers should hear of, in the order they were put."""

    def put_evidence(self, issuer: bytes, proof: bytes) -> None:
        """Keeps a proof of equivocation."""

    def evidence(self) -> tuple[bytes, ...]:
        """All proofs of equivocation, by issuer."""

    def put_pruned(self, blobs: Sequence[tuple[bytes, int]]) -> None:
        """Marks payloads (binary CID, round) as let go; those marked before stay as they are."""

    def set_gone(self, blobs: Sequence[bytes]) -> None:
        """Notes that the blob store no longer holds these payloads."""

    def pruned_round(self, blob: bytes) -> int | None:
        """The round of a payload that was let go, or None."""

    def droppable(self) -> tuple[bytes, ...]:
        """Payloads that were let go and are not known to be gone, by round."""

    def meta(self, key: str) -> bytes | None:
        """A note about the store itself, or None."""

    def set_meta(self, key: str, value: bytes) -> None:
        """Writes a note about the store itself."""
