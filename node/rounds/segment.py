"""A round's ledger segment as one blob: enough transactions for an auditor to check the round without any node.

The canonical dag-cbor of `{"transactions": [bytes, …]}`, in ascending order of transaction id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dag import codec
from dag.errors import LedgerError
from dag.fields import as_map, as_tuple, check_keys, check_tuple
from dag.ids import sha256
from dag.transaction import Transaction
from node.errors import LyingPeer

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_SEGMENT_BYTES = 64 * 1024 * 1024
MAX_TRANSACTIONS = 100_000


def pack_segment(raws: Sequence[bytes]) -> bytes:
    """The segment's bytes, given its transactions in ascending order of id."""
    return codec.encode({"transactions": list(raws)})


def unpack_segment(data: bytes) -> tuple[Transaction, ...]:
    """The transactions of a segment; their form is checked, their signatures and truth are the caller's to check.

    Raises:
        LyingPeer: Not a segment, a transaction is malformed, or they are not in ascending order of id.
    """
    try:
        content = as_map("segment", codec.decode(data, MAX_SEGMENT_BYTES))
        check_keys("segment", content, frozenset({"transactions"}))
        raws = as_tuple("transactions", content["transactions"])
        check_tuple("transactions", raws, 1, MAX_TRANSACTIONS)
        transactions = tuple(Transaction.decode(raw if isinstance(raw, bytes) else b"") for raw in raws)
    except LedgerError as error:
        raise LyingPeer(f"ledger segment: {error}") from None
    ids = [sha256(transaction.raw) for transaction in transactions]
    if ids != sorted(set(ids)):
        raise LyingPeer("ledger segment: transactions are not in ascending order of id")
    return transactions
