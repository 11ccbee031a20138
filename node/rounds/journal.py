"""What a hospital must remember across a crash: promises it may make only once, models it holds, how rounds went.

SQLite in WAL mode with synchronous=FULL: a promise is durable before anything that depends on it is visible. What only
reports tell is noted without waiting for the disk.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from typing import TYPE_CHECKING, Any

from node.errors import BadConfig, BadEnvironment, PolicyRefusal

if TYPE_CHECKING:
    from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS promises (round INTEGER, subject TEXT, value BLOB NOT NULL, PRIMARY KEY (round, subject));
CREATE TABLE IF NOT EXISTS facts (round INTEGER, name TEXT, value TEXT NOT NULL, PRIMARY KEY (round, name));
CREATE TABLE IF NOT EXISTS models (hash BLOB PRIMARY KEY, epoch INTEGER, round INTEGER, sealed TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS lost (counted INTEGER PRIMARY KEY, round INTEGER NOT NULL, data BLOB NOT NULL);
"""


FORMAT = 1
"""Format of the file, in SQLite's `user_version`; a file of before the number was kept has 0 and the same tables."""


class Journal:
    """Durable memory of one hospital; safe to use from several threads.

    Args:
        path: The file; `:memory:` for tests.

    Raises:
        BadConfig: A newer version of Medweave wrote the file; nothing was changed.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        found = self._db.execute("PRAGMA user_version").fetchone()[0]
        if found > FORMAT:
            self._db.close()
            raise BadConfig(
                f"{path}: a newer version of Medweave wrote it (format {found}, this one knows {FORMAT}): install that version "
                "again, or restore the backup made before the upgrade"
            )
        self._db.executescript(
            f"PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA user_version={FORMAT};" + _SCHEMA
        )

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._db.close()

    def promise(self, round_number: int, subject: str, value: bytes) -> None:
        """Promise something once: the same value again is fine, another is refused.

        Args:
            round_number: The round the promise is about.
            subject: What is promised, e.g. `opened` (the partition whose sums are opened) or `signed` (the outcome).
            value: The promise itself.

        Raises:
            PolicyRefusal: Something else was promised before, in this run or one that crashed.
        """
        with self._lock:
            self._write("INSERT OR IGNORE INTO promises VALUES (?, ?, ?)", (round_number, subject, value))
            row = self._db.execute(
                "SELECT value FROM promises WHERE round = ? AND subject = ?", (round_number, subject)
            ).fetchone()
        if row[0] != value:
            raise PolicyRefusal(
                f"round {round_number}: {subject} {bytes(row[0]).hex()[:16]}… stands already; refusing {value.hex()[:16]}…"
            )

    def promised(self, round_number: int, subject: str) -> bytes | None:
        """What was promised before, in this run or one that crashed; None if nothing was."""
        with self._lock:
            row = self._db.execute(
                "SELECT value FROM promises WHERE round = ? AND subject = ?", (round_number, subject)
            ).fetchone()
        return None if row is None else bytes(row[0])

    def remember(self, round_number: int, name: str, value: Any) -> None:
        """Store a JSON fact about a round, replacing an older one of the same name."""
        with self._lock:
            self._write("INSERT OR REPLACE INTO facts VALUES (?, ?, ?)", (round_number, name, json.dumps(value)))

    def note(self, round_number: int, name: str, value: Any) -> None:
        """As `remember`, for what reports tell and nothing depends on: it outlives the process, perhaps not a power cut.

        It waits for no disk, and so may be called from the event loop.
        """
        with self._lock:
            self._db.execute("PRAGMA synchronous=NORMAL")
            try:
                self._write("INSERT OR REPLACE INTO facts VALUES (?, ?, ?)", (round_number, name, json.dumps(value)))
            finally:
                self._db.execute("PRAGMA synchronous=FULL")

    def recall(self, round_number: int, name: str) -> Any | None:
        """A JSON fact about a round, or None."""
        with self._lock:
            row = self._db.execute(
                "SELECT value FROM facts WHERE round = ? AND name = ?", (round_number, name)
            ).fetchone()
        return None if row is None else json.loads(row[0])

    def facts(self, round_number: int) -> dict[str, Any]:
        """Every fact about a round, by name."""
        with self._lock:
            rows = self._db.execute("SELECT name, value FROM facts WHERE round = ?", (round_number,)).fetchall()
        return {name: json.loads(value) for name, value in rows}

    def keep_model(self, model: bytes, epoch: int, round_number: int, sealed: str) -> None:
        """Note under which CID a model lies sealed in the blob store."""
        with self._lock:
            self._write("INSERT OR REPLACE INTO models VALUES (?, ?, ?, ?)", (model, epoch, round_number, sealed))

    def model(self, model: bytes) -> tuple[int, int, str] | None:
        """(epoch, round, CID of the sealed bytes) of a model by hash, or None."""
        with self._lock:
            row = self._db.execute("SELECT epoch, round, sealed FROM models WHERE hash = ?", (model,)).fetchone()
        return None if row is None else (row[0], row[1], row[2])

    def keep_lost(self, round_number: int, data: bytes) -> None:
        """Note what a round's update has lost to rounding and clipping, until it is known whether the update counted."""
        with self._lock:
            self._write("INSERT OR REPLACE INTO lost VALUES (0, ?, ?)", (round_number, data))

    def lost(self, *, counted: bool) -> tuple[int, bytes] | None:
        """(round, data) of what the last counted update has lost, or of the one that may still count."""
        with self._lock:
            row = self._db.execute("SELECT round, data FROM lost WHERE counted = ?", (int(counted),)).fetchone()
        return None if row is None else (row[0], bytes(row[1]))

    def settle_lost(self, *, counted: bool) -> None:
        """The update that might still count did, and what it lost takes the place of what was lost before; or it did not."""
        with self._lock:
            if counted:
                self._write("UPDATE OR REPLACE lost SET counted = 1 WHERE counted = 0")
            else:
                self._write("DELETE FROM lost WHERE counted = 0")

    def forget_lost(self) -> None:
        """Let go of what updates have lost: it is of an older time than the model that is trained from."""
        with self._lock:
            self._write("DELETE FROM lost")

    def models(self) -> list[tuple[bytes, int, int, str]]:
        """Every model held, oldest round first: (hash, epoch, round, CID)."""
        with self._lock:
            rows = self._db.execute("SELECT hash, epoch, round, sealed FROM models ORDER BY round").fetchall()
        return [(bytes(r[0]), r[1], r[2], r[3]) for r in rows]

    def _write(self, statement: str, values: tuple[Any, ...] = ()) -> None:
        """One durable change, or none.

        Raises:
            BadEnvironment: The disk takes nothing more.
        """
        try:
            self._db.execute(statement, values)
        except sqlite3.OperationalError as error:
            raise BadEnvironment(f"{self._path}: cannot be written ({error}): make room on its disk") from error
