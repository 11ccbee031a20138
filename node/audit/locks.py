"""The locks of a round's updates, opened with what their members revealed (crypto/SECURITY.md, "Late posters")."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crypto.errors import CryptoError
from crypto.locking import UpdateLock
from crypto.sealing import verify_chunk_of
from dag.bodies import AcknowledgementBody, UpdateBody, commit
from node.errors import LyingPeer
from node.rounds.records import UpdateManifest

if TYPE_CHECKING:
    from node.audit.cone import Cone
    from node.audit.dossier import Dossier, Ledger
    from node.audit.notes import Link


def revealed(ledger: Ledger, cone: Cone) -> dict[bytes, bytes]:
    """The secret of each update of the round that some reveal in a proposal's past cone opens, by update id."""
    secrets: dict[tuple[int, bytes], bytes] = {}
    for tx_id in cone.round_ids:
        body = ledger.body(tx_id)
        if isinstance(body, AcknowledgementBody) and body.reveal is not None:
            secrets[ledger.issuers[tx_id], commit(body.reveal)] = body.reveal
    found: dict[bytes, bytes] = {}
    for tx_id in cone.round_ids:
        body = ledger.body(tx_id)
        if isinstance(body, UpdateBody) and (secret := secrets.get((ledger.issuers[tx_id], body.commitment))):
            found[tx_id] = secret
    return found


def lock_of(dossier: Dossier, update: bytes) -> UpdateLock | None:
    """The lock of an update in the segment; None where no reveal opens it."""
    ledger = dossier.ledger
    if ledger is None or (secret := revealed(ledger, ledger.cone).get(update)) is None:
        return None
    issuer = ledger.transactions[update].issuer
    return UpdateLock.from_reveal(secret, issuer, dossier.here.row.epoch, dossier.here.number)


def is_malformed(dossier: Dossier, update: bytes, link: Link) -> bool | None:
    """Whether what an update locked is no update, so that every member had to leave it out.

    Returns:
        None where that cannot be told; the reason was noted, or the epoch's parameters are not known.
    """
    ledger, params, lock = dossier.ledger, dossier.params, lock_of(dossier, update)
    if ledger is None or params is None or lock is None:
        return None
    name = f"update {update.hex()[:16]}…, which was left out"
    data = dossier.reader.read(ledger.transactions[update].payload or "", f"manifest of {name}", link)
    if data is None:
        return None
    try:
        manifest = UpdateManifest.from_bytes(data)
    except LyingPeer:
        return True
    for index, cid in enumerate(manifest.chunks):
        locked = dossier.reader.read(cid, f"chunk {index} of {name}", link)
        if locked is None:
            return None
        try:
            verify_chunk_of(lock.unlock(index, locked), params, lock.epoch, index, manifest.size)
        except CryptoError:
            return True
    return False
