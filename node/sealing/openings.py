"""Partial openings: made, sealed to the members, combined."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from crypto import envelope
from crypto.envelope import Binding
from crypto.errors import MalformedBytes
from crypto.opening import Opener, PartialOpening, openers_bitmap
from crypto.streaming import OPENING_THREADS, combine_stream, open_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from crypto.keys import MemberKey
    from node.sealing.source import ChunkSource


THREADED_CHUNKS = 64
"""From this many chunks on a sum is opened with two threads; for fewer, 0.1 s at most, they only disturb each other."""


@dataclass(frozen=True)
class OpeningContext:
    """What one member's openings of one sum are bound to (associated data of the envelopes)."""

    epoch: int
    round: int
    proposal: bytes
    """Id (32 bytes) of the proposal that asked."""
    group: int
    """Which of its sums."""
    issuer: bytes
    """Address (20 bytes) of the member that opens."""

    def binding(self, chunk: int) -> Binding:
        """The binding of one chunk's opening; 128 bits of the proposal's id keep it unique."""
        kind = f"share/{self.proposal[:16].hex()}/{self.group}/{chunk}"
        return Binding(kind, self.epoch, self.round, self.issuer)


def release_openings(
    chunks: Sequence[str], member: MemberKey, openers: Sequence[int], context: OpeningContext, source: ChunkSource
) -> tuple[tuple[str, ...], int]:
    """This member's partial openings of one sum, each sealed to the members and stored.

    Args:
        chunks: CIDs of the sum's chunks.
        member: This member's secrets.
        openers: The T members that open together.
        context: What the openings are bound to (associated data).
        source: Gives the sum and takes the openings.

    Returns:
        The sealed openings' CIDs in order, and their total size in bytes.
    """
    sums = (source.obtain(cid) for cid in chunks)
    workers = OPENING_THREADS if len(chunks) >= THREADED_CHUNKS else 1
    cids, size = [], 0
    with source.store.batch() as batch:
        for index, partial in enumerate(open_stream(Opener(member, openers), sums, workers)):
            sealed = envelope.seal(member.content, context.binding(index), partial)
            cids.append(batch.put(sealed))
            size += len(sealed)
    return tuple(cids), size


def open_sum(
    chunks: Sequence[str],
    sealed: Mapping[int, Sequence[str]],
    contexts: Mapping[int, OpeningContext],
    member: MemberKey,
    source: ChunkSource,
    fetched: Callable[[int], Iterable[bytes]] | None = None,
) -> NDArray[np.int64]:
    """The integers in a sum, int64 [D], from the partial openings of one complete opener set.

    Args:
        chunks: CIDs of the sum's chunks.
        sealed: Per opener, the CIDs of its sealed openings, one a chunk.
        contexts: Per opener, what its openings are bound to.
        member: This member's secrets; only its content key is used.
        source: Gives the blobs.
        fetched: Gives one opener's sealed openings in order, where there is a faster way to them than one by one.

    Raises:
        CryptoError: An opening does not belong here or does not add up; the error names the member where it can be known.
    """

    def partials(opener: int) -> Iterator[bytes]:
        found = fetched(opener) if fetched else (source.obtain(cid) for cid in sealed[opener])
        for index, data in enumerate(found):
            yield envelope.open(member.content, contexts[opener].binding(index), data)

    sums = (source.obtain(cid) for cid in chunks)
    streams = {opener: partials(opener) for opener in sealed}
    return np.concatenate(list(combine_stream(sums, streams, member.params, member.members)))


def verify_openings(
    chunks: Sequence[str],
    sealed: Sequence[str],
    context: OpeningContext,
    opener: tuple[int, Sequence[int]],
    member: MemberKey,
    source: ChunkSource,
) -> None:
    """Raise unless one opener's sealed openings have the form of openings of these chunks.

    Args:
        chunks: CIDs of the sum's chunks.
        sealed: CIDs of the opener's sealed openings, one a chunk.
        context: What they are bound to.
        opener: The opener, and all openers of the sum.
        member: This member's secrets; only its content key is used.
        source: Gives the blobs.

    Raises:
        CryptoError: What is wrong with one of them.
    """
    number, openers = opener
    if len(sealed) != len(chunks):
        raise MalformedBytes("share.chunks", f"{len(sealed)} openings of {len(chunks)} chunks: expected one of each")
    for index, (chunk, cid) in enumerate(zip(chunks, sealed, strict=True)):
        data = envelope.open(member.content, context.binding(index), source.obtain(cid))
        opening = PartialOpening.from_bytes(data, member.params, context.epoch)
        opening.verify_form(number, openers_bitmap(openers), hashlib.sha256(source.obtain(chunk)).digest())
