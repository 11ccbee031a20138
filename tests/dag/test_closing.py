"""Closes: what they cover, and that no order of messages lets anything count that was made after a reveal."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dag.bodies import AcknowledgementBody, Kind, UpdateBody
from dag.closing import closed_by, closers_of
from dag.errors import NoParents
from dag.gathering import parents_over, tip_over
from dag.ledger import Ledger
from dag.tangle import Tangle
from tests.dag.support import close, create, draw, ledger, name_id, post, reveal, update_body

QUIET = AcknowledgementBody(None)
CLOSE = AcknowledgementBody(None, close=True)


def graph(rows: list[tuple[str, int, Kind, tuple[str, str]]], quorum: int = 3) -> Tangle:
    """(name, round, kind, parents); the letter is the issuer."""
    tangle = Tangle(quorum)
    tangle.attach(name_id("G"), (), None, 0, Kind.GENESIS)
    for name, round_, kind, parents in rows:
        tangle.attach(name_id(name), tuple(map(name_id, parents)), ord(name[0]) - 65, round_, kind)
    return tangle


ROWS = [
    ("A1", 1, Kind.UPDATE, ("G", "G")),
    ("B1", 1, Kind.UPDATE, ("A1", "A1")),
    ("C1", 2, Kind.ACKNOWLEDGEMENT, ("B1", "B1")),
    ("D1", 1, Kind.ACKNOWLEDGEMENT, ("A1", "A1")),
    ("D2", 1, Kind.ACKNOWLEDGEMENT, ("D1", "C1")),
    ("C2", 1, Kind.ACKNOWLEDGEMENT, ("B1", "D1")),
]


def test_a_close_covers_what_it_reaches_through_its_round():
    """D2 reaches B's update only through a transaction of another round."""
    tangle = graph(ROWS)
    closes = [name_id("D2"), name_id("C2")]
    assert closed_by(tangle, closes, (name_id("D2"),), 1) == {3: 0b01}
    assert closed_by(tangle, closes, (name_id("C2"),), 1) == {2: 0b11}
    both = closed_by(tangle, closes, (name_id("D2"), name_id("C2")), 1)
    assert (closers_of(0, both), closers_of(1, both), closers_of(2, both)) == (2, 1, 0)


def test_parents_are_the_newest_pair_that_shows_most():
    tangle = draw("A1:[G]; B1:[G]; C1:[A1]; C2:[B1]; C3:[A1]; D1:[G]")
    wanted = [name_id("A1"), name_id("B1")]
    assert set(parents_over(tangle, wanted)) == {name_id("C3"), name_id("C2")}
    assert parents_over(tangle, [name_id("D1")]) == (name_id("D1"),) * 2
    assert tip_over(tangle, name_id("A1")) == name_id("C3")
    assert tip_over(tangle, name_id("D1")) == name_id("D1")
    with pytest.raises(NoParents):
        parents_over(Tangle(1), [])


MEMBERS, QUORUM, LIAR = 4, 3, 3


class Schedule:
    """Three honest members and a liar that acts as soon as it sees a reveal, in any order of messages."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.books = [ledger(members=MEMBERS) for _ in range(MEMBERS)]
        self.late: bytes | None = None
        self.first_reveal: bytes | None = None
        self.count = 0

    def run(self, steps: int) -> None:
        for _ in range(steps):
            member = self.rng.randrange(MEMBERS)
            self.hear(member)
            (self.lie if member == LIAR else self.act)(member)
            self.hear(LIAR, share=1.0)  # the liar is the fastest of all
        for member in range(MEMBERS):
            self.hear(member, share=1.0)

    def hear(self, member: int, share: float = 0.6) -> None:
        """Take in what some others have, or the older part of it."""
        book = self.books[member]
        for other in self.rng.sample(range(MEMBERS), MEMBERS):
            if other != member and self.rng.random() < share:
                news = [tx_id for tx_id in self.books[other].tangle.ids() if tx_id not in book]
                if share < 1.0:
                    news = news[: self.rng.randrange(len(news) + 1)]
                book.receive_many([self.books[other].get(tx_id).raw for tx_id in news])

    def act(self, member: int) -> None:
        """What an honest member does: post, acknowledge, close once, and reveal above a quorum of closes."""
        book, seed = self.books[member], self.rng.random()
        mine = [book.get(tx_id) for tx_id in book.tangle.ids() if book.tangle.issuer(tx_id) == member]
        if not any(isinstance(tx.body, UpdateBody) for tx in mine):
            create(book, member, update_body(member), 1, seed)
        elif not any(isinstance(tx.body, AcknowledgementBody) and tx.body.close for tx in mine):
            (close if self.rng.random() < 0.2 else self.acknowledge)(book, member, 1, seed)
        elif len(book.closed_within(book.tips(), 1)) >= QUORUM and not any(map(_reveals, mine)):
            made = reveal(book, member, 1, seed)
            self.first_reveal = self.first_reveal or made.id
        else:
            self.acknowledge(book, member, 1, seed)

    def lie(self, member: int) -> None:
        """Closes early, twice too; once a reveal is to be seen, posts its update and closes above it."""
        book, tips = self.books[member], self.books[member].tips()
        seen = any(map(_reveals, map(book.get, book.tangle.ids())))
        if seen and self.late is None:
            self.late = self.say(book, update_body(member), (book.genesis_id, book.genesis_id))
        below = self.late or self.rng.choice(tips)
        self.say(book, CLOSE if self.rng.random() < 0.7 else QUIET, (below, self.rng.choice(tips)))

    def say(self, book: Ledger, body, parents: tuple[bytes, bytes]) -> bytes:
        self.count += 1
        made = post(parents, body, LIAR, sequence=self.count)
        book.receive_many([made.raw])
        if made.id not in book:  # equivocating: it gets in where somebody has built on it
            child = post((made.id, made.id), QUIET, 0, sequence=10_000 + self.count)
            book.receive_many([child.raw, made.raw])
        return made.id

    @staticmethod
    def acknowledge(book: Ledger, member: int, round_: int, seed: float) -> None:
        create(book, member, QUIET, round_, seed)


def _reveals(transaction) -> bool:
    return isinstance(transaction.body, AcknowledgementBody) and transaction.body.reveal is not None


@given(seed=st.integers(0, 10**6))
@settings(max_examples=8, deadline=None)
def test_what_is_made_after_a_reveal_is_never_closed_by_a_quorum(seed):
    """Whatever cone a leader picks: fewer than a quorum of members have any close above the late update."""
    play = Schedule(seed)
    play.run(48)
    for book in play.books:
        if play.late is None or play.late not in book:
            continue
        tangle = book.tangle
        above = {tangle.issuer(c) for c in book.closes(1) if tangle.cover(c, 1) >> LIAR & 1}
        assert len(above) < QUORUM
        assert play.late not in book.proposal_basis(1).updates


def test_the_schedules_reach_the_attack():
    """Most of them get to reveals and a late update, so that the property says something."""
    reached = 0
    for seed in range(6):
        play = Schedule(seed)
        play.run(48)
        reached += play.late is not None and any(play.late in book for book in play.books[:LIAR])
    assert reached >= 3
