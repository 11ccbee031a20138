"""What a node checks about an update before its ledger takes the transaction (DAG-3).

The ciphertexts are locked then: all that can be said of them is that they are there and have the right form. What is inside
is looked at when the member reveals (`node.rounds.steps.unlocking`).
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from crypto.locking import verify_locked
from node.errors import LyingPeer
from node.rounds.records import UpdateManifest

if TYPE_CHECKING:
    from collections.abc import Callable

    from crypto.keys import JointKey
    from dag.transaction import Transaction
    from node.storage.source import ManyBlobs

MAX_ROUNDS = 4
"""How many rounds' chunk owners are remembered."""


class UpdateChecks:
    """Fetches and checks updates' manifests and chunks; safe to use from several threads.

    Args:
        blobs: Gets blobs.
        joint_key: The joint key of an epoch; raises while it is not known.
        size_of: The number of parameters of a round's model; raises while its plan is not known.
    """

    def __init__(
        self,
        blobs: ManyBlobs,
        joint_key: Callable[[int], JointKey],
        size_of: Callable[[int], int],
    ) -> None:
        self._blobs = blobs
        self._joint_key = joint_key
        self._size_of = size_of
        self._owners: dict[int, dict[str, bytes]] = {}
        self._lock = threading.Lock()

    def check(self, transaction: Transaction, sender: str | None) -> None:
        """Fetch everything an update points to and check it; afterwards it is all in the local store.

        Raises:
            LyingPeer: Manifest or chunks are not what the transaction says, or are another member's.
            CryptoError: A chunk has not the form of a locked chunk; the error names the field.
            BlobUnavailable: Something cannot be had yet.
        """
        if transaction.payload is None:
            raise LyingPeer(f"update {transaction.id.hex()[:16]}… has no payload")
        manifest = UpdateManifest.from_bytes(self._blobs.obtain(transaction.payload, sender))
        self._check_manifest(transaction, manifest)
        self._claim(transaction, manifest, keep=False)
        params = self._joint_key(transaction.epoch).params
        self._blobs.obtain_all(manifest.chunks, sender, lambda chunk: verify_locked(chunk, params))
        self._claim(transaction, manifest, keep=True)

    def _check_manifest(self, transaction: Transaction, manifest: UpdateManifest) -> None:
        body = transaction.body
        params = self._joint_key(transaction.epoch).params
        size = self._size_of(transaction.round)
        expected = {
            "consortium": transaction.consortium,
            "epoch": transaction.epoch,
            "round": transaction.round,
            "issuer": transaction.issuer,
            "parameter_set": getattr(body, "parameter_set", b""),
            "layout": getattr(body, "layout", b""),
            "size": size,
        }
        for name, value in expected.items():
            if getattr(manifest, name) != value:
                raise LyingPeer(
                    f"update {transaction.id.hex()[:16]}…: its manifest says another {name}",
                    transaction=transaction.id.hex(),
                    manifest=str(transaction.payload),
                )
        if len(manifest.chunks) != params.chunks(size) or len(set(manifest.chunks)) != len(manifest.chunks):
            raise LyingPeer(
                f"update {transaction.id.hex()[:16]}…: {len(manifest.chunks)} chunks, expected {params.chunks(size)} "
                f"different ones for {size} parameters",
                transaction=transaction.id.hex(),
            )

    def _claim(self, transaction: Transaction, manifest: UpdateManifest, *, keep: bool) -> None:
        """No chunk belongs to two members: re-posting another's ciphertext would count it twice.

        Only an update that passed every other check keeps its claim: a thief's that falls for another reason must not
        shut the owner out.
        """
        with self._lock:
            owners = self._owners.setdefault(transaction.round, {})
            while len(self._owners) > MAX_ROUNDS:
                self._owners.pop(min(self._owners))
            for cid in manifest.chunks:
                if owners.get(cid, transaction.issuer) != transaction.issuer:
                    raise LyingPeer(
                        f"update {transaction.id.hex()[:16]}… re-posts a ciphertext of 0x{owners[cid].hex()[:8]}…",
                        transaction=transaction.id.hex(),
                        chunk=cid,
                    )
            if keep:
                owners.update(dict.fromkeys(manifest.chunks, transaction.issuer))
