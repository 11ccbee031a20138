"""A whole ledger in one file that any IPFS tool can read: a CAR, version 1.

    header    varint length, dag-cbor {roots: tips, version: 1}
    block     varint length, CID, bytes          each transaction, parents before children
    block     …                                  each proof of equivocation
    trailer   one block more: what was exported, and sha2-256 over every byte before it

Each block is checked against its CID and the whole against the trailer, so a changed byte is found and its block named.
Export and import hold one batch in memory, whatever the ledger's size. Import goes through the ledger's own door: nothing
enters that the rules refuse. What is there already is passed over, so an import that broke off is simply run again.
Source: https://ipld.io/specs/transport/car/carv1/
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import islice
from typing import IO, TYPE_CHECKING, Final

from dag import codec
from dag.equivocation import EquivocationProof
from dag.errors import ArchiveDamaged, Equivocation, LedgerError, MalformedTransaction, WrongConsortium
from dag.fields import U53, as_map, as_tuple, check_integer, check_keys, check_tuple
from dag.ids import DAG_CBOR, ID_BYTES, cid_bytes, sha256
from dag.transaction import MAX_BYTES, transaction_link

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dag.ledger import Ledger
    from dag.store.port import LedgerStore

    Progress = Callable[[int, int], None]

FORMAT: Final = "medweave/ledger/1"
MAX_ROOTS: Final = 1024
_MAX_HEADER: Final = 64 * MAX_ROOTS
_PREFIX: Final = cid_bytes(DAG_CBOR, bytes(ID_BYTES))[:4]
_CID_BYTES: Final = len(_PREFIX) + ID_BYTES
_MAX_BLOCK: Final = _CID_BYTES + 2 * MAX_BYTES + 64  # a proof of equivocation holds two transactions
_BATCH: Final = 256
_TRAILER_KEYS: Final = frozenset(("archive", "transactions", "proofs", "digest"))
_PROOF, _TRAILER = 0xA2, 0xA4  # first bytes: maps of two and of four; a transaction has ten keys or eleven


@dataclass(frozen=True)
class Exported:
    """What an archive holds.

    Attributes:
        transactions: how many, genesis included.
        proofs: how many proofs of equivocation.
        digest: sha2-256 (32 bytes) over everything before the trailer.
    """

    transactions: int
    proofs: int
    digest: bytes


@dataclass(frozen=True)
class Imported:
    """What an import did.

    Attributes:
        attached: transactions that entered.
        known: transactions that were there before.
        refused: ids and reasons of those that may not enter, in the archive's order.
        contents: what the archive says that it holds.
    """

    attached: int
    known: int
    refused: tuple[tuple[bytes, LedgerError], ...]
    contents: Exported


@dataclass(frozen=True)
class Block:
    """One block of an archive, checked against its CID.

    Attributes:
        number: position among the blocks, from 0.
        offset: byte of the file at which it begins.
        id: sha2-256 (32 bytes) of `raw`, as its CID says.
        raw: its bytes.
    """

    number: int
    offset: int
    id: bytes
    raw: bytes


# -- out -----------------------------------------------------------------------------------------------------------


def export(store: LedgerStore, out: IO[bytes], progress: Progress | None = None) -> Exported:
    """Writes a ledger as it is now; it may grow meanwhile.

    Args:
        store: where it is kept; `dag.store.sqlite.Store(path, read_only=True)` works beside a running node.
        out: a binary file, written from its present position on.
        progress: told how many transactions were written, and of how many.

    Raises:
        OSError: the file cannot be written.
        StoreCorrupt: a row does not hold what was written.
    """
    total = store.last_arrival()
    writer = _Writer(out)
    roots = [codec.link(cid_bytes(DAG_CBOR, tip)) for tip in _tips(store, total)]
    writer.put(codec.encode({"roots": roots, "version": 1}))
    for chunk in store.chunks():
        for row in chunk:
            if row.arrival <= total:
                writer.put(_PREFIX + row.id + row.raw)
        if progress:
            progress(min(chunk[-1].arrival, total), total)
    proofs = store.evidence()
    for proof in proofs:
        writer.put(_PREFIX + sha256(proof) + proof)
    exported = Exported(total, len(proofs), writer.digest.digest())
    trailer = codec.encode({"archive": FORMAT, "transactions": total, "proofs": len(proofs), "digest": exported.digest})
    writer.put(_PREFIX + sha256(trailer) + trailer)
    return exported


class _Writer:
    """Frames what it is given, and digests what it has written."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self.digest = hashlib.sha256()

    def put(self, content: bytes) -> None:
        framed = _varint(len(content)) + content
        self._out.write(framed)
        self.digest.update(framed)


