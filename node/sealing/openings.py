"""Partial openings: made, sealed to the members, combined."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crypto import envelope
from crypto.opening import Opener, combine

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from crypto.keys import MemberKey
    from node.sealing.updates import Source


def _bound(context: bytes, index: int) -> bytes:
    """Associated data of one chunk's opening: what it is about, and which chunk."""
    return context + index.to_bytes(4, "big")


def release_openings(
    chunks: Sequence[str], member: MemberKey, openers: Sequence[int], context: bytes, source: Source
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
    opener = Opener(member, openers)
    cids, size = [], 0
    for index, cid in enumerate(chunks):
        sealed = envelope.seal(member.content, _bound(context, index), opener.partial(source.obtain(cid)))
        cids.append(source.store.put(sealed))
        size += len(sealed)
    return tuple(cids), size


def open_sum(
    chunks: Sequence[str],
    sealed: Mapping[int, Sequence[str]],
    contexts: Mapping[int, bytes],
    member: MemberKey,
    source: Source,
) -> NDArray[np.int64]:
    """The integers in a sum, int64 [D], from the partial openings of one complete opener set.

    Args:
        chunks: CIDs of the sum's chunks.
        sealed: Per opener, the CIDs of its sealed openings, one a chunk.
        contexts: Per opener, what its openings are bound to.
        member: This member's secrets; only its content key is used.
        source: Gives the blobs.

    Raises:
        CryptoError: An opening does not belong here or does not add up; the error names the member where it can be known.
    """
    params, parts = member.params, []
    for index, cid in enumerate(chunks):
        partials = {
            opener: envelope.open_(member.content, _bound(contexts[opener], index), source.obtain(cids[index]))
            for opener, cids in sealed.items()
        }
        parts.append(combine(source.obtain(cid), partials, params, member.members))
    return np.concatenate(parts)
