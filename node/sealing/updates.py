"""Sealed updates in the blob store: encrypt chunk by chunk, add chunk by chunk. Memory is bounded by a few chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crypto.sealing import Sealer, add

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from crypto.keys import JointKey
    from crypto.parameters import ParameterSet
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


def add_updates(updates: Sequence[Sequence[str]], params: ParameterSet, source: ChunkSource) -> tuple[str, ...]:
    """Add updates under encryption, chunk by chunk, and store the sum.

    Anyone with the same ciphertexts gets the same bytes, hence the same CIDs; no key is needed (CRY-7).

    Args:
        updates: Per update its chunks' CIDs, all of one length.
        params: Their encryption parameters.
        source: Gives the chunks and takes the sums.
    """
    return tuple(
        source.store.put(add((source.obtain(cid) for cid in column), params)) for column in zip(*updates, strict=True)
    )
