"""What nodes send each other about the ledger: lists of transactions or ids, in dag-cbor, bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dag import codec
from dag.errors import MalformedTransaction
from dag.fields import as_map, as_tuple, check_digest, check_keys, check_tuple
from dag.transaction import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_BATCH = 64
"""Most transactions in one message."""
MAX_IDS = 1024
"""Most ids in one message."""
MAX_MESSAGE_BYTES = MAX_BATCH * (MAX_BYTES + 8) + 64
MEDIA_TYPE = "application/vnd.ipld.dag-cbor"


def pack_transactions(raws: Iterable[bytes]) -> bytes:
    """A message of transactions, in the order given."""
    return codec.encode({"transactions": list(raws)})


def unpack_transactions(message: bytes) -> tuple[bytes, ...]:
    """The transactions of a message; whether each is one, the ledger says.

    Raises:
        MalformedTransaction: Too long, not canonical dag-cbor, or not a list of byte strings.
    """
    content = as_map("message", codec.decode(message, MAX_MESSAGE_BYTES))
    check_keys("message", content, frozenset({"transactions"}))
    raws = as_tuple("transactions", content["transactions"])
    check_tuple("transactions", raws, 0, MAX_BATCH)
    found = tuple(raw for raw in raws if isinstance(raw, bytes))
    if len(found) != len(raws):
        raise MalformedTransaction("transactions", "expected byte strings only")
    return found


def pack_ids(ids: Iterable[bytes]) -> bytes:
    """A message of transaction ids."""
    return codec.encode({"ids": list(ids)})


def unpack_ids(message: bytes) -> tuple[bytes, ...]:
    """The ids (32 bytes each) of a message.

    Raises:
        MalformedTransaction: Too long, not canonical dag-cbor, or not a list of ids.
    """
    content = as_map("message", codec.decode(message, MAX_IDS * 64))
    check_keys("message", content, frozenset({"ids"}))
    ids = as_tuple("ids", content["ids"])
    check_tuple("ids", ids, 0, MAX_IDS)
    for number, tx_id in enumerate(ids):
        check_digest(f"ids[{number}]", tx_id)
    return tuple(tx_id for tx_id in ids if isinstance(tx_id, bytes))
