"""Standings folded from events: whatever the chain says, each member stands between 0 and 100 and has one rank."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain import events as ev
from chain.errors import MalformedAnswer
from chain.leader import ranking
from chain.standing import Standing, follow, standings
from tests.chain.support import digest

WHERE: dict[str, Any] = {"block": 1, "log_index": 0, "tx": digest("tx")}
SEED = digest("seed")


def account(number: int) -> str:
    return f"0x{number + 1:040x}"


def admitted(index: int) -> ev.HospitalAdmitted:
    return ev.HospitalAdmitted(
        index=index, account=account(index), box_key=digest("b"), data_size=1, name="n", url="", **WHERE
    )


def fault(index: int, kind: int, reputation: int) -> ev.FaultRecorded:
    return ev.FaultRecorded(
        round=1, index=index, fault=kind, evidence=digest("e"), points=1, reputation=reputation, **WHERE
    )


def final(signers: int) -> ev.RoundFinalised:
    rest = dict.fromkeys(("model", "base", "proposal", "statement", "seed"), digest("x"))
    return ev.RoundFinalised(round=1, leader=account(0), signers=signers, **rest, **WHERE)


FOUNDED = [admitted(index) for index in range(5)]
STEPS = st.lists(
    st.one_of(
        st.builds(fault, st.integers(0, 4), st.integers(0, 8), st.integers(0, 100)),
        st.builds(final, st.integers(0, 31)),
        st.builds(
            lambda i: ev.HospitalRemoved(index=i, account=account(i), **WHERE),
            st.integers(1, 4),
        ),
    ),
    max_size=30,
)


def folded(events: list[ev.Event]) -> Standing:
    standing = Standing()
    for event in events:
        standing = follow(standing, event)
    return standing


@given(steps=STEPS, seed=st.binary(min_size=32, max_size=32))
def test_every_member_has_one_rank_whatever_happened(steps: list[ev.Event], seed: bytes) -> None:
    standing = folded([*FOUNDED, *steps])
    assert all(0 <= reputation <= 100 for reputation in standing.reputations)
    assert sorted(standing.ranking(seed)) == sorted(standing.members)


def test_equal_standings_rank_as_weights_of_one() -> None:
    standing = folded([*FOUNDED, *(fault(index, 6, 90) for index in range(5))])
    addresses = [bytes.fromhex(account(index)[2:]) for index in range(5)]
    assert standing.weights == (1,) * 5
    assert standing.ranking(SEED) == ranking(SEED, addresses, [1] * 5)


def test_the_weightless_follow_last() -> None:
    standing = folded([*FOUNDED, fault(1, 0, 0), fault(3, 0, 0)])
    assert standing.weights == (1, 0, 1, 0, 1)
    assert set(standing.ranking(SEED)[-2:]) == {1, 3}
    nobody = folded([*FOUNDED, *(fault(index, 0, 0) for index in range(5))])
    assert sorted(nobody.ranking(SEED)) == list(range(5))


def test_points_come_back_to_signers_but_not_to_equivocators() -> None:
    standing = folded([*FOUNDED, fault(0, 6, 90), fault(1, 6, 90), fault(2, 0, 0), final(0b00101)])
    assert standing.reputations == (91, 90, 0, 100, 100)


def test_the_opening_fixes_a_rounds_standing() -> None:
    opened = ev.RoundOpened(
        round=1,
        epoch=1,
        plan=digest("p"),
        base=digest("b"),
        seed=SEED,
        opener=account(0),
        collect_by=1,
        finalise_by=2,
        **WHERE,
    )
    found = standings([*FOUNDED, fault(0, 6, 90), opened, fault(1, 6, 90)])
    assert found[1].reputations == (90, 100, 100, 100, 100)


def test_rotated_keys_rank_by_the_new_address() -> None:
    moved = ev.KeysRotated(index=0, account=account(0), new_account=account(90), box_key=digest("b"), **WHERE)
    assert folded([*FOUNDED, moved]).accounts[0] == account(90)


@pytest.mark.parametrize("event", [fault(5, 6, 90), admitted(6), admitted(4)])
def test_unknown_seats_are_refused(event: ev.Event) -> None:
    with pytest.raises(MalformedAnswer, match="unknown seat"):
        folded([*FOUNDED, event])
