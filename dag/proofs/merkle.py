"""Merkle trees that prove membership *and position*.

The tree of RFC 6962 (section 2.1; RFC 9162 restates it) over 32-byte leaves with sha2-256: a leaf hashes as
H(0x00 ‖ leaf), an inner node as H(0x01 ‖ left ‖ right), and a list of n leaves splits at the largest power of two
below n. The empty list has root H(""). Proofs are verified offline; nothing here needs the tree to be kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dag.errors import ProofFailed
from dag.ids import ID_BYTES, sha256

if TYPE_CHECKING:
    from collections.abc import Sequence

_LEAF: Final = b"\x00"
_NODE: Final = b"\x01"
_MAX_PATH: Final = 64


@dataclass(frozen=True)
class Proof:
    """That a leaf stands at one position of a list.

    Attributes:
        index: position of the leaf, 0 ≤ index < size.
        size: number of leaves in the list.
        path: sibling digests (32 bytes each) from the leaf up to the root.
    """

    index: int
    size: int
    path: tuple[bytes, ...]


@dataclass(frozen=True)
class ConsistencyProof:
    """That a list of `old_size` leaves is a prefix of a list of `new_size` leaves.

    Attributes:
        old_size: leaves in the older list, ≥ 1.
        new_size: leaves in the newer list, ≥ old_size.
        path: digests (32 bytes each) in the order of RFC 6962, section 2.1.2.
    """

    old_size: int
    new_size: int
    path: tuple[bytes, ...]


def leaf_hash(leaf: bytes) -> bytes:
    """H(0x00 ‖ leaf) for a 32-byte leaf.

    Raises:
        ValueError: the leaf is not 32 bytes long.
    """
    if len(leaf) != ID_BYTES:
        raise ValueError(f"a leaf has {ID_BYTES} bytes, not {len(leaf)}")
    return sha256(_LEAF + leaf)


def node_hash(left: bytes, right: bytes) -> bytes:
    """H(0x01 ‖ left ‖ right)."""
    return sha256(_NODE + left + right)


def root(leaves: Sequence[bytes]) -> bytes:
    """The root (32 bytes) of a list of 32-byte leaves; H("") for none."""
    if not leaves:
        return sha256(b"")
    level = [leaf_hash(leaf) for leaf in leaves]
    # Pairing neighbours and lifting an odd last node gives the same tree as RFC 6962's recursive split.
    while len(level) > 1:
        odd = level[-1:] if len(level) % 2 else []
        level = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)] + odd
    return level[0]


def inclusion_proof(leaves: Sequence[bytes], index: int) -> Proof:
    """The audit path of `leaves[index]` (RFC 6962, section 2.1.1).

    Raises:
        IndexError: no such position.
    """
    if not 0 <= index < len(leaves):
        raise IndexError(f"position {index} in a list of {len(leaves)} leaves")
    level = [leaf_hash(leaf) for leaf in leaves]
    path: list[bytes] = []
    at = index
    while len(level) > 1:
        if at ^ 1 < len(level):
            path.append(level[at ^ 1])
        odd = level[-1:] if len(level) % 2 else []
        level = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)] + odd
        at //= 2
    return Proof(index, len(leaves), tuple(path))


def verify_inclusion(expected_root: bytes, leaf: bytes, proof: Proof) -> None:
    """Demands that `leaf` stands at `proof.index` of the `proof.size` leaves under `expected_root`.

    Raises:
        ProofFailed: it is not proven; the message says why.
    """
    if not 0 <= proof.index < proof.size or len(proof.path) > _MAX_PATH or len(leaf) != ID_BYTES:
        raise ProofFailed(f"no position {proof.index} in {proof.size} leaves, or the path or leaf has a wrong length")
    node, at, last = leaf_hash(leaf), proof.index, proof.size - 1
    for sibling in proof.path:
        if last == 0:
            raise ProofFailed(f"path of {len(proof.path)} digests is longer than the tree is high")
        if at % 2 or at == last:
            node = node_hash(sibling, node)
            while at % 2 == 0 and at:
                at, last = at // 2, last // 2
        else:
            node = node_hash(node, sibling)
        at, last = at // 2, last // 2
    if last:
        raise ProofFailed(f"path of {len(proof.path)} digests is shorter than the tree is high")
    if node != expected_root:
        raise ProofFailed(f"path leads to root {node.hex()}, expected {expected_root.hex()}")


def consistency_proof(leaves: Sequence[bytes], old_size: int) -> ConsistencyProof:
    """Proves that the first `old_size` leaves were not rewritten (RFC 6962, section 2.1.2).

    Raises:
        IndexError: `old_size` is not within 1 … len(leaves).
    """
    if not 1 <= old_size <= len(leaves):
        raise IndexError(f"old size {old_size} is outside 1…{len(leaves)}")
    return ConsistencyProof(old_size, len(leaves), tuple(_subproof(leaves, old_size, whole=True)))


def verify_consistency(old_root: bytes, new_root: bytes, proof: ConsistencyProof) -> None:
    """Demands that the list under `new_root` begins with the list under `old_root` (RFC 9162, section 2.1.4.2).

    Raises:
        ProofFailed: it is not proven; the message says why.
    """
    if not 1 <= proof.old_size <= proof.new_size or len(proof.path) > 2 * _MAX_PATH:
        raise ProofFailed(
            f"sizes {proof.old_size} and {proof.new_size}, or a path of {len(proof.path)}, are impossible"
        )
    path = list(proof.path)
    if proof.old_size == proof.new_size:
        if path or old_root != new_root:
            raise ProofFailed("lists of one size are consistent only if their roots are equal and the path is empty")
        return
    if proof.old_size & (proof.old_size - 1) == 0:
        path.insert(0, old_root)
    old, new = _climb(path, proof)
    if old != old_root or new != new_root:
        raise ProofFailed(f"path leads to roots {old.hex()} and {new.hex()}")


def _climb(path: list[bytes], proof: ConsistencyProof) -> tuple[bytes, bytes]:
    at, last = proof.old_size - 1, proof.new_size - 1
    while at % 2:
        at, last = at // 2, last // 2
    if not path:
        raise ProofFailed("the path is empty")
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise ProofFailed("the path is longer than the tree is high")
        if at % 2 or at == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while at % 2 == 0 and at:
                at, last = at // 2, last // 2
        else:
            new = node_hash(new, sibling)
        at, last = at // 2, last // 2
    if last:
        raise ProofFailed("the path is shorter than the tree is high")
    return old, new


def _subproof(leaves: Sequence[bytes], old_size: int, *, whole: bool) -> list[bytes]:
    size = len(leaves)
    if old_size == size:
        return [] if whole else [root(leaves)]
    split = 1 << ((size - 1).bit_length() - 1)
    if old_size <= split:
        return [*_subproof(leaves[:split], old_size, whole=whole), root(leaves[split:])]
    return [*_subproof(leaves[split:], old_size - split, whole=False), root(leaves[:split])]
