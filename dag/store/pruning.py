"""Letting go of payloads below an anchored checkpoint. Transactions, signatures and proofs are never let go.

Once a round's outcome is on chain, the ciphertexts of its updates, openings and sums serve only those who want to compute it
again. Pruning marks them, durably; the blob store then deletes what `droppable` lists and says so with `gone`. A crash in
between lists them once more. From the mark on, asking for such a payload raises `Pruned`.

| let go | kept |
|---|---|
| payloads of updates (manifests of ciphertexts) | every transaction, so every id, signature and Merkle proof |
| payloads of shares (partial openings) | payloads of checkpoints (statements): they prove outcomes |
| sums that proposals list | whatever a younger round names too |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dag.bodies import CheckpointBody, Kind, ProposalBody
from dag.errors import Pruned, WrongReference
from dag.ids import blob_cid, blob_link

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dag.ledger import Ledger
    from dag.store.port import LedgerStore
    from dag.transaction import Transaction

_PAGE = 500


@dataclass(frozen=True)
class Retention:
    """How long payloads are kept.

    Attributes:
        rounds: rounds whose payloads stay, counted back from the anchored one, ≥ 1; 1 keeps that round's alone.
    """

    rounds: int

    def __post_init__(self) -> None:
        """Refuses to let go of the anchored round itself.

        Raises:
            ValueError: less than one round is kept.
        """
        if self.rounds < 1:
            raise ValueError(f"{self.rounds} rounds kept; the anchored round's payloads stay, so at least 1")


class Pruning:
    """One ledger's pruned payloads. One caller at a time, as for the ledger."""

    def __init__(self, ledger: Ledger, store: LedgerStore) -> None:
        """Over a ledger and the store it is kept in."""
        self._ledger = ledger
        self._store = store

    def prune(self, checkpoint: bytes, retention: Retention) -> tuple[str, ...]:
        """Marks the payloads of rounds that are older than the retention allows; doing it again changes nothing.

        Args:
            checkpoint: id of an attached checkpoint whose round's outcome the caller has seen on chain.
            retention: how many rounds stay.

        Returns:
            CIDs that the blob store may delete now: the ones just marked and those still to delete from before.

        Raises:
            StoreFailed: the disk refused; nothing is marked.
            UnknownTransaction: the checkpoint is not attached.
            WrongReference: it is no checkpoint, or no quorum approves it yet.
        """
        anchor = self._ledger.get(checkpoint)
        if not isinstance(anchor.body, CheckpointBody):
            raise WrongReference(checkpoint, f"a {anchor.kind} is no checkpoint; name one of the anchored round")
        if not self._ledger.is_confirmed(checkpoint):
            raise WrongReference(checkpoint, "no quorum approves the checkpoint yet; prune below an older one")
        self._mark(anchor.round - retention.rounds + 1)
        return self.droppable()

    def droppable(self) -> tuple[str, ...]:
        """CIDs that were let go and are not known to be deleted, oldest round first."""
        return tuple(blob_cid(blob) for blob in self._store.droppable())

    def gone(self, cids: tuple[str, ...]) -> None:
        """Notes that the blob store has deleted these.

        Raises:
            MalformedIdentifier: one is no CID of a blob.
            StoreFailed: the disk refused.
        """
        self._store.set_gone([blob_link(cid) for cid in cids])

    def demand(self, cid: str) -> None:
        """Demands that a payload was not let go; ask before fetching one.

        Raises:
            MalformedIdentifier: no CID of a blob.
            Pruned: it was let go.
        """
        round_ = self._store.pruned_round(blob_link(cid))
        if round_ is not None:
            raise Pruned(cid, round_)

    def _mark(self, oldest: int) -> None:
        """Marks what rounds before `oldest` name and younger ones do not."""
        done, seen = self._progress()
        if oldest < done:
            return
        kept = {blob for round_ in range(oldest, self._store.newest_round() + 1) for blob in self._blobs(round_)}
        last = self._store.last_arrival()
        with self._ledger.batch():
            for round_ in range(max(done, 1), oldest):
                self._store.put_pruned([(blob, round_) for blob in self._blobs(round_) if blob not in kept])
            self._mark_late(seen, done, kept)
            self._store.set_meta("pruned", oldest.to_bytes(8, "big") + last.to_bytes(8, "big"))

    def _mark_late(self, seen: int, done: int, kept: set[bytes]) -> None:
        """Marks what arrived since the last time for rounds that were done then."""
        while page := self._ledger.since(seen, _PAGE):
            late = [transaction for _, transaction in page if transaction.round < done]
            marks = [(blob, transaction.round) for transaction in late for blob in _named(transaction)]
            self._store.put_pruned([mark for mark in marks if mark[0] not in kept])
            seen = page[-1][0]

    def _progress(self) -> tuple[int, int]:
        """The oldest round that was kept last time, and the newest arrival number then."""
        raw = self._store.meta("pruned") or bytes(16)
        return int.from_bytes(raw[:8], "big"), int.from_bytes(raw[8:], "big")

    def _blobs(self, round_: int) -> Iterator[bytes]:
        """Binary CIDs that a round's transactions name, statements aside."""
        after = None
        while page := self._ledger.transactions(round=round_, after=after, limit=_PAGE):
            for transaction in page:
                yield from _named(transaction)
            after = page[-1].id


def _named(transaction: Transaction) -> Iterator[bytes]:
    if isinstance(transaction.body, ProposalBody):
        yield from map(blob_link, transaction.body.sums)
    elif transaction.kind in {Kind.UPDATE, Kind.SHARE} and transaction.payload is not None:
        yield blob_link(transaction.payload)
