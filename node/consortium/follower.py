"""Following the chain: new events folded in as they come, from the first block again when the chain went back."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from node.consortium.view import ConsortiumView, fold

if TYPE_CHECKING:
    from chain.client import Chain

log = logging.getLogger("medweave.chain")


class Follower:
    """Keeps a `ConsortiumView` up to date; call `look` as often as you like, from one thread at a time."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._start = chain.deployment.block
        self._next = self._start
        self.view = ConsortiumView()
        """The newest view; replaced whole, so reading it needs no lock."""

    def look(self) -> bool:
        """Fold in what is new; True if anything was.

        Raises:
            ChainUnreachable: The endpoint does not answer.
        """
        head = self._chain.block_number()
        if head < self._next - 1:
            log.warning("the chain went back from block %d to %d: reading it again", self._next - 1, head)
            self._next, self.view = self._start, ConsortiumView()
        if head < self._next:
            return False
        events = self._chain.events(self._next, head)
        self.view = fold(self.view, events)
        self._next = head + 1
        return bool(events)
