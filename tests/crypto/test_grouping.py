"""The differencing rule against linear algebra: what is allowed isolates nobody."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.errors import GroupTooSmall
from crypto.grouping import verify_grouping


def ids(text: str) -> frozenset[bytes]:
    return frozenset(letter.encode() for letter in text)


@pytest.mark.parametrize(
    ("groups", "opened"),
    [
        (["abc", "def"], []),
        (["abc", "def"], ["abc", "def"]),
        (["abcdef"], ["abc", "def"]),
        (["abcghi"], ["abcdef"]),
        ([], []),
    ],
)
def test_allowed(groups: list[str], opened: list[str]):
    verify_grouping(map(ids, groups), 3, map(ids, opened))


@pytest.mark.parametrize(
    ("groups", "opened"),
    [
        (["ab"], []),
        ([""], []),
        (["abcd"], ["abc"]),
        (["abd"], ["abc"]),
        (["abc", "abcdef", "abcdefg"], []),
        (["adgbeh"], ["abc", "def", "ghi"]),
    ],
)
def test_refused(groups: list[str], opened: list[str]):
    with pytest.raises(GroupTooSmall):
        verify_grouping(map(ids, groups), 3, map(ids, opened))


def test_the_papers_mode_opens_single_updates():
    verify_grouping([ids("a"), ids("b")], 1, [ids("ab")])


@given(st.lists(st.sets(st.integers(0, 7), min_size=1), min_size=1, max_size=5))
def test_whatever_is_allowed_spans_no_single_or_paired_update(groups: list[set[int]]):
    named = [frozenset(bytes([u]) for u in group) for group in groups]
    try:
        verify_grouping(named[1:], 3, named[:1])
    except GroupTooSmall:
        return
    rows = np.array([[u in group for u in range(8)] for group in groups], float)
    rank = np.linalg.matrix_rank(rows)
    for first in range(8):
        for second in range(8):
            for weight in (0.0, 1.0, -1.0):
                target = np.eye(8)[first] + weight * np.eye(8)[second]
                if target.any():
                    assert np.linalg.matrix_rank(np.vstack((rows, target))) > rank
