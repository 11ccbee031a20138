"""Catching up with a peer. No sockets here: the caller carries identifiers and bytes.

    we                                  peer
    frontier()                 ->
                               <-       offer(our frontier): what we seem to lack, parents first
    absorb(raws)
    wanted(peer's frontier)    ->                                  (a push announcement names ids too)
                               <-       serve(ids)

Repeating the first exchange while `absorb` attaches something brings over any number of rounds, a bounded batch at a
time. A peer that does not know our newest transactions may offer some that we have; those cost a hash each. Offers are exact once
the offering side has itself caught up, so two peers that diverged exchange in both directions.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from dag.errors import Equivocation
from dag.ids import ID_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dag.ledger import Ledger, Received

MAX_IDS: Final = 1024
MAX_TRANSACTIONS: Final = 1024
MAX_BATCH_BYTES: Final = 4 * 1024 * 1024
_REMEMBERED: Final = 4096


class Sync:
    """One node's side of the exchange, over its ledger."""

    def __init__(self, ledger: Ledger) -> None:
        """Nothing is kept but the ledger and which ids were refused as equivocation, so as not to ask for them again."""
        self._ledger = ledger
        self._refused: OrderedDict[bytes, None] = OrderedDict()

    def frontier(self) -> tuple[bytes, ...]:
        """Ids to tell a peer: our tips and a sample of older ids, at most `MAX_IDS`."""
        return self._ledger.frontier()[:MAX_IDS]

    def wanted(self, announced: Sequence[bytes]) -> tuple[bytes, ...]:
        """Of a peer's announced ids those to ask for: not attached, not refused; at most `MAX_IDS`.

        Parents that waiting transactions lack come first. Entries that are no ids are passed over.
        """
        ids = [tx_id for tx_id in announced[:MAX_IDS] if isinstance(tx_id, bytes) and len(tx_id) == ID_BYTES]
        lacking = self._ledger.missing()
        asked = [tx_id for tx_id in ids if tx_id not in self._ledger and tx_id not in self._refused]
        return tuple(dict.fromkeys((*lacking, *asked)))[:MAX_IDS]

    def serve(self, ids: Sequence[bytes]) -> tuple[bytes, ...]:
        """Bytes of the asked transactions that we have, within `MAX_TRANSACTIONS` and `MAX_BATCH_BYTES`."""
        known = [tx_id for tx_id in dict.fromkeys(ids[:MAX_IDS]) if tx_id in self._ledger]
        return self._within_limits(known)

    def offer(self, frontier: Sequence[bytes]) -> tuple[bytes, ...]:
        """Bytes of what a peer with this frontier lacks, parents before children, within the same limits."""
        return self._within_limits(self._ledger.tangle.beyond(frontier[:MAX_IDS]))

    def absorb(self, raws: Iterable[bytes]) -> Received:
        """Puts a peer's answer into the ledger, in one durable commit.

        Raises:
            StoreFailed: the disk refused; nothing entered.
        """
        received = self._ledger.receive_many(raws)
        for tx_id, error in received.refused:
            if isinstance(error, Equivocation):
                self._refused[tx_id] = None
        while len(self._refused) > _REMEMBERED:
            self._refused.popitem(last=False)
        return received

    def _within_limits(self, ids: Iterable[bytes]) -> tuple[bytes, ...]:
        raws: list[bytes] = []
        size = 0
        for tx_id in ids:
            raw = self._ledger.get(tx_id).raw
            size += len(raw)
            if size > MAX_BATCH_BYTES or len(raws) == MAX_TRANSACTIONS:
                break
            if tx_id != self._ledger.genesis_id:
                raws.append(raw)
        return tuple(raws)