def _tips(store: LedgerStore, total: int) -> list[bytes]:
    """The newest ids that no transaction has as a parent, at most `MAX_ROOTS`, oldest first."""
    approved = bytearray(total + 1)
    for chunk in store.chunks():
        for row in chunk:
            if row.arrival <= total:
                approved[row.first] = approved[row.second] = 1
    tips = (arrival for arrival in range(total, 0, -1) if not approved[arrival])
    rows = [store.row(arrival) for arrival in islice(tips, MAX_ROOTS)]
    return [row.id for row in reversed(rows) if row is not None]


def _varint(number: int) -> bytes:
    """Unsigned LEB128, the length form of a CAR."""
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*encoded, number))


# -- in ------------------------------------------------------------------------------------------------------------


class Archive:
    """An archive being read, front to back.

    Attributes:
        roots: ids of the newest tips.
        contents: what the trailer says; None until `blocks` has come to the end.
    """

    def __init__(self, source: IO[bytes]) -> None:
        """Reads the header.

        Args:
            source: a binary file, read from its present position on. Trusted in nothing.

        Raises:
            ArchiveDamaged: no CAR with a ledger in it.
        """
        self._source = source
        self._digest = hashlib.sha256()
        self._offset = 0
        self._number = -1
        self.contents: Exported | None = None
        self.roots = self._read_header()

    def blocks(self) -> Iterator[Block]:
        """Transactions, parents before children, then proofs of equivocation; checks the trailer at the end.

        Raises:
            ArchiveDamaged: names the block that is not what was exported, or says that the file ends early.
        """
        transactions = proofs = 0
        while True:
            block, before = self._next_block()
            if block.raw[:1] == bytes((_TRAILER,)):
                self.contents = self._read_trailer(block, before)
                break
            if block.raw[:1] == bytes((_PROOF,)):
                proofs += 1
            else:
                transactions += 1
            yield block
        self._number = -1
        if (transactions, proofs) != (self.contents.transactions, self.contents.proofs):
            raise self._damaged(f"{transactions} transactions and {proofs} proofs are not what the trailer says")
        if self._source.read(1):
            raise self._damaged("something follows the trailer")

    def _read_header(self) -> tuple[bytes, ...]:
        raw = self._section(_MAX_HEADER)
        try:
            return _roots(codec.decode(raw, _MAX_HEADER))
        except MalformedTransaction as error:
            raise self._damaged(f"no CAR of a ledger: {error}") from None

    def _next_block(self) -> tuple[Block, bytes]:
        """The next block, and the digest over all bytes before it."""
        self._number += 1
        before, offset = self._digest.digest(), self._offset
        content = self._section(_MAX_BLOCK)
        named, raw = content[len(_PREFIX) : _CID_BYTES], content[_CID_BYTES:]
        if content[: len(_PREFIX)] != _PREFIX or sha256(raw) != named:
            raise ArchiveDamaged(self._number, offset, "its bytes are not what its CID says")
        return Block(self._number, offset, named, raw), before

    def _read_trailer(self, block: Block, digest: bytes) -> Exported:
        try:
            content = as_map("trailer", codec.decode(block.raw, MAX_BYTES))
            check_keys("trailer", content, _TRAILER_KEYS)
            if content["archive"] != FORMAT:
                raise self._damaged(f"the trailer names another format than {FORMAT}")
            for name in ("transactions", "proofs"):
                check_integer(f"trailer.{name}", content[name], 0, U53)
            exported = Exported(content["transactions"], content["proofs"], digest)  # type: ignore[arg-type]
        except MalformedTransaction as error:
            raise self._damaged(str(error)) from None
        if content["digest"] != digest:
            raise ArchiveDamaged(-1, 0, "the digest over all blocks differs: a block is missing, moved or added")
        return exported

    def _section(self, limit: int) -> bytes:
        start, size, shift = self._offset, 0, 0
        while True:
            byte = self._take(1)[0]
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
            if shift > 28:
                raise ArchiveDamaged(self._number, start, "a length of more than five bytes")
        if not 0 < size <= limit or len(_varint(size)) != shift // 7:
            raise ArchiveDamaged(
                self._number, start, f"a length of {size} bytes, expected 1 … {limit} in shortest form"
            )
        return self._take(size)

    def _take(self, size: int) -> bytes:
        found = self._source.read(size)
        if len(found) != size:
            raise self._damaged("the file ends early")
        self._offset += size
        self._digest.update(found)
        return found

    def _damaged(self, reason: str) -> ArchiveDamaged:
        return ArchiveDamaged(self._number, self._offset, reason)


