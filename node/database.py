"""A small file of a hospital's own, in SQLite: what it says is on disk, and nobody else can read it."""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

BUSY_SECONDS = 10.0
"""How long a write waits for another process that writes."""


class Database:
    """One file, safe to use from several threads (each statement under `_lock`) and processes.

    Write-ahead log and `synchronous=FULL`: what a statement changed is on disk when it returns. Every statement is its own
    transaction, unless several are in one `_at_once`. The file is made for its owner alone.

    Args:
        path: The file; `:memory:` for tests.
        schema: Statements that make its tables where they are missing.

    Raises:
        OSError: The file cannot be made.
        sqlite3.Error: It is no database, or cannot be written.
    """

    def __init__(self, path: Path | str, schema: str) -> None:
        self._lock = threading.Lock()
        if isinstance(path, Path):
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=BUSY_SECONDS)
        self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;" + schema)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    @contextmanager
    def _at_once(self) -> Iterator[None]:
        """Statements of which all are on disk afterwards, or none; for who holds `_lock`."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        finally:
            if self._db.in_transaction:  # SQLite itself takes back what a full disk refused, but not always
                self._db.execute("ROLLBACK")
