"""How much a machine keeps in memory."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SyncStats:
    """Sizes of everything that peers can make grow.

    Attributes:
        peers: connected peers.
        queued_messages: messages waiting to be served.
        queued_bytes: their bytes.
        wants: ids asked for or about to be.
        held: transactions held back for later.
        checking: transactions whose payload is being checked or waits for it.
        parked: ids remembered as waiting for their parents in the ledger.
        refused: ids remembered as refused.
        own: own transactions that too few peers have.
        paged_bytes: bytes of pages that wait for earlier ones.
        catching_up: whether pages are being fetched.
    """

    peers: int
    queued_messages: int
    queued_bytes: int
    wants: int
    held: int
    checking: int
    parked: int
    refused: int
    own: int
    paged_bytes: int
    catching_up: bool
