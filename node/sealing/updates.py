"""Sealed updates in the blob store: encrypt and lock chunk by chunk, unlock and add chunk by chunk; a few chunks in memory."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from crypto.sealing import Sealer, verify_chunk_of
from crypto.streaming import SealingPool, add_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from crypto.keys import JointKey
    from crypto.locking import UpdateLock
    from crypto.parameters import ParameterSet
    from node.sealing.quantising import QuantisedUpdate
    from node.sealing.source import ChunkSource, ChunkStore


@dataclass(frozen=True)
class LockedUpdate:
    """One member's update in the blob store, and what unlocks it."""

    chunks: tuple[str, ...]
    """CIDs of the locked chunks, in order."""
    size: int
    """Number of values."""
    lock: UpdateLock = field(repr=False)


POOL_CHUNKS = 2048
"""From this many chunks (50 million values) on sealing uses processes: one core seals them in 4 s, and below that starting
processes and sending chunks between them costs what they save, or more on a machine that is busy."""


@functools.lru_cache(maxsize=2)
def sealer_of(joint: JointKey) -> Sealer:
    """A key epoch's sealer; preparing it takes as long as sealing a dozen chunks."""
    return Sealer(joint)


def seal_update(
    values: QuantisedUpdate,
    joint: JointKey,
    lock: UpdateLock,
    store: ChunkStore,
    told: Callable[[float], None] = lambda _share: None,
) -> tuple[tuple[str, ...], int]:
    """Quantise, seal, lock and store an update, chunk by chunk; all cores where it is large.

    Args:
        values: The update, not taken yet.
        joint: The epoch's public key.
        lock: The member's lock of this round.
        store: Receives the locked chunks.
        told: Called with the share done, 0 … 1.

    Returns:
        The locked chunks' CIDs in order, and their total size in bytes.

    Raises:
        ValueOutOfRange: The update has values that are not finite.
    """
    count = joint.params.chunks(values.size)
    workers = max(1, len(os.sched_getaffinity(0)) - 1) if count >= POOL_CHUNKS else 1  # this process stores beside them
    with SealingPool(joint, workers, sealer_of(joint)) as pool:
        return store_locked(_telling(pool.seal(values), count, told), lock, store)


def _telling(chunks: Iterable[bytes], count: int, told: Callable[[float], None]) -> Iterator[bytes]:
    for done, chunk in enumerate(chunks):
        told(done / count)
        yield chunk


def store_locked(chunks: Iterable[bytes], lock: UpdateLock, store: ChunkStore) -> tuple[tuple[str, ...], int]:
    """Lock sealed chunks and store them, as they come.

    Args:
        chunks: The sealed chunks in order.
        lock: The member's lock of this round.
        store: Receives the locked chunks.

    Returns:
        The locked chunks' CIDs in order, and their total size in bytes.
    """
    cids, size = [], 0
    with store.batch() as batch:
        for index, chunk in enumerate(chunks):
            locked = lock.lock(index, chunk)
            cids.append(batch.put(locked))
            size += len(locked)
    return tuple(cids), size


WHOLE = slice(None)
"""All chunks of an update."""


def unlocked_chunks(
    update: LockedUpdate, params: ParameterSet, source: ChunkSource, which: slice = WHOLE
) -> Iterator[bytes]:
    """An update's sealed chunks in order, each checked to be the fresh ciphertext of its place.

    Args:
        update: The update, revealed.
        params: Its encryption parameters.
        source: Gives the chunks.
        which: Which of them; no other is asked for.

    Raises:
        CryptoError: A chunk does not open under the lock, or what was locked is no such ciphertext.
    """
    for index in range(len(update.chunks))[which]:
        chunk = update.lock.unlock(index, source.obtain(update.chunks[index]))
        verify_chunk_of(chunk, params, update.lock.epoch, index, update.size)
        yield chunk


def verify_update(update: LockedUpdate, params: ParameterSet, source: ChunkSource) -> None:
    """Raise unless every chunk opens under the lock and is the fresh ciphertext of its place.

    Raises:
        CryptoError: As `unlocked_chunks`.
    """
    for _ in unlocked_chunks(update, params, source):
        pass


def add_updates(
    updates: Sequence[LockedUpdate], params: ParameterSet, source: ChunkSource, which: slice = WHOLE
) -> tuple[str, ...]:
    """Add updates under encryption, chunk by chunk, and store the sum.

    Anyone with the same ciphertexts gets the same bytes, hence the same CIDs; no key of the epoch is needed (CRY-7).

    Args:
        updates: The updates, revealed.
        params: Their encryption parameters.
        source: Gives the chunks and takes the sums.
        which: Which chunks are added; the others are not looked at.

    Returns:
        The sums' CIDs in order.

    Raises:
        CryptoError: A chunk is not what it should be, or the updates differ in length.
    """
    streams = [unlocked_chunks(update, params, source, which) for update in updates]
    with source.store.batch() as batch:
        return tuple(batch.put(total) for total in add_stream(streams, params))
