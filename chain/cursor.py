"""Following the contracts' events through everything a chain does: it grows, stalls, goes back, comes back otherwise."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chain.errors import ChainInFlux
from chain.events import decode_log
from chain.logs import read_logs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from chain.connection import Connection
    from chain.deployment import Deployment
    from chain.eventlog import EventLog, Position
    from chain.events import Event
    from chain.logs import Log

log = logging.getLogger("medweave.chain")


@dataclass(frozen=True)
class ChainWentBack:
    """Blocks that were read are no longer there.

    Attributes:
        ancestor: The newest block of which what was read is still so; everything after it is void.
        seen: The last block that had been read.
    """

    ancestor: int
    seen: int


@dataclass(frozen=True)
class News:
    """What one look found.

    Attributes:
        head: The last block read.
        went_back: What the chain took back, before anything in ``events``; None if nothing.
        events: What is new, in the chain's order.
    """

    head: int
    went_back: ChainWentBack | None
    events: tuple[Event, ...]


class EventCursor:
    """Reads each event once, durably, and notices when the chain took some back. One thread at a time.

    A look compares the hash of the last block read with the chain's: equal hashes mean equal histories. If they differ,
    the newest block that both share is found by halving, what came after it is forgotten, and reading goes on from
    there. What was read is on disk before anybody is told.
    """

    def __init__(self, connection: Connection, deployment: Deployment, events: EventLog) -> None:
        """Makes no request yet.

        Args:
            connection: The endpoint.
            deployment: Whose events to follow.
            events: Where what was read is kept; a cursor on the same file goes on where this one ended.
        """
        self._connection = connection
        self._deployment = deployment
        self._log = events
        self._untold: ChainWentBack | None = None

    def position(self) -> Position | None:
        """How far the chain was read; None before the first look."""
        return self._log.position()

    def replay(self) -> tuple[Event, ...]:
        """Everything read so far and not taken back, in the chain's order; makes no request.

        Raises:
            BadChainFile: If the file is damaged.
            MalformedAnswer: If what is kept does not follow the ABI.
        """
        return _decoded(self._log.logs())

    def look(self) -> News:
        """Reads what is new.

        Raises:
            ChainUnreachable: If the endpoint does not answer; nothing is lost, look again.
            ChainInFlux: If the chain changed while it was read; look again.
            RpcRefused: If the endpoint refuses to give logs.
            MalformedAnswer: If an answer makes no sense.
        """
        latest, latest_hash = self._connection.head()
        self._compare(latest, latest_hash)
        start = self._deployment.block if (known := self._log.position()) is None else known.block + 1
        if latest < start:
            return News(start - 1, self._tell(), ())
        logs = tuple(self._read(start, latest))
        if self._connection.block_hash(latest) != latest_hash:
            raise ChainInFlux(latest)
        events = _decoded(logs)
        self._log.append(latest, latest_hash, logs)
        return News(latest, self._tell(), events)

    def _tell(self) -> ChainWentBack | None:
        told, self._untold = self._untold, None
        return told

    def _read(self, start: int, latest: int) -> Iterable[Log]:
        for _, logs in read_logs(self._connection, list(self._deployment.addresses.values()), start, latest):
            yield from logs

    def _compare(self, latest: int, latest_hash: bytes) -> None:
        """Forgets what the chain took back; kept to be told even if the rest of the look fails."""
        known = self._log.position()
        if known is None or self._holds(known.block, known.hash, latest, latest_hash):
            return
        blocks = self._log.blocks()
        low, high = 0, len(blocks)
        while low < high:  # blocks[:low] are still there, blocks[high:] are not
            middle = (low + high) // 2
            if self._holds(*blocks[middle], latest, latest_hash):
                low = middle + 1
            else:
                high = middle
        ancestor = blocks[low - 1][0] if low else self._deployment.block - 1
        self._log.cut(ancestor)
        log.warning("the chain went back: read to block %d, the same up to %d", known.block, ancestor)
        before = self._untold or ChainWentBack(ancestor, known.block)
        self._untold = ChainWentBack(min(ancestor, before.ancestor), max(known.block, before.seen))

    def _holds(self, block: int, block_hash: bytes, latest: int, latest_hash: bytes) -> bool:
        if block > latest:
            return False
        return (latest_hash if block == latest else self._connection.block_hash(block)) == block_hash


def _decoded(logs: Iterable[Log]) -> tuple[Event, ...]:
    events = []
    for entry in logs:
        event = decode_log(entry.as_rpc())
        if event is not None:
            events.append(event)
    return tuple(events)
