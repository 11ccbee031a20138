"""CHN-2: the leaders' order, against a slow reference, and as a golden vector."""

from __future__ import annotations

import hashlib
from collections import Counter

import pytest
from eth_utils.crypto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.errors import BadArgument
from chain.leader import ranking

SEED = keccak(text="seed")
addresses = st.lists(st.binary(min_size=20, max_size=20), min_size=1, max_size=12, unique=True)


@st.composite
def consortia(draw: st.DrawFn) -> tuple[list[bytes], list[int]]:
    members = draw(addresses)
    weights = draw(st.lists(st.integers(0, 50), min_size=len(members), max_size=len(members)))
    return members, weights


def reference(seed: bytes, members: list[bytes], weights: list[int]) -> list[bytes]:
    """One ball an address and unit of weight, in a row; slow, and nothing shared with the product."""
    row = [member for member, weight in sorted(zip(members, weights, strict=True)) for _ in range(weight)]
    order: list[bytes] = []
    while row:
        draw = int.from_bytes(keccak(seed + len(order).to_bytes(32, "big")), "big") % len(row)
        order.append(row[draw])
        row = [ball for ball in row if ball != order[-1]]
    return order + sorted(set(members) - set(order))


@given(consortium=consortia(), seed=st.binary(min_size=32, max_size=32))
def test_equals_drawing_balls(consortium: tuple[list[bytes], list[int]], seed: bytes) -> None:
    members, weights = consortium
    assert [members[index] for index in ranking(seed, members, weights)] == reference(seed, members, weights)


@given(consortium=consortia(), data=st.data())
def test_the_listing_does_not_matter(consortium: tuple[list[bytes], list[int]], data: st.DataObject) -> None:
    members, weights = consortium
    order = data.draw(st.permutations(range(len(members))))
    shuffled = ranking(SEED, [members[i] for i in order], [weights[i] for i in order])
    assert [order[index] for index in shuffled] == list(ranking(SEED, members, weights))


@settings(max_examples=20)
@given(consortium=consortia())
def test_every_member_has_one_rank(consortium: tuple[list[bytes], list[int]]) -> None:
    assert sorted(ranking(SEED, *consortium)) == list(range(len(consortium[0])))


def test_first_place_follows_the_weights() -> None:
    members = [bytes([i]) * 20 for i in range(3)]
    first = Counter(
        ranking(hashlib.sha256(bytes([i % 256, i // 256])).digest(), members, [1, 2, 7])[0] for i in range(2000)
    )
    assert [round(first[i] / 200) for i in range(3)] == [1, 2, 7]


def test_golden() -> None:
    """Computed once by `reference`; a change of either is a change of the protocol."""
    members = [keccak(bytes([i]))[:20] for i in range(6)]
    assert ranking(SEED, members, [1, 1, 1, 1, 1, 1]) == (0, 1, 2, 3, 5, 4)
    assert ranking(SEED, members, [0, 5, 0, 1000, 3, 100]) == (3, 5, 4, 1, 0, 2)


@pytest.mark.parametrize(
    ("seed", "members", "weights", "field"),
    [
        (b"short", [bytes(20)], [1], "seed"),
        (SEED, [], [], "members"),
        (SEED, [bytes(20), bytes(20)], [1, 1], "members"),
        (SEED, [bytes(19)], [1], "members"),
        (SEED, [bytes(20)], [], "weights"),
        (SEED, [bytes(20)], [-1], "weights"),
        (SEED, [bytes(20)], [2**64], "weights"),
        (SEED, [bytes(20)], [1.0], "weights"),
        (SEED, [i.to_bytes(20, "big") for i in range(257)], [1] * 257, "members"),
    ],
)
def test_bad_arguments_are_named(seed: bytes, members: list[bytes], weights: list[int], field: str) -> None:
    with pytest.raises(BadArgument) as caught:
        ranking(seed, members, weights)
    assert caught.value.field == field
