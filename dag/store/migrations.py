"""Bringing an older ledger file to today's format.

Each step takes a file from one format to the next, inside one transaction: a crash or a damaged row leaves the file as it
was. Before the first step a copy of the file is kept beside it, named after its format.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dag.errors import MalformedTransaction, StoreCorrupt, WrongFormat
from dag.ids import sha256
from dag.store.schema import FORMAT, INSERT, SCHEMA, Row
from dag.transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Callable

_MEMORY: Final = ":memory:"


def format_of(db: sqlite3.Connection, path: str) -> int | None:
    """The format number that a file carries; None for a file without tables.

    Raises:
        StoreCorrupt: it is some other program's database, or its format is no number.
    """
    tables = {found[0] for found in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables:
        return None
    if "meta" not in tables:
        raise StoreCorrupt(path, -1, f"a database of something else (tables {', '.join(sorted(tables)[:4])})")
    found = db.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()
    if found is None or not isinstance(found[0], bytes) or not found[0].isdigit():
        raise StoreCorrupt(path, -1, "its format is not written in it")
    return int(found[0])


def prepare(db: sqlite3.Connection, path: str) -> None:
    """Creates the tables of a new file, or brings an older one to today's format.

    Args:
        db: a connection in autocommit mode.
        path: the file, for the copy and for messages.

    Raises:
        StoreCorrupt: an old row does not hold what was written; nothing was changed.
        WrongFormat: a newer version wrote the file; nothing was changed.
        sqlite3.Error: the disk refused; nothing was changed.
    """
    found = format_of(db, path)
    if found is not None and not 1 <= found <= FORMAT:
        raise WrongFormat(path, found, FORMAT)
    if found is not None and found < FORMAT:
        _keep_copy(db, path, found)
    if found is None:
        _in_one_transaction(db, path, _create, FORMAT)
        return
    for step in range(found, FORMAT):
        _in_one_transaction(db, path, _STEPS[step], step + 1)


def copy_name(path: str, format_: int) -> str:
    """Where the copy of a file is kept that was migrated from a format."""
    return f"{path}.format-{format_}"


def _keep_copy(db: sqlite3.Connection, path: str, found: int) -> None:
    if path == _MEMORY:
        return
    target = Path(copy_name(path, found))
    unfinished = target.with_name(f"{target.name}.part")
    unfinished.unlink(missing_ok=True)
    with closing(sqlite3.connect(unfinished)) as copy:
        db.backup(copy)
    with unfinished.open("rb") as written:
        os.fsync(written.fileno())
    unfinished.replace(target)


def _in_one_transaction(
    db: sqlite3.Connection, path: str, step: Callable[[sqlite3.Connection, str], None], reached: int
) -> None:
    db.execute("BEGIN IMMEDIATE")
    try:
        step(db, path)
        db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('format', ?)", (b"%d" % reached,))
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.rollback()
        raise


def _create(db: sqlite3.Connection, _path: str) -> None:
    for statement in SCHEMA:
        db.execute(statement)


def _from_1(db: sqlite3.Connection, path: str) -> None:
    """Parents' arrival numbers become columns, the seal covers them, the index by id goes, the outbox keeps its order."""
    for old in ("by_sequence", "by_subject", "by_round"):
        db.execute(f"DROP INDEX IF EXISTS {old}")
    for table in ("transactions", "outbox"):
        db.execute(f"ALTER TABLE {table} RENAME TO {table}_1")
    _create(db, path)
    cursor = db.execute(
        "SELECT arrival, id, bytes, issuer, sequence, kind, round, subject, seal FROM transactions_1 ORDER BY arrival"
    )
    for found in cursor:
        row = _row_from_1(db, path, found)
        db.execute(INSERT, (*row, row.seal()))
    db.execute(
        "INSERT INTO outbox (id) SELECT outbox_1.id FROM outbox_1 JOIN transactions_1 USING (id) ORDER BY arrival"
    )
    db.execute("DROP TABLE transactions_1")
    db.execute("DROP TABLE outbox_1")


def _row_from_1(db: sqlite3.Connection, path: str, found: tuple[Any, ...]) -> Row:
    arrival, tx_id, raw, issuer, sequence, kind, round_, subject, seal = found
    try:
        plain = f"{arrival}|{sequence}|{round_}|{kind}|".encode()
        intact = sha256(raw) == tx_id and seal == sha256(plain + tx_id + issuer + sha256(raw) + (subject or b""))
        parents = Transaction.decode(raw).parents
    except (TypeError, MalformedTransaction):
        intact = False
    if not intact:
        raise StoreCorrupt(path, arrival, "a byte has changed")
    above = [db.execute("SELECT arrival FROM transactions_1 WHERE id = ?", (parent,)).fetchone() for parent in parents]
    if None in above:
        raise StoreCorrupt(path, arrival, "a parent is missing")
    first, second = (number[0] for number in above) if above else (0, 0)
    return Row(arrival, tx_id, raw, issuer, sequence, kind, round_, subject, first, second)


_STEPS: Final = {1: _from_1}
