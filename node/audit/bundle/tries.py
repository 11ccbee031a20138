"""Ethereum's ordered trie: what a header's `transactionsRoot` and `receiptsRoot` commit to.

Keys are the RLP of the position (0, 1, …), values the encoded transactions or receipts.
Source: Ethereum Yellow Paper, appendix D (Modified Merkle Patricia Tree) and section 4.4.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import rlp
from eth_utils.crypto import keccak

if TYPE_CHECKING:
    from collections.abc import Sequence

EMPTY_ROOT: Final = keccak(rlp.encode(b""))
"""The root of no values."""

_Items = list[tuple[bytes, bytes]]


def ordered_root(values: Sequence[bytes]) -> bytes:
    """The trie's root (32 bytes) over values in their order."""
    if not values:
        return EMPTY_ROOT
    items = sorted((_nibbles(rlp.encode(position)), value) for position, value in enumerate(values))
    return bytes(keccak(rlp.encode(_node(items, 0))))


def _nibbles(key: bytes) -> bytes:
    return bytes(half for byte in key for half in (byte >> 4, byte & 15))


def _node(items: _Items, depth: int) -> list[object]:
    """The node over items in ascending order whose keys agree in their first `depth` nibbles."""
    first, last = items[0][0], items[-1][0]
    if len(items) == 1:
        return [_path(first[depth:], leaf=True), items[0][1]]
    shared = depth
    while shared < min(len(first), len(last)) and first[shared] == last[shared]:
        shared += 1
    if shared > depth:
        return [_path(first[depth:shared], leaf=False), _child(items, shared)]
    children: list[object] = [
        _child([item for item in items if len(item[0]) > depth and item[0][depth] == nibble], depth + 1)
        for nibble in range(16)
    ]
    return [*children, next((value for key, value in items if len(key) == depth), b"")]


def _child(items: _Items, depth: int) -> object:
    """A node as its parent holds it: whole if shorter than 32 bytes, else by its hash."""
    if not items:
        return b""
    node = _node(items, depth)
    raw = rlp.encode(node)
    return node if len(raw) < 32 else keccak(raw)


def _path(nibbles: bytes, *, leaf: bool) -> bytes:
    """Hex-prefix encoding (appendix C)."""
    flag = 2 * leaf + len(nibbles) % 2
    packed = bytes([flag, *nibbles]) if len(nibbles) % 2 else bytes([flag, 0, *nibbles])
    return bytes(high << 4 | low for high, low in zip(packed[::2], packed[1::2], strict=True))
