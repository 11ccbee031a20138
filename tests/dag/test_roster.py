"""A round's members are those at its opening: who left or exchanged its account since, and who joined since."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dag.bodies import AcknowledgementBody, Kind
from dag.errors import NotAMember, WrongProposal, WrongWeight
from dag.ledger import Ledger
from dag.rules import Context, Member
from dag.store.sqlite import Store
from dag.transaction import address_of
from tests.dag.support import context, key, terms
from tests.dag.test_rules import closed_round, create, proposal_body, update_body


def changed(rosters: dict[int, dict[int, int]], **more) -> Context:
    """Rounds by number with their rosters: key number to seat."""
    known = {address_of(key(k)): Member(seat, 400) for roster in rosters.values() for k, seat in roster.items()}
    rounds = {
        number: terms(roster={address_of(key(k)): Member(seat, 400) for k, seat in roster.items()})
        for number, roster in rosters.items()
    }
    return replace(context(), members=known, rounds=rounds, **more)


def book(ctx: Context) -> Ledger:
    return Ledger(Store(":memory:"), lambda: ctx)


def quiet(ledger: Ledger, member: int, round_: int):
    return create(ledger, member, AcknowledgementBody(None), round_=round_)


def test_who_joined_later_posts_in_later_rounds_only():
    ledger = book(changed({1: {0: 0, 1: 1, 2: 2}, 2: {0: 0, 1: 1, 2: 2, 3: 3}}))
    quiet(ledger, 3, 2)
    with pytest.raises(NotAMember, match="when round 1 was opened"):
        quiet(ledger, 3, 1)


def test_who_left_posts_in_earlier_rounds_only():
    ledger = book(changed({1: {0: 0, 1: 1, 2: 2}, 2: {0: 0, 2: 2}}))
    quiet(ledger, 1, 1)
    with pytest.raises(NotAMember, match="when round 2 was opened"):
        quiet(ledger, 1, 2)


def test_an_exchanged_account_is_the_same_member_from_the_next_round_on():
    ledger = book(changed({1: {0: 0, 1: 1, 2: 2}, 2: {0: 0, 9: 1, 2: 2}}))
    old, new = quiet(ledger, 1, 1), quiet(ledger, 9, 2)
    assert ledger.tangle.issuer(old.id) == ledger.tangle.issuer(new.id) == 1
    for account, round_ in ((9, 1), (1, 2)):
        with pytest.raises(NotAMember):
            quiet(ledger, account, round_)


def test_weight_follows_the_size_at_the_opening():
    ctx = changed({1: {0: 0, 1: 1, 2: 2}})
    resized = replace(ctx, members={address: replace(m, registered_size=1) for address, m in ctx.members.items()})
    create(book(resized), 0, update_body(0))
    less = replace(
        ctx,
        rounds={1: replace(ctx.rounds[1], roster={a: replace(m, registered_size=1) for a, m in ctx.members.items()})},
    )
    with pytest.raises(WrongWeight):
        create(book(less), 0, update_body(0))


def test_the_quorum_is_the_rounds_and_openers_are_its_members():
    """Five are members now and four would decide; the round was opened by four, of whom three do."""
    roster = {0: 0, 1: 1, 2: 2, 3: 3}
    ctx = changed({1: roster, 2: {**roster, 4: 7}}, quorum=4)
    assert (ctx.quorum_of(1), ctx.quorum_of(2), ctx.quorum_of(9)) == (3, 4, 4)
    ledger = book(ctx)
    updates, reveals = closed_round(ledger)
    basis = ledger.proposal_basis(1)
    assert basis.updates == updates
    good = proposal_body(updates, reveals)
    with pytest.raises(WrongProposal, match="openers"):
        create(ledger, 0, replace(good, openers=(0, 1, 7)), parents=basis.parents)
    assert create(ledger, 0, good, parents=basis.parents).kind is Kind.PROPOSAL
