"""The auditor's view of a past cone against the ledger's own index, on random graphs."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dag.bodies import AcknowledgementBody, Kind, UpdateBody
from dag.ids import sha256
from dag.tangle import Tangle
from node.audit.cone import Cone

MEMBERS, QUORUM = 5, 4


@dataclass(frozen=True)
class Stub:
    """As much of a transaction as a cone looks at."""

    id: bytes
    parents: tuple[bytes, ...]
    round: int
    sequence: int
    kind: Kind
    body: object
    issuer_index: int


def grow(choices: list[tuple[int, int, int, bool, bool]], *, twice: bool) -> list[Stub]:
    """A graph over an anchor that no segment holds; rounds never fall below a parent's but for late ones."""
    anchor = sha256(b"before")
    made: list[Stub] = []
    for number, (issuer, one, two, update, late) in enumerate(choices):
        parents = tuple(made[-1 - (pick % len(made))].id if made else anchor for pick in (one, two))
        sequence = number if not (twice and number % 3 == 0) else 0
        kind, body = (Kind.UPDATE, UpdateBody(1, 1, 1, bytes(32), bytes(16), bytes(32))) if update else _ack()
        round_ = 1 if late else 2
        made.append(Stub(sha256(b"%d" % number), parents, round_, sequence, kind, body, issuer))
    return made


def _ack():
    return Kind.ACKNOWLEDGEMENT, AcknowledgementBody(None)


def index(made: list[Stub]) -> Tangle:
    tangle = Tangle(QUORUM)
    tangle.attach(sha256(b"before"), (), None, 0, Kind.GENESIS)
    for tx in made:
        tangle.attach(tx.id, tx.parents, tx.issuer_index, tx.round, tx.kind)
    return tangle


graphs = st.lists(
    st.tuples(st.integers(0, MEMBERS - 1), st.integers(0, 3), st.integers(0, 5), st.booleans(), st.booleans()),
    min_size=1,
    max_size=25,
)


def cone_of(made: list[Stub]) -> Cone:
    head = next((tx for tx in reversed(made) if tx.round == 2), made[-1])
    return Cone({tx.id: tx for tx in made}, {tx.id: tx.issuer_index for tx in made}, head.id)


@settings(max_examples=200, deadline=None)
@given(graphs)
def test_who_approves_and_what_the_round_holds(choices):
    made = grow(choices, twice=False)
    # One update a member and round: otherwise members contradict themselves.
    seen: set[tuple[int, int]] = set()
    made = [
        tx
        if tx.kind is not Kind.UPDATE
        or not ((tx.issuer_index, tx.round) in seen or seen.add((tx.issuer_index, tx.round)))
        else _plain(tx)
        for tx in made
    ]
    tangle, cone = index(made), cone_of(made)
    assert cone.void == frozenset()
    assert cone.round_ids == tangle.round_cone(cone.head)
    assert cone.ids == set(tangle.cone(cone.head)) - {sha256(b"before")}
    everything = tuple(tx.id for tx in made)
    assert cone.approving(everything) == {i: tangle.confirmed_within(i, cone.head) for i in everything}


def _plain(tx: Stub) -> Stub:
    kind, body = _ack()
    return Stub(tx.id, tx.parents, tx.round, tx.sequence, kind, body, tx.issuer_index)


@settings(max_examples=100, deadline=None)
@given(graphs)
def test_a_member_that_contradicts_itself_counts_for_nothing(choices):
    made = [_plain(tx) for tx in grow(choices, twice=True)]
    tangle, cone = index(made), cone_of(made)
    for at, one in enumerate(made):
        for two in made[at + 1 :]:
            if one.issuer_index == two.issuer_index and one.sequence == two.sequence:
                tangle.mark_conflict(one.id, two.id)
    updates = tuple(tx.id for tx in made if tx.round == 2)
    assert cone.approving(updates) == {i: tangle.confirmed_within(i, cone.head) for i in updates}


def test_outside_the_cone_nobody_approves():
    made = grow([(0, 0, 0, True, False)], twice=False)
    other = Stub(sha256(b"tip"), (sha256(b"before"),) * 2, 2, 9, *_ack(), 1)
    cone = Cone({tx.id: tx for tx in (*made, other)}, {made[0].id: 0, other.id: 1}, other.id)
    assert cone.approving((made[0].id,)) == {made[0].id: frozenset()}


def test_a_head_that_is_not_in_the_segment_is_refused():
    with pytest.raises(KeyError):
        Cone({}, {}, sha256(b"nothing"))
