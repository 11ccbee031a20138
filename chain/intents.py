"""What this client means to bring about on chain, on disk before anybody else hears of it (CHN-6).

SQLite, WAL, synchronous=FULL. An intent is one call; its copies are the signed transactions that may carry it out: a
first one, then others under the same nonce with a higher fee, or under another nonce once the first can never be mined.

    open ──► mined ──► final      so many blocks deep that the chain keeps it
     │  ◄────  │                  the chain took the block back
     └─► void ◄┘                  the contract refuses it by now, or refused it when it was mined and forgot that
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from eth_utils.crypto import keccak

from chain.chainfile import ChainFile

_SCHEMA = """
CREATE TABLE IF NOT EXISTS intents (id INTEGER PRIMARY KEY AUTOINCREMENT, account TEXT NOT NULL, chain INTEGER NOT NULL,
    name TEXT NOT NULL, named INTEGER NOT NULL, call TEXT NOT NULL, receiver TEXT, data BLOB NOT NULL, value TEXT NOT NULL,
    gas INTEGER NOT NULL, state TEXT NOT NULL, block INTEGER, succeeded INTEGER, made REAL NOT NULL, note TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS intents_by_state ON intents (account, chain, state);
CREATE INDEX IF NOT EXISTS intents_by_name ON intents (account, chain, name);
CREATE TABLE IF NOT EXISTS copies (place INTEGER PRIMARY KEY AUTOINCREMENT, intent INTEGER NOT NULL, tx BLOB NOT NULL,
    nonce INTEGER NOT NULL, raw BLOB NOT NULL, max_fee INTEGER NOT NULL, tip INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS copies_by_intent ON copies (intent);
"""
_SELECT = "SELECT id, name, call, receiver, data, value, gas, state, block, succeeded, made, note FROM intents WHERE "


class State(StrEnum):
    """Where an intent stands."""

    OPEN = "open"
    MINED = "mined"
    FINAL = "final"
    VOID = "void"


@dataclass(frozen=True)
class Call:
    """What is to be called.

    Attributes:
        what: For people, such as ``TrainingRounds.open``.
        to: The receiver, checksummed hex; None to deploy a contract.
        data: The ABI encoding, or the contract's code.
        value: Wei to transfer.
    """

    what: str
    to: str | None
    data: bytes = field(repr=False)
    value: int = 0

    @property
    def request(self) -> dict[str, Any]:
        """The call as JSON-RPC's fields."""
        body: dict[str, Any] = {"data": self.data, "value": self.value}
        return body if self.to is None else {"to": self.to, **body}

    @property
    def name(self) -> str:
        """The same for the same receiver, data and value."""
        told = f"{self.to}/{self.value}/".encode() + self.data
        return f"same/{keccak(told).hex()}"


@dataclass(frozen=True)
class Copy:
    """One signed transaction that may carry out an intent.

    Attributes:
        tx: Its hash, 32 bytes.
        nonce: The account's nonce it takes.
        raw: The signed bytes; no secret, but whoever has them can send them.
        max_fee: Wei a unit of gas it pays at most (EIP-1559), or its gas price on an older chain.
        tip: Wei a unit of gas for the block's maker (EIP-1559); 0 on an older chain.
    """

    tx: bytes
    nonce: int
    raw: bytes = field(repr=False)
    max_fee: int
    tip: int


@dataclass(frozen=True)
class Intent:
    """One call that this client means to bring about, once.

    Attributes:
        id: Counts up.
        name: The idempotency key: given by the caller, or derived from the call.
        call: What is called.
        gas: The limit all copies carry.
        state: Where it stands.
        block: The block that holds it, while it is mined or final.
        succeeded: Whether the contract accepted it there; None while it is in no block.
        made: Unix seconds when it was recorded.
        note: Why it is void; empty otherwise.
        copies: The signed transactions, the newest last.
    """

    id: int
    name: str
    call: Call
    gas: int
    state: State
    block: int | None
    succeeded: bool | None
    made: float
    note: str
    copies: tuple[Copy, ...]


class IntentBook(ChainFile):
    """Every intent of some accounts; safe to use from several threads, and from several processes.

    The file can be read by its owner only: the signed transactions in it can be sent by whoever has them.
    """

    def __init__(self, path: Path | str = ":memory:") -> None:
        """Opens the file, or makes it.

        Args:
            path: The file; ``:memory:`` for a client whose transactions need not outlive it.

        Raises:
            BadChainFile: If it is no such file.
        """
        if str(path) != ":memory:":
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            Path(path).chmod(0o600)
        super().__init__(path, _SCHEMA)

    def add(self, account: str, chain_id: int, call: Call, gas: int, first: Copy, key: str | None = None) -> Intent:
        """Records an intent with its first copy; durable when it returns.

        Args:
            account: Who sends it, checksummed hex.
            chain_id: On which chain.
            call: What is called.
            gas: The limit.
            first: The signed transaction.
            key: The idempotency key; None to derive it from the call.
        """
        with self._writing():
            row = self._db.execute(
                "INSERT INTO intents (account, chain, name, named, call, receiver, data, value, gas, state, made, note) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '') RETURNING id",
                (
                    *(account, chain_id, key or call.name, key is not None, call.what, call.to, call.data),
                    *(str(call.value), gas, State.OPEN, time.time()),
                ),
            ).fetchone()
            self._add_copy(row[0], first)
        return self.get(row[0])

    def add_copy(self, intent: int, copy: Copy) -> None:
        """Records another signed transaction for an intent; durable when it returns.

        Args:
            intent: The intent's id.
            copy: The transaction.
        """
        with self._writing():
            self._add_copy(intent, copy)

    def mined(self, intent: int, block: int, *, succeeded: bool, final: bool = False) -> None:
        """Notes that a block holds it.

        Args:
            intent: The intent's id.
            block: The block.
            succeeded: Whether the contract accepted it.
            final: Whether the block is so deep that the chain keeps it.
        """
        state = State.FINAL if final else State.MINED
        with self._writing():
            self._db.execute(
                "UPDATE intents SET state = ?, block = ?, succeeded = ? WHERE id = ?", (state, block, succeeded, intent)
            )

    def reopen(self, intent: int) -> None:
        """Notes that the chain took back the block that held it.

        Args:
            intent: The intent's id.
        """
        with self._writing():
            self._db.execute(
                "UPDATE intents SET state = ?, block = NULL, succeeded = NULL WHERE id = ?", (State.OPEN, intent)
            )

    def void(self, intent: int, why: str) -> None:
        """Gives an intent up.

        Args:
            intent: The intent's id.
            why: For people.
        """
        with self._writing():
            self._db.execute("UPDATE intents SET state = ?, note = ? WHERE id = ?", (State.VOID, why[:500], intent))

    def get(self, intent: int) -> Intent:
        """One intent by its id, which `add` gave."""
        with self._reading():
            row = self._db.execute(_SELECT + "id = ?", (intent,)).fetchone()
            return self._intent(row)

    def find(self, account: str, chain_id: int, call: Call, key: str | None = None) -> Intent | None:
        """The intent to go on with instead of recording the same one again.

        Args:
            account: Who sends it.
            chain_id: On which chain.
            call: What is called.
            key: The caller's own idempotency key. With it an intent counts for good; without one only while it is open,
                as the same call may be meant again later.
        """
        with self._reading():
            row = self._db.execute(
                _SELECT + "account = ? AND chain = ? AND name = ? AND succeeded IS NOT 0 "
                "AND (state = ? OR (? AND state IN (?, ?))) ORDER BY id DESC LIMIT 1",
                (account, chain_id, key or call.name, State.OPEN, key is not None, State.MINED, State.FINAL),
            ).fetchone()
            return None if row is None else self._intent(row)

    def unresolved(self, account: str, chain_id: int) -> list[Intent]:
        """What is open or mined and not final, in the order of the nonces.

        Args:
            account: Whose.
            chain_id: On which chain.
        """
        with self._reading():
            rows = self._db.execute(
                _SELECT + "account = ? AND chain = ? AND state IN (?, ?)",
                (account, chain_id, State.OPEN, State.MINED),
            ).fetchall()
            intents = [self._intent(row) for row in rows]
        return sorted(intents, key=lambda intent: intent.copies[-1].nonce)

    def _intent(self, row: tuple[Any, ...]) -> Intent:
        number, name, what, to, data, value, gas, state, block, succeeded, made, note = row
        copies = self._db.execute(
            "SELECT tx, nonce, raw, max_fee, tip FROM copies WHERE intent = ? ORDER BY place", (number,)
        ).fetchall()
        return Intent(
            *(number, name, Call(what, to, bytes(data), int(value)), gas, State(state), block),
            *(None if succeeded is None else bool(succeeded), made, note),
            tuple(Copy(bytes(tx), nonce, bytes(raw), max_fee, tip) for tx, nonce, raw, max_fee, tip in copies),
        )

    def _add_copy(self, intent: int, copy: Copy) -> None:
        self._db.execute(
            "INSERT INTO copies (intent, tx, nonce, raw, max_fee, tip) VALUES (?, ?, ?, ?, ?, ?)",
            (intent, copy.tx, copy.nonce, copy.raw, copy.max_fee, copy.tip),
        )
