"""Transactions as JSON rows, fast: what never changes of a row is made once and kept, the rest is put behind it.

A page of a hundred transactions costs a hundred cell reads under the ledger's lock instead of a hundred rows read from disk,
decoded and written out. `TransactionShape` describes the rows; a test holds both to each other.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

from dag.ids import cid_of
from node.api.shapes import checksummed, plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dag.ledger import Ledger
    from dag.transaction import Transaction
    from node.consortium.view import ConsortiumView

KEPT_BYTES: Final = 8 << 20
"""Most bytes of rows that are kept."""


class TransactionRows:
    """Rows of one node's ledger; safe to use from several threads.

    Args:
        kept_bytes: Most bytes of rows to keep.
    """

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._most = kept_bytes
        self._held = 0
        self._kept: OrderedDict[bytes, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def rows(self, ledger: Ledger, ids: Sequence[bytes], view: ConsortiumView) -> list[bytes]:
        """The rows of some transactions; the ledger's lock is the caller's.

        Args:
            ledger: The ledger.
            ids: Attached transactions.
            view: Knows the issuers' names.

        Raises:
            UnknownTransaction: One is not attached.
            StoreCorrupt: A row of the file does not hold what was written.
        """
        tangle = ledger.tangle
        return [
            b'%s,"confirmed":%s,"weight":%d}'
            % (
                self._unchanging(ledger, tx_id, view),
                b"true" if tangle.is_confirmed(tx_id) else b"false",
                tangle.approval_weight(tx_id),
            )
            for tx_id in ids
        ]

    def _unchanging(self, ledger: Ledger, tx_id: bytes, view: ConsortiumView) -> bytes:
        with self._lock:
            text = self._kept.get(tx_id)
            if text is not None:
                self._kept.move_to_end(tx_id)
                return text
        transaction = ledger.get(tx_id)
        text = json.dumps(unchanging(transaction, view), separators=(",", ":")).encode()[:-1]
        if not transaction.parents or transaction.issuer in view.seats:  # an issuer may become known later
            self._keep(tx_id, text)
        return text

    def _keep(self, tx_id: bytes, text: bytes) -> None:
        with self._lock:
            self._held += len(text) - len(self._kept.pop(tx_id, b""))
            self._kept[tx_id] = text
            while self._held > self._most:
                self._held -= len(self._kept.popitem(last=False)[1])


def unchanging(tx: Transaction, view: ConsortiumView) -> dict[str, Any]:
    """Every field of a row but `confirmed` and `weight`."""
    issuer = tx.issuer if tx.parents else b""
    seat = view.seats.get(issuer)
    return {
        "id": cid_of(tx.id),
        "hex": tx.id.hex(),
        "kind": str(tx.kind),
        "round": tx.round,
        "epoch": tx.epoch,
        "sequence": tx.sequence,
        "issuer": checksummed(issuer) if issuer else None,
        "seat": seat,
        "hospital": None if seat is None else view.hospitals[seat].name,
        "parents": [cid_of(parent) for parent in tx.parents],
        "payload": tx.payload,
        "body": {field.name: plain(getattr(tx.body, field.name)) for field in fields(tx.body)},
        "signature": tx.signature.hex(),
        "bytes": len(tx.raw),
    }


def listed(name: str, rows: Iterable[bytes], **more: Any) -> bytes:
    """A JSON object with a list of rows under a name, and further fields."""
    rest = "".join(f",{json.dumps(key)}:{json.dumps(value)}" for key, value in more.items())
    return b'{"%s":[%s]%s}' % (name.encode(), b",".join(rows), rest.encode())
