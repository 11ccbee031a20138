"""Work that is pure and the same on every node, done once for all of them.

Decoding bytes and recovering their signer depends on the bytes alone. A thousand nodes that receive the same transaction
would do it a thousand times; here they look it up. Nothing else is shared: each node verifies, stores and indexes for itself.
"""

from __future__ import annotations

from dag.transaction import Transaction


class Decoder:
    """Remembers transactions by their bytes. Only what decodes is remembered, so junk takes no room.

    Attributes:
        asked: how often bytes were to be decoded.
    """

    def __init__(self) -> None:
        self.asked = 0
        self._known: dict[bytes, Transaction] = {}

    def __len__(self) -> int:
        return len(self._known)

    def __call__(self, raw: bytes) -> Transaction:
        """The transaction in bytes from a hostile sender, the same object for the same bytes.

        Raises:
            MalformedTransaction: names the field that is wrong.
        """
        self.asked += 1
        found = self._known.get(raw)
        if found is None:
            found = self._known[raw] = Transaction.decode(raw)
        return found
