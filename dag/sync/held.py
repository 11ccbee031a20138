"""Transactions that cannot be judged yet: their round is not known, their payload cannot be had, or the disk is full."""

from __future__ import annotations

import heapq
from collections import Counter, OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from dag.sync.config import SyncConfig
    from dag.sync.peers import Lane


@dataclass(frozen=True)
class Entry:
    """Bytes on their way into the ledger.

    Attributes:
        tx_id: sha2-256 of the bytes.
        raw: the bytes.
        lane: who sent them.
        chase: generations away from what was announced (`dag.sync.wants`).
        paged: whether they came in a page of a range.
        attempts: how often they were put off.
        checked: whether their payload was found good.
    """

    tx_id: bytes
    raw: bytes
    lane: Lane
    chase: int = 0
    paged: bool = False
    attempts: int = 0
    checked: bool = False


class Held:
    """What is tried again later, bounded for each sender and altogether."""

    def __init__(self, config: SyncConfig, pause: Callable[[int], float]) -> None:
        """Nothing is held yet; `pause` gives seconds for the number of attempts made."""
        self._config = config
        self._pause = pause
        self._entries: OrderedDict[bytes, tuple[float, Entry]] = OrderedDict()
        self._due: list[tuple[float, bytes]] = []
        self._per_peer: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, tx_id: bytes) -> bool:
        return tx_id in self._entries

    def hold(self, entry: Entry, now: float) -> None:
        """Keeps an entry for later; of a sender that has too many the oldest gives way."""
        self.drop(entry.tx_id)
        peer = entry.lane.peer
        if self._per_peer[peer] >= self._config.held_per_peer:
            self._drop_oldest_of(peer)
        elif len(self._entries) >= self._config.max_held:
            self._drop_oldest_of(self._per_peer.most_common(1)[0][0])
        at = now + self._pause(entry.attempts)
        self._entries[entry.tx_id] = (at, replace(entry, attempts=entry.attempts + 1))
        self._per_peer[peer] += 1
        heapq.heappush(self._due, (at, entry.tx_id))
        if len(self._due) > 2 * self._config.max_held:  # mostly rows of entries that came in by another way
            self._due = sorted((at, tx_id) for tx_id, (at, _) in self._entries.items())

    def drop(self, tx_id: bytes) -> None:
        """It came in by another way."""
        found = self._entries.pop(tx_id, None)
        if found is not None:
            self._forget(found[1].lane.peer)

    def due(self, now: float) -> list[Entry]:
        """Takes out what is due."""
        ready: list[Entry] = []
        while self._entries and self.next_deadline() <= now:
            _, tx_id = heapq.heappop(self._due)
            ready.append(self._entries[tx_id][1])
            self.drop(tx_id)
        return ready

    def all(self) -> list[Entry]:
        """Takes out everything."""
        return self.due(float("inf"))

    def next_deadline(self) -> float:
        """When something is due; infinity if nothing is held."""
        while self._due:
            at, tx_id = self._due[0]
            if tx_id in self._entries and self._entries[tx_id][0] == at:
                return at
            heapq.heappop(self._due)
        return float("inf")

    def _drop_oldest_of(self, peer: str) -> None:
        self.drop(next(tx_id for tx_id, (_, entry) in self._entries.items() if entry.lane.peer == peer))

    def _forget(self, peer: str) -> None:
        self._per_peer[peer] -= 1
        if not self._per_peer[peer]:
            del self._per_peer[peer]