def _roots(header: object) -> tuple[bytes, ...]:
    content = as_map("header", header)
    check_keys("header", content, frozenset(("roots", "version")))
    check_integer("version", content["version"], 1, 1)
    roots = as_tuple("roots", content["roots"])
    check_tuple("roots", roots, 0, MAX_ROOTS)
    return tuple(transaction_link("roots", root) for root in roots)


def load(ledger: Ledger, source: IO[bytes], progress: Progress | None = None) -> Imported:
    """Brings an archive's transactions into a ledger, through the same rules as a peer's, 256 in a durable commit.

    Args:
        ledger: where they go; may hold some of them already.
        source: a binary file, read from its present position on.
        progress: told how many blocks were read; the second number is 0, the total stands at the file's end.

    Raises:
        ArchiveDamaged: names the damaged block; everything before it has entered.
        StoreFailed: the disk refused; run it again when there is room.
        WrongConsortium: the archive is another consortium's.
    """
    archive = Archive(source)
    work = _Import(ledger)
    for batch in _batches(archive, work):
        work.take(batch)
        if progress:
            progress(batch[-1].number + 1, 0)
    contents = archive.contents
    if contents is None:  # unreachable: blocks() ends with the trailer or raises; tells the type checker
        raise ArchiveDamaged(-1, 0, "no trailer")
    return Imported(work.attached, work.known, work.refused(), contents)


def _batches(archive: Archive, work: _Import) -> Iterator[list[Block]]:
    batch: list[Block] = []
    try:
        for block in archive.blocks():
            batch.append(block)
            if len(batch) == _BATCH:
                yield batch
                batch = []
    except ArchiveDamaged:
        work.take(batch)  # what came before the damage is sound
        raise
    if batch:
        yield batch


class _Import:
    """Counts what enters. Keeps back an equivocator's transactions: they may enter once another is built on them."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._reasons: dict[bytes, LedgerError] = {}
        self._kept_back: dict[bytes, bytes] = {}
        self.attached = 0
        self.known = 0

    def take(self, blocks: list[Block]) -> None:
        raws = {block.id: block.raw for block in blocks if block.raw[0] != _PROOF}
        fresh = {tx_id: raw for tx_id, raw in raws.items() if tx_id not in self._ledger}
        self.known += len(raws) - len(fresh)
        while fresh:
            received = self._ledger.receive_many(fresh.values())
            self.attached += len(received.attached)
            for tx_id, error in received.refused:
                self._refuse(tx_id, error, fresh)
            wanted = [tx_id for tx_id in self._ledger.missing() if tx_id in self._kept_back]
            fresh = {tx_id: self._kept_back.pop(tx_id) for tx_id in wanted}
        for block in blocks:
            if block.raw[0] == _PROOF:
                self._accuse(block)

    def refused(self) -> tuple[tuple[bytes, LedgerError], ...]:
        return tuple((tx_id, error) for tx_id, error in self._reasons.items() if tx_id not in self._ledger)

    def _refuse(self, tx_id: bytes, error: LedgerError, raws: dict[bytes, bytes]) -> None:
        if isinstance(error, WrongConsortium):
            raise error
        self._reasons[tx_id] = error
        if isinstance(error, Equivocation) and tx_id in raws:
            self._kept_back[tx_id] = raws[tx_id]

    def _accuse(self, block: Block) -> None:
        try:
            if EquivocationProof.decode(block.raw) not in self._ledger.evidence():
                self._ledger.accuse(block.raw)
        except LedgerError as error:
            self._reasons[block.id] = error
