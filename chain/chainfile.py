"""A file in which a client keeps what it sent or read: SQLite, WAL, synchronous=FULL."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from chain.errors import BadChainFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUSY_SECONDS: Final = 10.0
"""How long a write waits for another process that writes."""
_UNWRITABLE: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY})
_PRIMARY: Final = 0xFF
"""The bits of an extended result code that say what kind it is."""


class ChainFile:
    """One such file; safe to use from several threads, and from several processes.

    What is written is on disk when the block that wrote it ends, all of it or nothing.
    """

    def __init__(self, path: Path | str, schema: str) -> None:
        """Opens the file, or makes it.

        Args:
            path: The file; ``:memory:`` for none.
            schema: Statements that make its tables where they are missing.

        Raises:
            BadChainFile: If it is no such file, or the disk refuses it.
        """
        self._path = str(path)
        self._lock = threading.Lock()
        with self._reading():
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=BUSY_SECONDS)
            self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;" + schema)

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._db.close()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except (sqlite3.DatabaseError, ValueError, IndexError) as error:
                raise self._explained(error) from error

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._reading():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:  # SQLite itself takes back what a full disk refused, but not always
                    self._db.execute("ROLLBACK")

    def _explained(self, error: Exception) -> BadChainFile:
        code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY
        if code in _UNWRITABLE:
            return BadChainFile(
                self._path, f"a disk that refuses it ({error})", "make room, or mend the disk; keep the file"
            )
        if code == sqlite3.SQLITE_BUSY:
            return BadChainFile(self._path, f"another process writing ({error})", "end that process; keep the file")
        return BadChainFile(self._path, f"what cannot be read ({error})")
