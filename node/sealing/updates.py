"""Sealed updates in the blob store: encrypt and lock chunk by chunk, unlock and add chunk by chunk; a few chunks in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from crypto.sealing import verify_chunk_of
from crypto.streaming import add_stream

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from crypto.locking import UpdateLock
    from crypto.parameters import ParameterSet
    from node.sealing.source import ChunkSource, ChunkStore


@dataclass(frozen=True)
class LockedUpdate:
    """One member's update in the blob store, and what unlocks it."""

    chunks: tuple[str, ...]
    """CIDs of the locked chunks, in order."""
    size: int
    """Number of values."""
    lock: UpdateLock = field(repr=False)


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
    for index, chunk in enumerate(chunks):
        locked = lock.lock(index, chunk)
        cids.append(store.put(locked))
        size += len(locked)
    return tuple(cids), size


def unlocked_chunks(update: LockedUpdate, params: ParameterSet, source: ChunkSource) -> Iterator[bytes]:
    """An update's sealed chunks in order, each checked to be the fresh ciphertext of its place.

    Raises:
        CryptoError: A chunk does not open under the lock, or what was locked is no such ciphertext.
    """
    for index, cid in enumerate(update.chunks):
        chunk = update.lock.unlock(index, source.obtain(cid))
        verify_chunk_of(chunk, params, update.lock.epoch, index, update.size)
        yield chunk


def verify_update(update: LockedUpdate, params: ParameterSet, source: ChunkSource) -> None:
    """Raise unless every chunk opens under the lock and is the fresh ciphertext of its place.

    Raises:
        CryptoError: As `unlocked_chunks`.
    """
    for _ in unlocked_chunks(update, params, source):
        pass


def add_updates(updates: Sequence[LockedUpdate], params: ParameterSet, source: ChunkSource) -> tuple[str, ...]:
    """Add updates under encryption, chunk by chunk, and store the sum.

    Anyone with the same ciphertexts gets the same bytes, hence the same CIDs; no key of the epoch is needed (CRY-7).

    Args:
        updates: The updates, revealed.
        params: Their encryption parameters.
        source: Gives the chunks and takes the sums.

    Raises:
        CryptoError: A chunk is not what it should be, or the updates differ in length.
    """
    streams = [unlocked_chunks(update, params, source) for update in updates]
    return tuple(source.store.put(total) for total in add_stream(streams, params))
