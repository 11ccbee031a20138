"""Deleting old rounds' ciphertexts by itself, as far as `[storage] keep_rounds` says."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from dag.store.pruning import Pruning
from node.publishing.pruning import Freed, Marked, anchored_by, delete, mark

if TYPE_CHECKING:
    from dag.ledger import Ledger
    from dag.store.port import LedgerStore
    from node.consortium.view import ConsortiumView
    from node.publishing.publisher import Publisher
    from node.storage import BlobStore

log = logging.getLogger("medweave.storage")


class Pruner:
    """Looks after each finalised round whether an older one's ciphertexts are to go; one caller at a time.

    Args:
        publisher: This hospital's ledger.
        store: The ledger's store.
        blobs: This hospital's own blobs.
        keep: Rounds whose ciphertexts stay, the newest final one included; 0 for all.
    """

    def __init__(self, publisher: Publisher, store: LedgerStore, blobs: BlobStore, keep: int) -> None:
        self._publisher = publisher
        self._store = store
        self._blobs = blobs
        self._keep = keep
        self._done = 0

    def step(self, view: ConsortiumView) -> Freed | None:
        """Delete what is beyond the rounds to keep; None where nothing is new since the last time.

        Below an outcome that no quorum approves here yet nothing goes; it is asked again.

        Raises:
            LedgerError: The ledger's disk refuses.
            StorageError: The blob store refuses; what is left is deleted the next time.
        """
        anchored = anchored_by(view)
        newest = max(anchored, default=0)
        if not self._keep or newest <= self._done:
            return None
        marked = self._publisher.read(lambda ledger: mark(ledger, self._store, anchored, self._keep))
        if marked is None:
            return None
        freed = delete(self._blobs, marked)
        self._publisher.read(lambda ledger: self._gone(ledger, marked))
        if marked.below_round == newest - self._keep + 1:
            self._done = newest
        if freed.blobs:
            log.info("%s", freed.line)
        return freed

    def _gone(self, ledger: Ledger, marked: Marked) -> None:
        Pruning(ledger, self._store).gone(marked.cids)
