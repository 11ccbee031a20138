"""Blocks as bytes: what proves, against one block hash, everything that a consortium's contracts ever emitted.

A block's hash is keccak-256 of its header's RLP; the header names its parent by hash and commits to its transactions and
receipts by trie roots, and its bloom filter says which contracts may have emitted something. So an unbroken run of
headers, with transactions and receipts of every block whose bloom names a contract, leaves nothing out and adds nothing.
Sources: Ethereum Yellow Paper, sections 4.4.1 to 4.4.3 and equation 27; EIP-658, EIP-1559, EIP-2718, EIP-4844, EIP-7685.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import rlp
from eth_utils.crypto import keccak
from rlp.exceptions import RLPException

from node.audit.bundle.tries import ordered_root
from node.audit.errors import MalformedBlock

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MIN_FIELDS: Final = 15
"""Fields of a header before any upgrade; upgrades append (base fee, withdrawals, blobs, beacon root, requests)."""
MAX_FIELDS: Final = 32
MAX_ITEM_BYTES: Final = 4 * 1024 * 1024
"""Longest header, transaction or receipt read."""

_FIELDS: Final = (
    ("parentHash", 32),
    ("sha3Uncles", 32),
    ("miner", 20),
    ("stateRoot", 32),
    ("transactionsRoot", 32),
    ("receiptsRoot", 32),
    ("logsBloom", 256),
    ("difficulty", None),
    ("number", None),
    ("gasLimit", None),
    ("gasUsed", None),
    ("timestamp", None),
    ("extraData", -1),
    ("mixHash", 32),
    ("nonce", 8),
    ("baseFeePerGas", None),
    ("withdrawalsRoot", 32),
    ("blobGasUsed", None),
    ("excessBlobGas", None),
    ("parentBeaconBlockRoot", 32),
    ("requestsHash", 32),
)
"""A header's fields in RLP order, with their length in bytes: None for an integer, -1 for any length."""


@dataclass(frozen=True)
class Header:
    """The fields of a block's header that an audit reads."""

    hash: bytes
    number: int
    parent: bytes
    transactions_root: bytes
    receipts_root: bytes
    bloom: int
    """Equation 27's 2,048 bits."""
    timestamp: int
    """Unix seconds."""

    def may_concern(self, address: bytes) -> bool:
        """Whether a contract may have emitted something in this block; False is certain."""
        digest = keccak(address)
        bits = (int.from_bytes(digest[at : at + 2], "big") & 2047 for at in (0, 2, 4))
        return all(self.bloom >> bit & 1 for bit in bits)


@dataclass(frozen=True)
class Log:
    """One entry of a receipt."""

    address: bytes
    topics: tuple[bytes, ...]
    data: bytes


@dataclass(frozen=True)
class Block:
    """A block: its header's RLP, and its transactions and receipts (EIP-2718 bytes) where they are carried."""

    header_rlp: bytes
    transactions: tuple[bytes, ...] | None = None
    receipts: tuple[bytes, ...] | None = None

    @cached_property
    def header(self) -> Header:
        """The header, read.

        Raises:
            MalformedBlock: It is no header.
        """
        return read_header(self.header_rlp)

    def verify_body(self) -> None:
        """The transactions and receipts carried are those the header commits to.

        Raises:
            MalformedBlock: They are not, or there are none.
        """
        where = f"block {self.header.number}"
        if self.transactions is None or self.receipts is None:
            raise MalformedBlock(where, "its transactions and receipts are left out")
        if ordered_root(self.transactions) != self.header.transactions_root:
            raise MalformedBlock(where, "its transactions are not those under the header's transactionsRoot")
        if ordered_root(self.receipts) != self.header.receipts_root:
            raise MalformedBlock(where, "its receipts are not those under the header's receiptsRoot")


def read_header(raw: bytes) -> Header:
    """A header from its RLP.

    Raises:
        MalformedBlock: Not a canonical list of a header's fields.
    """
    fields = _list(raw, "header")
    if not MIN_FIELDS <= len(fields) <= MAX_FIELDS:
        raise MalformedBlock("header", f"it has {len(fields)} fields, expected {MIN_FIELDS} to {MAX_FIELDS}")
    for (name, length), value in zip(_FIELDS, fields, strict=False):
        if not isinstance(value, bytes) or (length is not None and length >= 0 and len(value) != length):
            raise MalformedBlock("header", f"field {name} is not what a header has there")
    return Header(
        hash=bytes(keccak(raw)),
        number=_integer(fields[8], "number"),
        parent=fields[0],
        transactions_root=fields[4],
        receipts_root=fields[5],
        bloom=int.from_bytes(fields[6], "big"),
        timestamp=_integer(fields[11], "timestamp"),
    )


