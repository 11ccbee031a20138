"""The ledger on disk: one SQLite file.

Write-ahead log with synchronous=FULL: a committed transaction survives loss of power. Several appends share one commit
(`batch`). Each row of the main table carries a seal, sha2-256 over all its columns, checked whenever the row is read; a
flipped byte is found and its row named. The `dirty` mark is set while a ledger is open; finding it set at the next start
means the process died, and the start then verifies signatures too.

| table | holds |
|---|---|
| transactions | attached transactions in the order they entered, parents before children |
| waiting | transactions whose parents have not arrived |
| outbox | ids of own transactions that no peer is known to have |
| evidence | proofs of equivocation, by issuer |
| meta | format, genesis id, dirty mark |
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from dag.errors import StoreCorrupt, StoreFailed
from dag.ids import sha256

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FORMAT: Final = b"1"
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS transactions (
    arrival INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, bytes BLOB NOT NULL, issuer BLOB NOT NULL,
    sequence INTEGER NOT NULL, kind TEXT NOT NULL, round INTEGER NOT NULL, subject BLOB, seal BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS by_sequence ON transactions (issuer, sequence);
CREATE INDEX IF NOT EXISTS by_subject ON transactions (subject, issuer, kind) WHERE subject IS NOT NULL;
CREATE INDEX IF NOT EXISTS by_round ON transactions (round, kind);
CREATE TABLE IF NOT EXISTS waiting (id BLOB PRIMARY KEY, bytes BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outbox (id BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS evidence (digest BLOB PRIMARY KEY, issuer BLOB NOT NULL, proof BLOB NOT NULL) WITHOUT ROWID;
"""
_COLUMNS: Final = "arrival, id, bytes, issuer, sequence, kind, round, subject, seal"


@dataclass(frozen=True)
class Row:
    """One attached transaction as stored.

    Attributes:
        arrival: 1, 2, … in the order transactions entered this node's ledger.
        id: the transaction's id (32 bytes), sha2-256 of `raw`.
        raw: its canonical bytes.
        issuer: address (20 bytes) recovered from its signature.
        sequence: the issuer's counter.
        kind: its kind.
        round: its round.
        subject: what it answers at most once (`dag.equivocation.subject_of`), or None.
    """

    arrival: int
    id: bytes
    raw: bytes
    issuer: bytes
    sequence: int
    kind: str
    round: int
    subject: bytes | None

    def seal(self) -> bytes:
        """sha2-256 over all columns."""
        numbers = f"{self.arrival}|{self.sequence}|{self.round}|{self.kind}|".encode()
        return sha256(numbers + self.id + self.issuer + sha256(self.raw) + (self.subject or b""))


