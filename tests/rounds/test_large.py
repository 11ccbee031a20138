"""A round of many members: how often each acknowledges, and how many updates are looked at in a row."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dag.bodies import AcknowledgementBody, Body, UpdateBody, commit
from dag.transaction import Transaction, Unsigned, address_of, sign
from node.rounds import effects as do
from node.rounds import state as ev
from node.rounds.machine import ACKNOWLEDGEMENTS, UNLOCKING, apply, due
from node.rounds.state import Members, RoundFacts, RoundState
from tests.rounds import support as s

LARGE = 3 * ACKNOWLEDGEMENTS
KEYS = tuple(s.digest(f"hospital {index}") for index in range(LARGE))
ADDRESSES = tuple(address_of(key) for key in KEYS)
ME = 5


def fresh(count: int = LARGE) -> RoundState:
    facts = RoundFacts(7, 1, s.PLAN.digest, s.digest("base"), s.digest("seed"), tuple(range(count)), 1600, 2200)
    return RoundState(facts, Members(ADDRESSES[:count], ME, -(-2 * count // 3)), now=1000.0, plan=s.PLAN)


def said(member: int, body: Body, sequence: int = 0) -> Transaction:
    payload = s.blob(f"payload of {member}") if body.carries_payload else None
    parents = (s.digest("left"), s.digest("right"))
    return sign(Unsigned(body.kind, s.CONSORTIUM, 1, 7, sequence, parents, payload, body), KEYS[member])


def update(member: int) -> Transaction:
    return said(member, UpdateBody(100, 10, 1, commit(s.secret(member)), bytes(16), s.digest("layout")))


def told(state: RoundState, *transactions: Transaction, approvals: dict[bytes, int] | None = None) -> RoundState:
    for transaction in transactions:
        state, _ = apply(state, ev.Attached(transaction, approvals or {}))
    return state


def approving(state: RoundState) -> list[bytes]:
    """What it would approve next if nothing were going on."""
    return [effect.update for effect in due(replace(state, running=frozenset())) if isinstance(effect, do.Approve)]


def revealed() -> tuple[RoundState, list[bytes]]:
    """Twice as many revealed updates as are looked at in a row, the first half of them being looked at; their ids."""
    members = range(2 * UNLOCKING)
    state = told(fresh(), *(update(member) for member in members))
    state = told(state, *(said(member, AcknowledgementBody(s.secret(member)), 1) for member in members))
    ids = sorted(update(member).id for member in members)
    return replace(state, running=frozenset(map(do.Unlock, ids[:UNLOCKING]))), ids


@pytest.mark.parametrize("count", [ACKNOWLEDGEMENTS, ACKNOWLEDGEMENTS - 1])
def test_in_a_small_consortium_every_update_is_acknowledged_at_once(count):
    first = update(0)
    assert approving(told(fresh(count), first)) == [first.id]


def test_in_a_large_one_when_a_share_of_them_waits():
    first, second, third = (update(member) for member in range(3))
    state = told(fresh(), first, second)
    assert approving(state) == []
    state = told(state, third)
    assert approving(state) == [first.id]
    mine = dict.fromkeys((first.id, second.id), 1 << ME)
    assert told(state, approvals=mine).unapproved == (first.id, second.id, third.id)
    assert told(state, said(ME, AcknowledgementBody(None), 1), approvals=mine).unapproved == (third.id,)


def test_what_comes_after_the_own_close_is_acknowledged_one_by_one():
    """The close approved all that was there; nothing else would approve what came late."""
    late = update(9)
    state = told(fresh(), late)
    assert approving(state) == []
    closed = told(state, said(ME, AcknowledgementBody(None, close=True), 2))
    assert approving(closed) == [late.id]


def test_revealed_updates_are_looked_at_a_few_at_a_time():
    state, ids = revealed()
    assert [e.update for e in due(state) if isinstance(e, do.Unlock)] == ids[:UNLOCKING]
    state, started = apply(state, ev.Unlocked(ids[0], ""))
    assert [e.update for e in started if isinstance(e, do.Unlock)] == [ids[UNLOCKING]]
    assert ids[0] not in state.locked


def test_one_that_cannot_be_had_yet_leaves_its_place_to_another():
    state, ids = revealed()
    _, started = apply(state, ev.Failed(do.Unlock(ids[0]), state.now + 60))
    assert [e.update for e in started if isinstance(e, do.Unlock)] == [ids[UNLOCKING]]