def read_receipt(raw: bytes) -> tuple[bool, tuple[Log, ...]]:
    """Whether a transaction succeeded (EIP-658), and what it emitted.

    Raises:
        MalformedBlock: Not a receipt.
    """
    fields = _list(_untyped(raw, "receipt"), "receipt")
    if len(fields) != 4 or fields[0] not in {b"", b"\x01"} or not isinstance(fields[3], list):
        raise MalformedBlock("receipt", "it has not the fields status, gas, bloom, logs")
    return fields[0] == b"\x01", tuple(_log(entry) for entry in fields[3])


def header_rlp(answer: Mapping[str, Any]) -> bytes:
    """A header's RLP from an `eth_getBlockByNumber` answer.

    Args:
        answer: The block as JSON; fields of upgrades that it lacks are left out.

    Raises:
        MalformedBlock: The fields do not make up the hash it states.
    """
    values = []
    try:
        for name, length in _FIELDS:
            if answer.get(name) is not None:
                values.append(_number(answer[name]) if length is None else _raw(answer[name]))
        raw: bytes = rlp.encode(values)
        stated = _raw(answer["hash"])
    except (KeyError, TypeError, ValueError) as error:
        raise MalformedBlock("header", f"the endpoint's answer has a field that cannot be read: {error}") from None
    if keccak(raw) != stated:
        raise MalformedBlock(
            f"block {answer.get('number')}", f"its fields do not hash to 0x{stated.hex()}: this chain's headers differ"
        )
    return raw


def receipt_bytes(answer: Mapping[str, Any]) -> bytes:
    """A receipt's EIP-2718 bytes from an entry of an `eth_getBlockReceipts` answer.

    Raises:
        MalformedBlock: A field is missing or cannot be read.
    """
    try:
        logs = [
            [_raw(log["address"]), [_raw(topic) for topic in log["topics"]], _raw(log["data"])]
            for log in answer["logs"]
        ]
        fields = [_number(answer["status"]), _number(answer["cumulativeGasUsed"]), _raw(answer["logsBloom"]), logs]
        kind = _number(answer.get("type") or 0)
    except (KeyError, TypeError, ValueError) as error:
        raise MalformedBlock("receipt", f"the endpoint's answer has a field that cannot be read: {error}") from None
    body: bytes = rlp.encode(fields)
    return bytes([kind]) + body if kind else body


def transaction_fields(raw: bytes) -> tuple[int, list[Any]]:
    """A transaction's type and RLP fields, from its EIP-2718 bytes.

    Raises:
        MalformedBlock: Not a transaction.
    """
    body = _untyped(raw, "transaction")
    return (raw[0] if body is not raw else 0), _list(body, "transaction")


def _untyped(raw: bytes, what: str) -> bytes:
    if not raw or len(raw) > MAX_ITEM_BYTES:
        raise MalformedBlock(what, f"it has {len(raw)} bytes, expected 1 to {MAX_ITEM_BYTES}")
    return raw[1:] if raw[0] < 0x80 else raw


def _list(raw: bytes, what: str) -> list[Any]:
    if len(raw) > MAX_ITEM_BYTES:
        raise MalformedBlock(what, f"it has {len(raw)} bytes, at most {MAX_ITEM_BYTES} are read")
    try:
        value = rlp.decode(raw, strict=True)
    except (RLPException, RecursionError) as error:
        raise MalformedBlock(what, f"it is no RLP: {error}") from None
    if not isinstance(value, list):
        raise MalformedBlock(what, "it is no RLP list")
    return value


def _log(entry: object) -> Log:
    match entry:
        case [bytes() as address, list() as topics, bytes() as data] if len(address) == 20 and _topics(topics):
            return Log(address, tuple(topics), data)
        case _:
            raise MalformedBlock("receipt", "a log has not the fields address, topics, data")


def _topics(values: Iterable[object]) -> bool:
    return all(isinstance(value, bytes) and len(value) == 32 for value in values)


def _integer(value: bytes, name: str) -> int:
    if len(value) > 8 or value[:1] == b"\0":
        raise MalformedBlock("header", f"field {name} is no canonical integer below 2^64")
    return int.from_bytes(value, "big")


def _raw(value: Any) -> bytes:
    return bytes.fromhex(value.removeprefix("0x")) if isinstance(value, str) else bytes(value)


def _number(value: Any) -> int:
    return int(value, 16) if isinstance(value, str) else int(value)
