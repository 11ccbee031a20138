"""Bytes that the ledger's rules refused and that may convict who signed them: leaders' false lists, above all. Durable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dag.ids import sha256
from node.database import Database
from node.membership.charges import listed_in

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS refused (place INTEGER PRIMARY KEY AUTOINCREMENT, id BLOB UNIQUE, raw BLOB NOT NULL);"
)
MAX_KEPT = 256
"""Refused lists that are kept, at most 64 KiB each; the newest push out the oldest."""


class Evidence(Database):
    """Refused proposals of one hospital; safe to use from several threads.

    Args:
        path: The file; `:memory:` for tests.
    """

    def __init__(self, path: Path | str) -> None:
        super().__init__(path, _SCHEMA)

    def keep(self, raws: Iterable[bytes]) -> None:
        """Keep those of the refused transactions that list updates."""
        for raw in raws:
            if not listed_in(raw):
                continue
            with self._lock:
                self._db.execute("INSERT OR IGNORE INTO refused (id, raw) VALUES (?, ?)", (sha256(raw), raw))
                self._db.execute("DELETE FROM refused WHERE place <= (SELECT max(place) FROM refused) - ?", (MAX_KEPT,))

    def kept(self) -> dict[bytes, bytes]:
        """Everything that is kept, by id."""
        with self._lock:
            return {bytes(row[0]): bytes(row[1]) for row in self._db.execute("SELECT id, raw FROM refused").fetchall()}
