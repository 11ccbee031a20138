"""Deleting this hospital's copies of old rounds' ciphertexts: what the ledger lets go of, the blob store deletes.

Transactions, signatures, proofs and statements always stay (`dag.store.pruning`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import cbor2

from dag import codec
from dag.bodies import CheckpointBody, Kind
from dag.errors import MalformedTransaction
from dag.fields import MAX_MEMBERS
from dag.ids import blob_cid
from dag.store.pruning import Pruning, Retention
from node.storage import BlobCorrupt, BlobMissing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dag.ledger import Ledger
    from dag.store.port import LedgerStore
    from dag.transaction import Transaction
    from node.consortium.view import ConsortiumView
    from node.storage import BlobStore

MAX_MANIFEST_BYTES = 256 * 1024


@dataclass(frozen=True)
class Freed:
    """What pruning let go of."""

    below_round: int
    payloads: int
    blobs: int
    bytes: int

    @property
    def content(self) -> dict[str, int | None]:
        """As a JSON object."""
        return dict(asdict(self))

    @property
    def line(self) -> str:
        """For people."""
        return f"below round {self.below_round}: {self.payloads} payloads let go, {self.blobs} blobs, {self.bytes:,} bytes freed"


@dataclass(frozen=True)
class Marked:
    """What a ledger has let go of and the blob store may delete.

    Attributes:
        below_round: Rounds before this one.
        cids: The payloads, oldest round first.
    """

    below_round: int
    cids: tuple[str, ...]


def mark(ledger: Ledger, store: LedgerStore, anchored: Mapping[int, bytes | None], keep: int) -> Marked | None:
    """Let go of payloads older than `keep` rounds, durably; None where no final round is confirmed here.

    Args:
        ledger: The ledger.
        store: Its store.
        anchored: Round to accepted proposal, of the rounds that are final on chain.
        keep: Rounds that stay, the newest final one included, ≥ 1.

    Raises:
        StoreFailed: The disk refused; nothing was marked.
    """
    newest = _newest_confirmed(ledger, anchored)
    if newest is None:
        return None
    return Marked(newest.round - keep + 1, Pruning(ledger, store).prune(newest.id, Retention(keep)))


def anchored_by(view: ConsortiumView) -> dict[int, bytes | None]:
    """Round to accepted proposal, of the rounds that are final on chain."""
    return {row.round: row.proposal for row in view.rounds.values() if row.finalised}


def delete(blobs: BlobStore, marked: Marked) -> Freed:
    """Delete manifests and what they name; afterwards tell the ledger with `Pruning.gone`.

    What a manifest names goes first, so that a run that was cut off still finds it the next time.

    Raises:
        StorageError: The blob store refuses.
    """
    count = freed = 0
    for cid in marked.cids:
        for blob in (*_named(blobs, cid), cid):
            if blobs.has(blob):
                freed += blobs.size(blob)
                count += blobs.delete(blob)
    return Freed(marked.below_round, len(marked.cids), count, freed)


def _newest_confirmed(ledger: Ledger, anchored: Mapping[int, bytes | None]) -> Transaction | None:
    """A confirmed checkpoint of the newest round that is final on chain and has one."""
    for number in sorted(anchored, reverse=True):
        for tx in ledger.transactions(Kind.CHECKPOINT, number, limit=MAX_MEMBERS):
            body = tx.body
            if isinstance(body, CheckpointBody) and body.proposal == anchored[number] and ledger.is_confirmed(tx.id):
                return tx
    return None


def _named(blobs: BlobStore, cid: str) -> Iterator[str]:
    """CIDs of the chunks in a manifest; none where it is gone, or is no manifest."""
    try:
        content = codec.decode(blobs.get(cid), MAX_MANIFEST_BYTES)
    except (BlobMissing, BlobCorrupt, MalformedTransaction):
        return
    queue = [content]
    while queue:
        value = queue.pop()
        if isinstance(value, dict):
            queue.extend(value.values())
        elif isinstance(value, list):
            queue.extend(value)
        elif isinstance(value, cbor2.CBORTag):
            yield blob_cid(codec.linked("link", value))
