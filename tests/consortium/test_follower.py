"""The view follows the chain when it grows, stalls, goes back or does not answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.cursor import ChainWentBack, News
from chain.errors import ChainUnreachable
from node.consortium.follower import Follower
from node.consortium.view import ConsortiumView, fold
from tests.consortium.test_view import history


class SimSource:
    """A chain whose blocks hold a history's events; gives a cursor that reads up to `head`, wherever that is moved."""

    def __init__(self) -> None:
        self.rows, self.head, self.up, self.read = history(), 0, True, 0

    def cursor(self, _events=None) -> SimSource:
        return self

    def look(self) -> News:
        if not self.up:
            raise ChainUnreachable("http://chain", 1, OSError())
        back = ChainWentBack(self.head, self.read) if self.head < self.read else None
        new = tuple(e for e in self.rows if self.read < e.block <= self.head)
        self.read = self.head
        return News(self.head, back, new)

    def replay(self):
        return tuple(e for e in self.rows if e.block <= self.read)


@given(st.lists(st.integers(-4, 6), min_size=1, max_size=12))
def test_following_ends_where_folding_everything_ends(moves):
    """However often one looks, however the chain goes forth and back."""
    chain = SimSource()
    follower = Follower(chain)
    for move in moves:
        chain.head = min(max(chain.head + move, 0), 17)
        follower.look()
        assert follower.view == fold(ConsortiumView(), follower.events())
    chain.head = 17
    follower.look()
    assert follower.view == fold(ConsortiumView(), history())


def test_looking_says_whether_anything_was_new():
    chain = SimSource()
    follower = Follower(chain)
    found = []
    for head in (0, 1, 1, 9, 17, 18, 18, 17):
        chain.head = head
        found.append(follower.look())
    assert found == [False, True, False, True, True, False, False, True]
    assert follower.news.went_back == ChainWentBack(17, 18)


def test_a_chain_that_does_not_answer_leaves_the_view_and_misses_nothing():
    chain = SimSource()
    follower = Follower(chain)
    chain.head = 9
    follower.look()
    before = follower.view
    chain.up = False
    with pytest.raises(ChainUnreachable):
        follower.look()
    assert follower.view is before
    chain.up, chain.head = True, 17
    follower.look()
    assert follower.view == fold(ConsortiumView(), history())


def test_what_was_read_before_is_known_before_the_first_look():
    chain = SimSource()
    chain.read = 12
    assert Follower(chain).view == fold(ConsortiumView(), [e for e in history() if e.block <= 12])
