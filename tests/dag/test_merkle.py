"""Merkle trees against the recursive definition of RFC 6962."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dag.errors import ProofFailed
from dag.ids import sha256
from dag.proofs.merkle import (
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


def path_by_definition(index: int, items: list[bytes]) -> list[bytes]:
    """PATH of RFC 6962, section 2.1.1, word for word."""
    if len(items) == 1:
        return []
    split = 1 << ((len(items) - 1).bit_length() - 1)
    if index < split:
        return [*path_by_definition(index, items[:split]), by_definition(items[split:])]
    return [*path_by_definition(index - split, items[split:]), by_definition(items[:split])]


def subproof_by_definition(old: int, items: list[bytes], *, known: bool) -> list[bytes]:
    """SUBPROOF of RFC 6962, section 2.1.2, word for word."""
    if old == len(items):
        return [] if known else [by_definition(items)]
    split = 1 << ((len(items) - 1).bit_length() - 1)
    if old <= split:
        return [*subproof_by_definition(old, items[:split], known=known), by_definition(items[split:])]
    return [*subproof_by_definition(old - split, items[split:], known=False), by_definition(items[:split])]


def test_every_proof_of_every_size_to_64():
    """DAG-9: each path is the one that RFC 6962 defines, and verifies."""
    items = leaves(64)
    for count in range(1, 65):
        some = items[:count]
        whole = by_definition(some)
        for index in range(count):
            proof = inclusion_proof(some, index)
            assert list(proof.path) == path_by_definition(index, some)
            verify_inclusion(whole, some[index], proof)


def test_every_consistency_proof_of_every_size_to_64():
    items = leaves(64)
    for count in range(1, 65):
        whole = by_definition(items[:count])
        for old in range(1, count + 1):
            proof = consistency_proof(items[:count], old)
            assert list(proof.path) == subproof_by_definition(old, items[:count], known=True)
            verify_consistency(by_definition(items[:old]), whole, proof)


@given(st.integers(2, 64), st.data())
def test_a_flipped_bit_anywhere_in_a_proof_is_noticed(count, data):
    items = leaves(count)
    index = data.draw(st.integers(0, count - 1))
    proof = inclusion_proof(items, index)
    step, bit = data.draw(st.integers(0, len(proof.path) - 1)), data.draw(st.integers(0, 255))
    path = [*proof.path]
    path[step] = (int.from_bytes(path[step], "big") ^ 1 << bit).to_bytes(32, "big")
    with pytest.raises(ProofFailed):
        verify_inclusion(root(items), items[index], Proof(index, count, tuple(path)))
    old = data.draw(st.integers(1, count - 1))
    grown = consistency_proof(items, old)
    path = [*grown.path]
    step = data.draw(st.integers(0, len(path) - 1))
    path[step] = (int.from_bytes(path[step], "big") ^ 1 << bit).to_bytes(32, "big")
    with pytest.raises(ProofFailed):
        verify_consistency(root(items[:old]), root(items), ConsistencyProof(old, count, tuple(path)))


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
