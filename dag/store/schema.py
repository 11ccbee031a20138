"""What stands in a ledger's file: tables, and the seal of a row.

Format 2. Rows of `transactions` are numbered 1, 2, 3 … without a gap in the order they entered, parents before children,
so a transaction's parents are two smaller numbers and its place in the graph is its number less one. There is no index by
id: ids are random, so each insertion would touch another page of the disk, and the graph in memory knows every id anyway.
The indexes that exist grow at few places and cost the same at any size.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from dag.ids import sha256

FORMAT: Final = 2

SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    """CREATE TABLE IF NOT EXISTS transactions (
    arrival INTEGER PRIMARY KEY, id BLOB NOT NULL, bytes BLOB NOT NULL, issuer BLOB NOT NULL,
    sequence INTEGER NOT NULL, kind TEXT NOT NULL, round INTEGER NOT NULL, subject BLOB,
    first INTEGER NOT NULL, second INTEGER NOT NULL, seal BLOB NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS by_sequence ON transactions (issuer, sequence)",
    "CREATE INDEX IF NOT EXISTS by_subject ON transactions (subject) WHERE subject IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS by_round ON transactions (round, kind)",
    "CREATE TABLE IF NOT EXISTS waiting (id BLOB PRIMARY KEY, bytes BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS outbox (position INTEGER PRIMARY KEY AUTOINCREMENT, id BLOB NOT NULL UNIQUE)",
    """CREATE TABLE IF NOT EXISTS evidence
    (digest BLOB PRIMARY KEY, issuer BLOB NOT NULL, proof BLOB NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS pruned
    (blob BLOB PRIMARY KEY, round INTEGER NOT NULL, gone INTEGER NOT NULL) WITHOUT ROWID""",
)

COLUMNS: Final = "arrival, id, bytes, issuer, sequence, kind, round, subject, first, second"
INSERT: Final = f"INSERT INTO transactions ({COLUMNS}, seal) VALUES (?,?,?,?,?,?,?,?,?,?,?)"  # noqa: S608  (constants)


class Row(NamedTuple):
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
        first: arrival number of its first parent; 0 for genesis.
        second: arrival number of its second parent; 0 for genesis.
    """

    arrival: int
    id: bytes
    raw: bytes
    issuer: bytes
    sequence: int
    kind: str
    round: int
    subject: bytes | None
    first: int
    second: int

    def seal(self) -> bytes:
        """sha2-256 over all columns; over `raw` by way of `id`, which is its digest."""
        arrival, tx_id, _, issuer, sequence, kind, round_, subject, first, second = self
        plain = f"{arrival}|{sequence}|{kind}|{round_}|{first}|{second}|{'' if subject is None else 's'}".encode()
        return sha256(plain + tx_id + issuer + (subject or b""))

    def is_intact(self, seal: bytes) -> bool:
        """Whether the columns are those that were sealed."""
        try:
            return sha256(self.raw) == self.id and self.seal() == seal
        except (TypeError, AttributeError):  # a column came back with another type than was written
            return False
