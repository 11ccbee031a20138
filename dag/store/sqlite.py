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
| pruned | payloads that were let go below an anchored checkpoint |
| meta | format, genesis id, dirty mark |

`dag.store.schema` has the columns, `dag.store.migrations` brings older files along.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from dag.errors import StoreCorrupt, StoreFailed, WrongFormat
from dag.ids import sha256
from dag.store import migrations
from dag.store.schema import COLUMNS, FORMAT, INSERT, Row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_CHUNK: Final = 2048  # rows read at a time: about one megabyte
_SELECT: Final = f"SELECT {COLUMNS}, seal FROM transactions"  # noqa: S608  (constants)


class Store:
    """The ledger's file. One process, one caller at a time; closing it marks a clean end."""

    def __init__(self, path: Path | str, *, read_only: bool = False) -> None:
        """Opens or creates the file; an older format is migrated, with a copy kept beside it.

        Args:
            path: the file; its directory must exist. `:memory:` keeps everything in memory (tests, simulation).
            read_only: only look, and leave no mark; works while a node has the file open.

        Raises:
            StoreCorrupt: not a ledger.
            StoreFailed: it cannot be opened or written.
            WrongFormat: a newer version wrote it, or an older one and it may only be read.
        """
        self.path = str(path)
        self._read_only = read_only
        self._in_batch = False
        self._pending: list[Row] = []
        self._db = self._connect()
        try:
            self.was_dirty = self._open()
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        """Marks a clean end and closes the file. Closing twice is harmless."""
        try:
            if not self._read_only:
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
        if self._in_batch:
            yield
            return
        self._execute("BEGIN IMMEDIATE")
        self._in_batch = True
        try:
            yield
            self._flush()
            self._execute("COMMIT")
        except BaseException:
            self._pending.clear()
            if self._db.in_transaction:
                self._db.rollback()
            raise
        finally:
            self._in_batch = False

    # -- transactions --------------------------------------------------------------------------------------------

    def append(self, rows: Sequence[Row]) -> None:
        """Appends rows in one commit, or with the rest of the running batch.

        Raises:
            StoreFailed: the disk refused, or a row is there already.
        """
        if self._in_batch:
            self._pending.extend(rows)
            return
        with self.batch():
            self._pending.extend(rows)

    def last_arrival(self) -> int:
        """The newest row's arrival number; 0 in an empty ledger."""
        if self._pending:
            return self._pending[-1].arrival
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
        where, values = _filter(kind, round_)
        sql = f"{_SELECT} WHERE arrival > :after{where} ORDER BY arrival LIMIT :limit"
        for chunk in self._read(sql, values | {"after": after, "limit": limit}):
            yield from chunk

    def chunks(self, after: int = 0) -> Iterator[list[Row]]:
        """All verified rows with a larger arrival number, some thousands at a time: the fast way to read a whole ledger.

        Raises:
            StoreCorrupt: a row does not hold what was written.
        """
        yield from self._read(f"{_SELECT} WHERE arrival > :after ORDER BY arrival", {"after": after})

    def row(self, arrival: int) -> Row | None:
        """The verified row with this arrival number, or None.

        Raises:
            StoreCorrupt: the row does not hold what was written.
        """
        found = self._select(f"{_SELECT} WHERE arrival = :arrival", {"arrival": arrival}).fetchone()
        return None if found is None else self._checked(found)

    def newest_round(self) -> int:
        """The largest round of any row; 0 in an empty ledger."""
        return int(self._select("SELECT COALESCE(MAX(round), 0) FROM transactions", {}).fetchone()[0])

    def ids(self, kind: str | None = None, round_: int | None = None) -> tuple[bytes, ...]:
        """Ids in arrival order, of one kind or round if given."""
        where, values = _filter(kind, round_)
        sql = f"SELECT id FROM transactions WHERE TRUE{where} ORDER BY arrival"  # noqa: S608  (constants)
        return tuple(found[0] for found in self._select(sql, values))

    def ids_by_sequence(self, issuer: bytes, sequence: int) -> tuple[bytes, ...]:
        """Ids of an issuer's transactions with this sequence number."""
        sql = "SELECT id FROM transactions WHERE issuer = :issuer AND sequence = :sequence ORDER BY arrival"
        return tuple(found[0] for found in self._select(sql, {"issuer": issuer, "sequence": sequence}))

    def answers(self, subject: bytes) -> tuple[tuple[bytes, str, bytes], ...]:
        """Issuer, kind and id of every transaction about a subject, in arrival order."""
        sql = "SELECT issuer, kind, id FROM transactions WHERE subject = :subject ORDER BY arrival"
        return tuple(self._select(sql, {"subject": subject}))

    def ids_by_subject(self, issuer: bytes, kind: str, subject: bytes) -> tuple[bytes, ...]:
        """Ids of an issuer's transactions of this kind about this subject."""
        return tuple(tx_id for by, what, tx_id in self.answers(subject) if (by, what) == (issuer, kind))

    def next_sequence(self, issuer: bytes) -> int:
        """One more than the issuer's largest sequence number; 0 for a new issuer."""
        sql = "SELECT COALESCE(MAX(sequence), -1) + 1 FROM transactions WHERE issuer = :issuer"
        return int(self._select(sql, {"issuer": issuer}).fetchone()[0])

    # -- waiting, outbox, evidence, pruned, meta -----------------------------------------------------------------

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
        """Ids of transactions that peers should hear of, in the order they were put."""
        return tuple(found[0] for found in self._execute("SELECT id FROM outbox ORDER BY position"))

    def put_evidence(self, issuer: bytes, proof: bytes) -> None:
        """Keeps a proof of equivocation."""
        sql = "INSERT OR IGNORE INTO evidence (digest, issuer, proof) VALUES (?, ?, ?)"
        self._execute(sql, (sha256(proof), issuer, proof))

    def evidence(self) -> tuple[bytes, ...]:
        """All proofs of equivocation, by issuer."""
        return tuple(found[0] for found in self._execute("SELECT proof FROM evidence ORDER BY issuer, digest"))

    def put_pruned(self, blobs: Sequence[tuple[bytes, int]]) -> None:
        """Marks payloads (binary CID, round) as let go; those marked before stay as they are."""
        with self.batch(), self._translated():
            self._db.executemany("INSERT OR IGNORE INTO pruned (blob, round, gone) VALUES (?, ?, 0)", blobs)

    def set_gone(self, blobs: Sequence[bytes]) -> None:
        """Notes that the blob store no longer holds these payloads."""
        with self.batch(), self._translated():
            self._db.executemany("UPDATE pruned SET gone = 1 WHERE blob = ?", [(blob,) for blob in blobs])

    def pruned_round(self, blob: bytes) -> int | None:
        """The round of a payload that was let go, or None."""
        found = self._execute("SELECT round FROM pruned WHERE blob = ?", (blob,)).fetchone()
        return None if found is None else int(found[0])

    def droppable(self) -> tuple[bytes, ...]:
        """Payloads (binary CIDs) that were let go and are not known to be gone, by round."""
        return tuple(found[0] for found in self._execute("SELECT blob FROM pruned WHERE gone = 0 ORDER BY round, blob"))

    def meta(self, key: str) -> bytes | None:
        """A note about the file itself, or None."""
        found = self._execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if found is None else found[0]

    def set_meta(self, key: str, value: bytes) -> None:
        """Writes a note about the file itself."""
        self._execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, value))

    # -- inside --------------------------------------------------------------------------------------------------

    def _connect(self) -> sqlite3.Connection:
        name = f"{Path(self.path).resolve().as_uri()}?mode=ro" if self._read_only else self.path
        try:
            return sqlite3.connect(name, isolation_level=None, check_same_thread=False, timeout=10, uri=self._read_only)
        except sqlite3.Error as error:
            raise StoreFailed(f"ledger {self.path} cannot be opened: {error}") from None

    def _open(self) -> bool:
        """Makes the file usable; returns whether it was left without a clean end."""
        with self._translated():
            if self._read_only:
                found = migrations.format_of(self._db, self.path) or 0
                if found != FORMAT:
                    raise WrongFormat(self.path, found, FORMAT)
                return False
            self._db.execute("PRAGMA synchronous = FULL")
            migrations.prepare(self._db, self.path)
            self._db.execute("PRAGMA journal_mode = WAL")  # last: a file that is refused is not touched
        was_dirty = self.meta("dirty") == b"1"
        self.set_meta("dirty", b"1")
        return was_dirty

    def _flush(self) -> None:
        """Writes what `append` collected, all of it in one statement."""
        if self._pending:
            rows, self._pending = self._pending, []
            with self._translated():
                self._db.executemany(INSERT, [(*row, row.seal()) for row in rows])

    def _read(self, sql: str, values: dict[str, Any]) -> Iterator[list[Row]]:
        cursor = self._select(sql, values)
        while True:
            with self._translated():
                found = cursor.fetchmany(_CHUNK)
            if not found:
                return
            yield [self._checked(columns) for columns in found]

    def _checked(self, found: tuple[Any, ...]) -> Row:
        row = Row._make(found[:-1])
        if not row.is_intact(found[-1]):
            raise StoreCorrupt(self.path, row.arrival if isinstance(row.arrival, int) else -1, "a byte has changed")
        return row

    def _select(self, sql: str, values: dict[str, Any]) -> sqlite3.Cursor:
        """Asks the main table, with what the running batch appended."""
        self._flush()
        return self._execute(sql, values)

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


def _filter(kind: str | None, round_: int | None) -> tuple[str, dict[str, Any]]:
    """Conditions on the main table; only those that are asked, so that the index on rounds is used."""
    asked = {name: value for name, value in (("kind", kind), ("round", round_)) if value is not None}
    return "".join(f" AND {name} = :{name}" for name in asked), asked
