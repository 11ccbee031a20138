"""A ledger's store without a disk: what `dag.store.sqlite.Store` promises but durability, at a hundredth of the cost.

A thousand nodes keep a thousand copies of nearly the same rows. What a row says of its transaction is the same in all of
them and kept once (`Shared`); a store has for each row a reference and its parents' two numbers. It outlives a simulated
crash because the simulation keeps the object. Rows carry no seal: there is no disk that could change them.
"""

from __future__ import annotations

from array import array
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dag.errors import StoreFailed
from dag.ids import sha256
from dag.store.schema import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Said = tuple[bytes, bytes, bytes, int, str, int, bytes | None]
"""Columns that are the same in every store: id, raw, issuer, sequence, kind, round, subject."""
Shared = dict[bytes, Said]
"""By transaction id."""


class MemoryStore:
    """`dag.store.port.LedgerStore` in memory."""

    def __init__(self, name: str, shared: Shared | None = None) -> None:
        """An empty store.

        Args:
            name: what errors call it.
            shared: columns kept once for several stores.
        """
        self.path = name
        self.was_dirty = False
        self._shared = {} if shared is None else shared
        self._said: list[Said] = []
        self._first = array("i")
        self._second = array("i")
        self._by_issuer: dict[bytes, array[int]] = {}
        self._by_round: dict[int, array[int]] = {}
        self._by_subject: dict[bytes, array[int]] = {}
        self._waiting: dict[bytes, bytes] = {}
        self._outbox: dict[bytes, None] = {}
        self._evidence: dict[bytes, tuple[bytes, bytes]] = {}
        self._pruned: dict[bytes, tuple[int, bool]] = {}
        self._meta: dict[str, bytes] = {}
        self._undo: list[Callable[[], object]] | None = None

    def crash(self) -> None:
        """The process died: the next ledger over this store finds that it was not closed."""
        self.was_dirty = True

    @contextmanager
    def batch(self) -> Iterator[None]:
        """All writes of the block, or none if it raises. Nests."""
        if self._undo is not None:
            yield
            return
        self._undo = []
        try:
            yield
        except BaseException:
            for back in reversed(self._undo):
                back()
            raise
        finally:
            self._undo = None

    # -- transactions --------------------------------------------------------------------------------------------

    def append(self, rows: Sequence[Row]) -> None:
        """Appends rows, numbered on from the last one.

        Raises:
            StoreFailed: a row is there already or one before it is missing.
        """
        for row in rows:
            if row.arrival != len(self._said) + 1:
                raise StoreFailed(f"ledger {self.path}: row {row.arrival} after {len(self._said)} rows")
            said = self._shared.setdefault(row.id, row[1:8])
            at = len(self._said)
            self._said.append(said)
            self._first.append(row.first)
            self._second.append(row.second)
            for index in self._indexes(said):
                index.append(at)
            self._done(self._drop_last)

    def _indexes(self, said: Said) -> Iterator[array[int]]:
        """The lists that a row is entered into."""
        _, _, issuer, _, _, round_, subject = said
        yield self._by_issuer.setdefault(issuer, array("i"))
        yield self._by_round.setdefault(round_, array("i"))
        if subject is not None:
            yield self._by_subject.setdefault(subject, array("i"))

    def _drop_last(self) -> None:
        for index in self._indexes(self._said.pop()):
            index.pop()
        self._first.pop()
        self._second.pop()

    def last_arrival(self) -> int:
        """The newest row's arrival number; 0 in an empty ledger."""
        return len(self._said)

    def rows(
        self, after: int = 0, limit: int = -1, kind: str | None = None, round_: int | None = None
    ) -> Iterator[Row]:
        """Rows in arrival order; filters as in `dag.store.sqlite.Store.rows`."""
        places = range(after, len(self._said)) if round_ is None else self._of_round(round_)
        left = limit
        for at in places:
            if left == 0:
                return
            if at >= after and (kind is None or self._said[at][4] == kind):
                left -= 1
                yield self._row(at)

    def chunks(self, after: int = 0) -> Iterator[list[Row]]:
        """All rows with a larger arrival number."""
        if found := list(self.rows(after)):
            yield found

    def row(self, arrival: int) -> Row | None:
        """The row with this arrival number, or None."""
        return self._row(arrival - 1) if 0 < arrival <= len(self._said) else None

    def ids(self, kind: str | None = None, round_: int | None = None) -> tuple[bytes, ...]:
        """Ids in arrival order, of one kind or round if given."""
        said = self._said if round_ is None else [self._said[at] for at in self._of_round(round_)]
        return tuple(found[0] for found in said if kind is None or found[4] == kind)

    def ids_by_sequence(self, issuer: bytes, sequence: int) -> tuple[bytes, ...]:
        """Ids of an issuer's transactions with this sequence number."""
        own = (self._said[at] for at in self._by_issuer.get(issuer, ()))
        return tuple(said[0] for said in own if said[3] == sequence)

    def answers(self, subject: bytes) -> tuple[tuple[bytes, str, bytes], ...]:
        """Issuer, kind and id of every transaction about a subject, in arrival order."""
        found = (self._said[at] for at in self._by_subject.get(subject, ()))
        return tuple((said[2], said[4], said[0]) for said in found)

    def next_sequence(self, issuer: bytes) -> int:
        """One more than the issuer's largest sequence number; 0 for a new issuer."""
        return max((self._said[at][3] + 1 for at in self._by_issuer.get(issuer, ())), default=0)

    def newest_round(self) -> int:
        """The largest round that any row belongs to; 0 in an empty ledger."""
        return max((round_ for round_, places in self._by_round.items() if places), default=0)

    # -- waiting, outbox, evidence, pruned, meta -----------------------------------------------------------------

    def keep_waiting(self, tx_id: bytes, raw: bytes) -> None:
        """Keeps a transaction whose parents are missing."""
        if tx_id not in self._waiting:
            self._waiting[tx_id] = raw
            self._done(lambda: self._waiting.pop(tx_id))

    def drop_waiting(self, tx_id: bytes) -> None:
        """Forgets a waiting transaction."""
        if (raw := self._waiting.pop(tx_id, None)) is not None:
            self._done(lambda: self._waiting.update({tx_id: raw}))

    def waiting(self) -> tuple[bytes, ...]:
        """Bytes of all waiting transactions, by id."""
        return tuple(raw for _, raw in sorted(self._waiting.items()))

    def put_outbox(self, tx_id: bytes) -> None:
        """Notes that peers should hear of a transaction."""
        if tx_id not in self._outbox:
            self._outbox[tx_id] = None
            self._done(lambda: self._outbox.pop(tx_id))

    def clear_outbox(self, tx_id: bytes) -> None:
        """Notes that peers have heard of it."""
        if tx_id in self._outbox:
            before = dict(self._outbox)
            del self._outbox[tx_id]
            self._done(lambda: setattr(self, "_outbox", before))

    def outbox(self) -> tuple[bytes, ...]:
        """Ids of transactions that peers should hear of, in the order they were put."""
        return tuple(self._outbox)

    def put_evidence(self, issuer: bytes, proof: bytes) -> None:
        """Keeps a proof of equivocation."""
        digest = sha256(proof)
        if digest not in self._evidence:
            self._evidence[digest] = (issuer, proof)
            self._done(lambda: self._evidence.pop(digest))

    def evidence(self) -> tuple[bytes, ...]:
        """All proofs of equivocation, by issuer."""
        found = sorted((issuer, digest, proof) for digest, (issuer, proof) in self._evidence.items())
        return tuple(proof for _, _, proof in found)

    def put_pruned(self, blobs: Sequence[tuple[bytes, int]]) -> None:
        """Marks payloads (binary CID, round) as let go; those marked before stay as they are."""
        for blob, round_ in blobs:
            if blob not in self._pruned:
                self._pruned[blob] = (round_, False)
                self._done(lambda blob=blob: self._pruned.pop(blob))  # type: ignore[misc]  # a default argument of a lambda

    def set_gone(self, blobs: Sequence[bytes]) -> None:
        """Notes that the blob store no longer holds these payloads."""
        for blob in blobs:
            if (before := self._pruned.get(blob)) is not None:
                self._pruned[blob] = (before[0], True)
                self._done(lambda blob=blob, before=before: self._pruned.update({blob: before}))  # type: ignore[misc]

    def pruned_round(self, blob: bytes) -> int | None:
        """The round of a payload that was let go, or None."""
        found = self._pruned.get(blob)
        return None if found is None else found[0]

    def droppable(self) -> tuple[bytes, ...]:
        """Payloads that were let go and are not known to be gone, by round."""
        return tuple(blob for _, blob in sorted((at, blob) for blob, (at, gone) in self._pruned.items() if not gone))

    def meta(self, key: str) -> bytes | None:
        """A note about the store itself, or None."""
        return self._meta.get(key)

    def set_meta(self, key: str, value: bytes) -> None:
        """Writes a note about the store itself."""
        before = self._meta.get(key)
        self._meta[key] = value
        self._done(lambda: self._meta.pop(key) if before is None else self._meta.update({key: before}))

    # -- inside --------------------------------------------------------------------------------------------------

    def _done(self, back: Callable[[], object]) -> None:
        """Remembers how to take a write back, while a batch runs."""
        if self._undo is not None:
            self._undo.append(back)

    def _of_round(self, round_: int) -> Sequence[int]:
        return self._by_round.get(round_, array("i"))

    def _row(self, at: int) -> Row:
        return Row(at + 1, *self._said[at], self._first[at], self._second[at])
