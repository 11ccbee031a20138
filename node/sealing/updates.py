"""Sealed updates in the blob store: encrypt chunk by chunk, add chunk by chunk. Memory is bounded by a few chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crypto.sealing import Sealer, sum_chunks

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from crypto.keys import JointKey
    from node.sealing.source import ChunkSource, ChunkStore


def seal_chunks(values: NDArray[np.int64], joint: JointKey, store: ChunkStore) -> tuple[tuple[str, ...], int]:
    """Encrypt an update under the joint key and store it.

    Args:
        values: Quantised update, int64 [D].
        joint: The epoch's public key.
        store: Receives the chunks.

    Returns:
        The chunks' CIDs in order, and their total size in bytes.
    """
    cids, size = [], 0
    for chunk in Sealer(joint).seal(values):
        cids.append(store.put(chunk))
        size += len(chunk)
    return tuple(cids), size


def add_updates(updates: Sequence[Sequence[str]], joint: JointKey, seed: bytes, source: ChunkSource) -> tuple[str, ...]:
    """Add updates under encryption, blinded by a public encryption of zero, and store the sum.

    Anyone with the same ciphertexts gets the same bytes, hence the same CIDs (CRY-7).

    Args:
        updates: Per update its chunks' CIDs, all of one length.
        joint: The epoch's public key.
        seed: 32 bytes fixed only after every update was posted; expands to the encryption of zero.
        source: Gives the chunks and takes the sums.
    """
    cids = []
    for index, column in enumerate(zip(*updates, strict=True)):
        cids.append(source.store.put(sum_chunks(joint, [source.obtain(cid) for cid in column], seed, index)))
    return tuple(cids)
