"""The leaders' order of a round, derived off chain from its seed (CHN-2).

Integers only, so that every node and every auditor derives the same order. A pure function: who leads when, and for how
long, is the round's business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eth_utils.crypto import keccak

from chain.errors import BadArgument
from chain.records import ADDRESS_BYTES, MAX_MEMBERS, checked_digest, checked_integer

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_WEIGHT = 2**64 - 1


def ranking(seed: bytes, members: Sequence[bytes], weights: Sequence[int]) -> tuple[int, ...]:
    """All members in the order in which they lead, drawn by weight without replacement.

    The members are lined up by ascending address. For k = 0, 1, … the number x_k = keccak256(seed ‖ k as 32 bytes,
    big-endian) mod W, W being the weight still in the line, picks the member at whose place the running sum of weights
    first exceeds x_k; it leaves the line and takes rank k. Members of weight zero follow in order of address, so that
    a round never lacks a leader. The bias of the modulus is below 2^-184.

    Args:
        seed: The round's seed, 32 bytes (event RoundOpened).
        members: The members' addresses, 20 bytes each, distinct, in registry order.
        weights: For each member its weight, such as its reputation; 0 to 2^64 - 1.

    Returns:
        Indices into ``members``, the first leader first; the chosen addresses do not depend on the order of ``members``.

    Raises:
        BadArgument: If an argument is out of its range or the lengths differ.
    """
    checked_digest("seed", seed)
    if not 1 <= len(members) <= MAX_MEMBERS or len(set(members)) != len(members):
        raise BadArgument("members", f"1 to {MAX_MEMBERS} distinct addresses", len(members))
    if any(len(member) != ADDRESS_BYTES for member in members):
        raise BadArgument("members", f"addresses of {ADDRESS_BYTES} bytes", sorted({len(m) for m in members}))
    if len(weights) != len(members):
        raise BadArgument("weights", f"{len(members)} of them", len(weights))
    for weight in weights:
        checked_integer("weights", weight, 0, MAX_WEIGHT)
    line = sorted(range(len(members)), key=lambda index: members[index])
    order: list[int] = []
    remaining = sum(weights)
    while remaining:
        x = int.from_bytes(keccak(seed + len(order).to_bytes(32, "big")), "big") % remaining
        chosen = _at(line, weights, x)
        order.append(chosen)
        line.remove(chosen)
        remaining -= weights[chosen]
    return (*order, *line)


def _at(line: Sequence[int], weights: Sequence[int], x: int) -> int:
    """The member of the line at whose place the running sum of weights first exceeds x, which is below the sum."""
    for index in line[:-1]:
        if x < weights[index]:
            return index
        x -= weights[index]
    return line[-1]
