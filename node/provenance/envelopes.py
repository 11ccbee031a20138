"""The envelope of every finalised round: put together from ledger and chain, kept in the blob store, noted in the journal.

Nobody announces an envelope. The checkpoints in the ledger hold the members' signatures, the chain says whose went into the
outcome; so every node derives the same bytes, and whoever has only blobs asks a node, or a directory's journal, for them.
"""

from __future__ import annotations

import logging
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

from chain.records import bitmap_members
from dag.bodies import CheckpointBody, Kind
from dag.errors import LedgerError
from dag.proofs.jsontext import parse_json
from node.consortium.view import address_bytes
from node.errors import LyingPeer
from node.rounds.dsse import Endorsement, Signature, gather_envelope
from node.rounds.errors import BelowQuorum
from node.rounds.statement import Statement
from node.storage import BadCid, BlobMissing, parse_blob_cid, raw_cid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dag.ledger import Ledger
    from dag.transaction import Transaction
    from node.consortium.records import RoundView
    from node.consortium.view import ConsortiumView
    from node.publishing.publisher import Publisher
    from node.rounds.journal import Journal
    from node.storage import BlobStore

log = logging.getLogger("medweave.provenance")

FACT: Final = "envelope"
"""The journal's name for a round's envelope: CID, statement and signers it is of, whether it is whole."""
MAX_FACT_BYTES: Final = 4096
PAGE: Final = 500
"""Checkpoints asked of the ledger at once; a round has at most 256 that count."""


class EnvelopeKeeper:
    """Keeps the envelopes of all finalised rounds; `look` may be called from any thread, one at a time.

    Args:
        publisher: The ledger; gives the checkpoints.
        store: Takes the envelopes, gives the statements.
        journal: Remembers their CIDs.
    """

    def __init__(self, publisher: Publisher, store: BlobStore, journal: Journal) -> None:
        self._publisher = publisher
        self._store = store
        self._journal = journal
        self._whole: set[tuple[int, bytes, int]] = set()

    def look(self, view: ConsortiumView) -> None:
        """Make the envelopes that are missing, and those anew that lacked a signature, as far as they can be made yet.

        Raises:
            StorageError: The disk is full or fails.
        """
        for row in view.rounds.values():
            if row.finalised and row.statement is not None and _name(row) not in self._whole:
                self._keep(row)

    def _keep(self, row: RoundView) -> None:
        known = self._journal.recall(row.round, FACT)
        statement = (row.statement or b"").hex()
        if known and known["statement"] == statement and known["signers"] == row.signers and known["whole"]:
            self._whole.add(_name(row))
            return
        try:
            data, whole = self._derive(row)
        except (BlobMissing, BelowQuorum):
            return  # statement or checkpoints are still on their way
        except LyingPeer as error:
            log.warning("round %d: %s", row.round, error)
            return
        cid = self._store.put(data)
        fact = {"cid": cid, "statement": statement, "signers": row.signers, "whole": whole}
        if fact != known:
            self._journal.remember(row.round, FACT, fact)

    def _derive(self, row: RoundView) -> tuple[bytes, bool]:
        statement = Statement.from_bytes(self._store.get(raw_cid(row.statement or b"")))
        endorsements = tuple(endorsements_of(row, self._checkpoints(row.round)))
        envelope, whole = gather_envelope(statement, endorsements, signers_of(row), row.quorum)
        return envelope.to_bytes(), whole

    def _checkpoints(self, number: int) -> tuple[Transaction, ...]:
        def ask(ledger: Ledger) -> tuple[Transaction, ...]:
            return ledger.transactions(Kind.CHECKPOINT, number, limit=PAGE)

        found: tuple[Transaction, ...] = self._publisher.read(ask)
        return found


def signers_of(row: RoundView) -> tuple[bytes, ...]:
    """Addresses (20 bytes) of the members the chain names as signers of a round's outcome, as they were at its opening."""
    accounts = row.standing.accounts
    return tuple(address_bytes(accounts[seat]) for seat in sorted(bitmap_members(row.signers)) if seat < len(accounts))


def members_of(row: RoundView) -> frozenset[bytes]:
    """Addresses (20 bytes) of a round's members: those at its opening."""
    return frozenset(address_bytes(row.standing.accounts[seat]) for seat in row.standing.members)


def endorsements_of(row: RoundView, checkpoints: tuple[Transaction, ...]) -> Iterator[Endorsement]:
    """What checkpoints by a round's members brought for its statement; not verified."""
    members = members_of(row)
    for transaction in checkpoints:
        body, issuer = transaction.body, transaction.issuer
        if isinstance(body, CheckpointBody) and body.statement == row.statement and issuer in members:
            yield Endorsement(transaction.id, Signature(issuer, body.statement_signature))


def noted(journal: Path, number: int) -> str | None:
    """The CID of a round's envelope by a hospital's journal; reads without writing anything beside it.

    Args:
        journal: The SQLite file; a node may be running on it.
        number: The round.

    Returns:
        None where the file holds none, is damaged, or is no journal.
    """
    try:
        fact = _fact(journal, number)
        cid = str(parse_json("envelope", fact.encode(), MAX_FACT_BYTES)["cid"]) if fact is not None else None
        if cid is not None:
            parse_blob_cid(cid)
    except (OSError, sqlite3.Error, LedgerError, BadCid, ValueError, KeyError, TypeError):
        return None
    return cid


def _fact(journal: Path, number: int) -> str | None:
    """The fact's text; of a copy where the file has a write-ahead log, which reading in place would touch."""
    if not journal.is_file():
        return None
    log_file = journal.with_name(journal.name + "-wal")
    if not log_file.is_file():
        return _ask(f"{journal.resolve().as_uri()}?mode=ro&immutable=1", number)
    with tempfile.TemporaryDirectory(prefix="medweave-journal-") as folder:
        copy = Path(folder) / "journal.sqlite"
        shutil.copyfile(journal, copy)
        shutil.copyfile(log_file, copy.with_name(copy.name + "-wal"))
        return _ask(f"{copy.as_uri()}?mode=rw", number)


def _ask(address: str, number: int) -> str | None:
    with closing(sqlite3.connect(address, uri=True)) as db:
        row = db.execute("SELECT value FROM facts WHERE round = ? AND name = ?", (number, FACT)).fetchone()
    return None if row is None else str(row[0])


def _name(row: RoundView) -> tuple[int, bytes, int]:
    return row.round, row.statement or b"", row.signers


def kept(journal: Journal, read: Callable[[str], bytes], number: int) -> bytes | None:
    """A round's envelope as this hospital keeps it; None where it does not, or the blob is gone."""
    known = journal.recall(number, FACT)
    if known is None:
        return None
    try:
        return read(str(known["cid"]))
    except BlobMissing:
        return None