class Store:
    """The ledger's file. One process, one caller at a time; closing it marks a clean end."""

    def __init__(self, path: Path | str) -> None:
        """Opens or creates the file.

        Args:
            path: the file; its directory must exist. `:memory:` keeps everything in memory (tests, simulation).

        Raises:
            StoreCorrupt: not a ledger, or of another format.
            StoreFailed: it cannot be opened or written.
        """
        self.path = str(path)
        self._depth = 0
        try:
            self._db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=10)
        except sqlite3.Error as error:
            raise StoreFailed(f"ledger {self.path} cannot be opened: {error}") from None
        with self._translated():
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.executescript(_SCHEMA)
        self.was_dirty = self.meta("dirty") == b"1"
        if self._meta_or_set("format", _FORMAT) != _FORMAT:
            raise StoreCorrupt(self.path, -1, "written in a format that this version does not read")
        self.set_meta("dirty", b"1")

    def close(self) -> None:
        """Marks a clean end and closes the file. Closing twice is harmless."""
        try:
            self.set_meta("dirty", b"0")
        except StoreFailed:
            return  # already closed, or the disk is gone: the mark stays set and the next start verifies everything
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def batch(self) -> Iterator[None]:
        """One durable commit around everything written inside; rolled back if the block raises. Nests.

        Raises:
            StoreFailed: the commit did not reach the disk.
        """
        if self._depth:
            yield
            return
        self._execute("BEGIN IMMEDIATE")
        self._depth = 1
        try:
            yield
            self._execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.rollback()
            raise
        finally:
            self._depth = 0

    # -- transactions --------------------------------------------------------------------------------------------

    def append(self, rows: list[Row]) -> None:
        """Appends rows in one commit (or within the running batch).

        Raises:
            StoreFailed: the disk refused, or a row is there already.
        """
        with self.batch(), self._translated():
            self._db.executemany(
                f"INSERT INTO transactions ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?)",  # noqa: S608  (constant)
                [(r.arrival, r.id, r.raw, r.issuer, r.sequence, r.kind, r.round, r.subject, r.seal()) for r in rows],
            )

    def last_arrival(self) -> int:
        """The newest row's arrival number; 0 in an empty ledger."""
        return int(self._execute("SELECT COALESCE(MAX(arrival), 0) FROM transactions").fetchone()[0])

    def rows(
        self, after: int = 0, limit: int = -1, kind: str | None = None, round_: int | None = None
    ) -> Iterator[Row]:
        """Verified rows in arrival order.

        Args:
            after: only rows with a larger arrival number.
            limit: at most so many; -1 for all.
            kind: only this kind.
            round_: only this round.

        Raises:
            StoreCorrupt: a row does not hold what was written.
        """
        cursor = self._execute(
            f"SELECT {_COLUMNS} FROM transactions WHERE arrival > :after AND (:kind IS NULL OR kind = :kind) "  # noqa: S608
            "AND (:round IS NULL OR round = :round) ORDER BY arrival LIMIT :limit",
            {"after": after, "kind": kind, "round": round_, "limit": limit},
        )
        while True:
            with self._translated():
                found = cursor.fetchone()
            if found is None:
                return
            yield self._checked(found)

    def row(self, tx_id: bytes) -> Row | None:
        """The verified row of a transaction, or None.

        Raises:
            StoreCorrupt: the row does not hold what was written.
        """
        found = self._execute(f"SELECT {_COLUMNS} FROM transactions WHERE id = ?", (tx_id,)).fetchone()  # noqa: S608
        return None if found is None else self._checked(found)

    def ids(self, kind: str | None = None, round_: int | None = None) -> tuple[bytes, ...]:
        """Ids in arrival order, of one kind or round if given."""
        sql = (
            "SELECT id FROM transactions WHERE (:kind IS NULL OR kind = :kind) "
            "AND (:round IS NULL OR round = :round) ORDER BY arrival"
        )
        return tuple(found[0] for found in self._execute(sql, {"kind": kind, "round": round_}))

    def ids_by_sequence(self, issuer: bytes, sequence: int) -> tuple[bytes, ...]:
        """Ids of an issuer's transactions with this sequence number."""
        sql = "SELECT id FROM transactions WHERE issuer = ? AND sequence = ? ORDER BY arrival"
        return tuple(found[0] for found in self._execute(sql, (issuer, sequence)))

    def ids_by_subject(self, issuer: bytes, kind: str, subject: bytes) -> tuple[bytes, ...]:
        """Ids of an issuer's transactions of this kind about this subject."""
        sql = "SELECT id FROM transactions WHERE subject = ? AND issuer = ? AND kind = ? ORDER BY arrival"
        return tuple(found[0] for found in self._execute(sql, (subject, issuer, kind)))

    def next_sequence(self, issuer: bytes) -> int:
        """One more than the issuer's largest sequence number; 0 for a new issuer."""
        sql = "SELECT COALESCE(MAX(sequence), -1) + 1 FROM transactions WHERE issuer = ?"
        return int(self._execute(sql, (issuer,)).fetchone()[0])

    # -- waiting, outbox, evidence, meta -------------------------------------------------------------------------

    def keep_waiting(self, tx_id: bytes, raw: bytes) -> None:
        """Keeps a transaction whose parents are missing."""
        self._execute("INSERT OR IGNORE INTO waiting (id, bytes) VALUES (?, ?)", (tx_id, raw))

    def drop_waiting(self, tx_id: bytes) -> None:
        """Forgets a waiting transaction, attached by now or refused."""
        self._execute("DELETE FROM waiting WHERE id = ?", (tx_id,))

    def waiting(self) -> tuple[bytes, ...]:
        """Bytes of all waiting transactions; a damaged one is left out, peers send it again."""
        found = self._execute("SELECT id, bytes FROM waiting ORDER BY id").fetchall()
        return tuple(raw for tx_id, raw in found if isinstance(raw, bytes) and sha256(raw) == tx_id)

    def put_outbox(self, tx_id: bytes) -> None:
        """Notes that peers should hear of a transaction."""
        self._execute("INSERT OR IGNORE INTO outbox (id) VALUES (?)", (tx_id,))

    def clear_outbox(self, tx_id: bytes) -> None:
        """Notes that peers have heard of it."""
        self._execute("DELETE FROM outbox WHERE id = ?", (tx_id,))

    def outbox(self) -> tuple[bytes, ...]:
        """Ids of transactions that peers should hear of, in arrival order."""
        sql = "SELECT outbox.id FROM outbox JOIN transactions USING (id) ORDER BY arrival"
        return tuple(found[0] for found in self._execute(sql))

    def put_evidence(self, issuer: bytes, proof: bytes) -> None:
        """Keeps a proof of equivocation."""
        sql = "INSERT OR IGNORE INTO evidence (digest, issuer, proof) VALUES (?, ?, ?)"
        self._execute(sql, (sha256(proof), issuer, proof))

    def evidence(self) -> tuple[bytes, ...]:
        """All proofs of equivocation, by issuer."""
        return tuple(found[0] for found in self._execute("SELECT proof FROM evidence ORDER BY issuer, digest"))

    def meta(self, key: str) -> bytes | None:
        """A note about the file itself, or None."""
        found = self._execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if found is None else found[0]

    def set_meta(self, key: str, value: bytes) -> None:
        """Writes a note about the file itself."""
        self._execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, value))

    # -- inside --------------------------------------------------------------------------------------------------

    def _meta_or_set(self, key: str, value: bytes) -> bytes:
        found = self.meta(key)
        if found is None:
            self.set_meta(key, value)
        return value if found is None else found

    def _checked(self, found: tuple[Any, ...]) -> Row:
        row = Row(*found[:-1])
        try:
            intact = sha256(row.raw) == row.id and row.seal() == found[-1]
        except (TypeError, AttributeError):  # a column came back with another type than was written
            intact = False
        if not intact:
            raise StoreCorrupt(self.path, row.arrival if isinstance(row.arrival, int) else -1, "a byte has changed")
        return row

    def _execute(self, sql: str, values: tuple[Any, ...] | dict[str, Any] = ()) -> sqlite3.Cursor:
        with self._translated():
            return self._db.execute(sql, values)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turns the library's errors into ours."""
        try:
            yield
        except (sqlite3.OperationalError, sqlite3.ProgrammingError, sqlite3.IntegrityError) as error:
            raise StoreFailed(f"ledger {self.path}: {error}") from None
        except sqlite3.DatabaseError as error:
            raise StoreCorrupt(self.path, -1, str(error)) from None
