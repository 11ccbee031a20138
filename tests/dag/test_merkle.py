"""Merkle trees against the recursive definition of RFC 6962."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dag.errors import ProofFailed
from dag.ids import sha256
from dag.merkle import (
    ConsistencyProof,
    Proof,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root,
    verify_consistency,
    verify_inclusion,
)


def leaves(count: int) -> list[bytes]:
    return [sha256(number.to_bytes(2, "big")) for number in range(count)]


def by_definition(items: list[bytes]) -> bytes:
    """MTH of RFC 6962, section 2.1, word for word."""
    if not items:
        return sha256(b"")
    if len(items) == 1:
        return sha256(b"\x00" + items[0])
    split = 1
    while split * 2 < len(items):
        split *= 2
    return sha256(b"\x01" + by_definition(items[:split]) + by_definition(items[split:]))


@given(st.integers(0, 70))
def test_root_is_as_defined(count):
    assert root(leaves(count)) == by_definition(leaves(count))


@given(st.integers(1, 70), st.data())
def test_inclusion(count, data):
    items = leaves(count)
    index = data.draw(st.integers(0, count - 1))
    proof = inclusion_proof(items, index)
    verify_inclusion(root(items), items[index], proof)
    for other in range(count):
        if other != index:
            with pytest.raises(ProofFailed):
                verify_inclusion(root(items), items[other], proof)
            with pytest.raises(ProofFailed):
                verify_inclusion(root(items), items[index], Proof(other, count, proof.path))
    for path in (proof.path[:-1], (*proof.path, items[0]), tuple(reversed(proof.path))):
        if path != proof.path:
            with pytest.raises(ProofFailed):
                verify_inclusion(root(items), items[index], Proof(index, count, path))


@given(st.integers(1, 70), st.data())
def test_consistency(count, data):
    items = leaves(count)
    old = data.draw(st.integers(1, count))
    proof = consistency_proof(items, old)
    verify_consistency(root(items[:old]), root(items), proof)
    rewritten = [*items]
    rewritten[data.draw(st.integers(0, old - 1))] = sha256(b"rewritten")
    with pytest.raises(ProofFailed):
        verify_consistency(root(rewritten[:old]), root(items), proof)
    for path in (proof.path[:-1], (*proof.path, items[0])):
        if path != proof.path:
            with pytest.raises(ProofFailed):
                verify_consistency(root(items[:old]), root(items), ConsistencyProof(old, count, path))


def test_a_node_is_no_leaf():
    items = leaves(4)
    inner = sha256(b"\x01" + leaf_hash(items[0]) + leaf_hash(items[1]))
    with pytest.raises(ProofFailed):
        verify_inclusion(root(items), inner, Proof(0, 2, (inclusion_proof(items, 0).path[1],)))


def test_impossible_arguments():
    items = leaves(3)
    with pytest.raises(IndexError):
        inclusion_proof(items, 3)
    with pytest.raises(IndexError):
        consistency_proof(items, 0)
    with pytest.raises(ValueError, match="32 bytes"):
        root([b"short"])
    for proof in (Proof(-1, 3, ()), Proof(3, 3, ()), Proof(0, 3, (items[0],) * 99)):
        with pytest.raises(ProofFailed):
            verify_inclusion(root(items), items[0], proof)
    for proof in (ConsistencyProof(0, 3, ()), ConsistencyProof(4, 3, ()), ConsistencyProof(3, 3, (items[0],))):
        with pytest.raises(ProofFailed):
            verify_consistency(root(items), root(items), proof)
    with pytest.raises(ProofFailed):
        verify_consistency(root(items[:2]), root(items[:2]), ConsistencyProof(3, 5, ()))
