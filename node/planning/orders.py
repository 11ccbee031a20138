"""What an operator asks of this hospital's own node: open a round, open none, leave a round. Durable, shared by daemon and command line.

SQLite, WAL, synchronous=FULL. Every order names what it is about, so giving it twice is giving it once: `start` names the number of
the round that is wanted, and is done when the chain shows a round of that number, whoever opened it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from node.database import Database

if TYPE_CHECKING:
    from pathlib import Path

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS orders (kind TEXT NOT NULL, round INTEGER NOT NULL, given REAL NOT NULL, PRIMARY KEY (kind, round));
"""
START, PAUSE, LEAVE = "start", "pause", "leave"


class OrderBook(Database):
    """The orders of one hospital; safe to use from several threads and processes.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, _SCHEMA)

    @property
    def paused(self) -> bool:
        """Whether this hospital opens no rounds by itself."""
        return bool(self._rounds(PAUSE))

    def pause(self) -> bool:
        """Open no rounds by target or timetable from now on; whether that is new."""
        return self._give(PAUSE, 0)

    def resume(self) -> bool:
        """Open rounds again; whether that is new."""
        return self._take_back(PAUSE, 0)

    def start(self, number: int) -> bool:
        """Open round `number` as soon as it can be; whether that is new."""
        return self._give(START, number)

    def wanted(self, number: int) -> bool:
        """Whether round `number` was asked for; orders for earlier ones are done and forgotten."""
        wanted = self._rounds(START)
        if any(other < number for other in wanted):
            with self._lock:
                self._db.execute("DELETE FROM orders WHERE kind = ? AND round < ?", (START, number))
        return number in wanted

    def leave(self, number: int) -> bool:
        """Take no further part in a round; it cannot be taken back. Whether that is new."""
        return self._give(LEAVE, number)

    def left(self) -> frozenset[int]:
        """Rounds this hospital was told to leave."""
        return self._rounds(LEAVE)

    def _rounds(self, kind: str) -> frozenset[int]:
        with self._lock:
            rows = self._db.execute("SELECT round FROM orders WHERE kind = ?", (kind,)).fetchall()
        return frozenset(row[0] for row in rows)

    def _give(self, kind: str, number: int) -> bool:
        with self._lock:
            row = (kind, number, time.time())
            return self._db.execute("INSERT OR IGNORE INTO orders VALUES (?, ?, ?)", row).rowcount > 0

    def _take_back(self, kind: str, number: int) -> bool:
        with self._lock:
            found = self._db.execute("DELETE FROM orders WHERE kind = ? AND round = ?", (kind, number))
            return found.rowcount > 0
