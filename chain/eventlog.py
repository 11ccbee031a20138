"""What a cursor has read, on disk: the logs, and the hashes of the blocks it saw. SQLite, WAL, synchronous=FULL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from eth_utils.crypto import keccak

from chain.chainfile import ChainFile
from chain.errors import BadChainFile
from chain.logs import Log

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from chain.deployment import Deployment

HASHES_KEPT = 256
"""Newest blocks without logs whose hashes are kept; a block with logs is kept for good."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS about (deployment BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS blocks (number INTEGER PRIMARY KEY, hash BLOB NOT NULL, logs INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS logs (block INTEGER, place INTEGER, tx BLOB NOT NULL, topics BLOB NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (block, place)) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Position:
    """How far a chain was read.

    Attributes:
        block: The last block that was read whole.
        hash: Its hash, 32 bytes: whether it is still there tells whether the chain went back.
        log_index: The last log of that block that was read; -1 if it had none.
    """

    block: int
    hash: bytes
    log_index: int


class EventLog(ChainFile):
    """The logs of one deployment as far as they were read; safe to use from several threads.

    Holds nothing secret, and nothing that the chain would not tell again: a damaged file may be deleted.
    """

    def __init__(self, path: Path | str, deployment: Deployment) -> None:
        """Opens the file, or makes it.

        Args:
            path: The file; ``:memory:`` for none.
            deployment: Whose logs it holds.

        Raises:
            BadChainFile: If it is another deployment's, or no such file.
        """
        super().__init__(path, _SCHEMA)
        about = bytes(keccak(text=deployment.to_json()))
        with self._reading():
            row = self._db.execute("SELECT deployment FROM about").fetchone()
            if row is None:
                self._db.execute("INSERT INTO about VALUES (?)", (about,))
        if row is not None and row[0] != about:
            raise BadChainFile(self._path, "events of another deployment")

    def position(self) -> Position | None:
        """How far the chain was read; None before the first block."""
        with self._reading():
            row = self._db.execute("SELECT number, hash FROM blocks ORDER BY number DESC LIMIT 1").fetchone()
            if row is None:
                return None
            last = self._db.execute("SELECT max(place) FROM logs WHERE block = ?", (row[0],)).fetchone()[0]
        return Position(row[0], bytes(row[1]), -1 if last is None else last)

    def append(self, block: int, block_hash: bytes, logs: Sequence[Log]) -> None:
        """Takes what was read up to a block, all of it or nothing.

        Args:
            block: The last block read.
            block_hash: Its hash.
            logs: What was read, of this block or earlier ones that were not read before.
        """
        blocks = {log.block: log.block_hash for log in logs}
        rows = [(log.block, log.log_index, log.tx, b"".join(log.topics), log.data) for log in logs]
        with self._writing():
            self._db.executemany("INSERT OR REPLACE INTO logs VALUES (?, ?, ?, ?, ?)", rows)
            self._db.execute("INSERT OR REPLACE INTO blocks VALUES (?, ?, ?)", (block, block_hash, block in blocks))
            self._db.executemany("INSERT OR REPLACE INTO blocks VALUES (?, ?, 1)", blocks.items())
            self._db.execute(
                "DELETE FROM blocks WHERE logs = 0 AND number <= (SELECT number FROM blocks WHERE logs = 0 "
                "ORDER BY number DESC LIMIT 1 OFFSET ?)",
                (HASHES_KEPT,),
            )

    def cut(self, ancestor: int) -> None:
        """Forgets everything after a block.

        Args:
            ancestor: The last block that stays.
        """
        with self._writing():
            self._db.execute("DELETE FROM logs WHERE block > ?", (ancestor,))
            self._db.execute("DELETE FROM blocks WHERE number > ?", (ancestor,))

    def blocks(self) -> list[tuple[int, bytes]]:
        """The blocks whose hashes are known, oldest first: (number, hash)."""
        with self._reading():
            rows = self._db.execute("SELECT number, hash FROM blocks ORDER BY number").fetchall()
        return [(number, bytes(block_hash)) for number, block_hash in rows]

    def logs(self) -> list[Log]:
        """Every log that was read, in the chain's order."""
        with self._reading():
            rows = self._db.execute(
                "SELECT block, hash, place, tx, topics, data FROM logs JOIN blocks ON block = number "
                "ORDER BY block, place"
            ).fetchall()
        return [
            Log(block, bytes(block_hash), place, bytes(tx), _topics(bytes(topics)), bytes(data))
            for block, block_hash, place, tx, topics, data in rows
        ]


def _topics(joined: bytes) -> tuple[bytes, ...]:
    return tuple(joined[at : at + 32] for at in range(0, len(joined), 32))
