"""Cohorts: one draw for all, refused where it is another, and as safe as the hypergeometric distribution says."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from itertools import combinations
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain import events as ev
from chain.cohort import draw, tail, too_many_curious, too_many_faulty, verify_cohort
from chain.errors import BadArgument, ContractReverted, WrongCohort
from chain.records import bitmap_members, members_bitmap
from chain.standing import standings
from tests.chain.support import PARAMETERS, N, digest

if TYPE_CHECKING:
    from tests.chain.support import Consortium

CONSORTIUM, SEED = digest("consortium"), digest("seed")
ALL = (1 << 256) - 1


def slow_draw(consortium: bytes, epoch: int, seed: bytes, members: list[int], size: int) -> set[int]:
    """The same from the description alone: a list that shrinks, words read one by one."""
    label = b"medweave/cohort" + consortium + epoch.to_bytes(8, "big") + seed
    read, line, chosen = 0, sorted(members), []
    while len(chosen) < size:
        word = int.from_bytes(hashlib.shake_256(label).digest(8 * (read + 1))[-8:], "big")
        read += 1
        if word < 2**64 // len(line) * len(line):
            # What stood first takes the place of whoever was picked.
            line[word % len(line)], line[0] = line[0], line[word % len(line)]
            chosen.append(line.pop(0))
    return set(chosen)


def test_golden_draws() -> None:
    assert sorted(draw(CONSORTIUM, 4, SEED, range(6), 4)) == [0, 3, 4, 5]
    assert sorted(draw(CONSORTIUM, 3, SEED, range(100), 8)) == [10, 30, 51, 54, 55, 57, 88, 94]


@given(
    members=st.sets(st.integers(0, 255), min_size=1, max_size=40),
    epoch=st.integers(1, 2**64 - 1),
    seed=st.binary(min_size=32, max_size=32),
    data=st.data(),
)
def test_the_draw_is_what_its_description_says(members: set[int], epoch: int, seed: bytes, data: st.DataObject) -> None:
    size = data.draw(st.integers(1, len(members)))
    drawn = draw(CONSORTIUM, epoch, seed, members, size)
    assert drawn == slow_draw(CONSORTIUM, epoch, seed, list(members), size)
    assert len(drawn) == size
    assert drawn <= members


def test_every_member_is_drawn_equally_often() -> None:
    drawn = [draw(CONSORTIUM, epoch, SEED, range(20), 5) for epoch in range(1, 2001)]
    times = [sum(seat in cohort for cohort in drawn) for seat in range(20)]
    # 2,000 draws of 5 in 20: 500 on average, standard deviation 19.4; five of those is 97.
    assert all(abs(count - 500) < 97 for count in times), times


@pytest.mark.parametrize(
    ("members", "size", "epoch"),
    [([], 1, 1), ([1, 1], 1, 1), ([256], 1, 1), ([0, 1], 3, 1), ([0, 1], 0, 1), ([0], 1, 0)],
)
def test_what_cannot_be_drawn_is_refused(members: list[int], size: int, epoch: int) -> None:
    with pytest.raises(BadArgument):
        draw(CONSORTIUM, epoch, SEED, members, size)


def test_all_members_need_no_draw_and_others_need_the_right_one() -> None:
    drawn = draw(CONSORTIUM, 2, SEED, range(6), 4)
    verify_cohort(CONSORTIUM, 2, SEED, range(6), drawn)
    verify_cohort(CONSORTIUM, 1, None, range(6), range(6))
    for holders in ({0, 1, 2, 3}, {0, 1, 2, 4}, drawn - {min(drawn)}):
        if holders not in (drawn, draw(CONSORTIUM, 2, SEED, range(6), len(holders))):
            with pytest.raises(WrongCohort) as caught:
                verify_cohort(CONSORTIUM, 2, SEED, range(6), holders)
            assert str(sorted(holders)) in str(caught.value)
            assert caught.value.expected == draw(CONSORTIUM, 2, SEED, range(6), len(holders))
    with pytest.raises(WrongCohort, match="no round was finalised"):
        verify_cohort(CONSORTIUM, 2, None, range(6), drawn)
    with pytest.raises(WrongCohort):
        verify_cohort(CONSORTIUM, 3, SEED, range(6), drawn)


def test_the_tail_counts_every_cohort() -> None:
    for least in range(6):
        cohorts = list(combinations(range(9), 4))
        bad = sum(len(set(cohort) & {0, 1, 2}) >= least for cohort in cohorts)
        assert tail(9, 3, 4, least) == Fraction(bad, len(cohorts))


def test_a_cohort_of_all_is_as_good_as_all() -> None:
    for members in range(1, 40):
        for marked in range(members + 1):
            assert tail(members, marked, members, too_many_faulty(members)) == (marked >= -(-members // 3))
            assert tail(members, marked, members, too_many_curious(members)) == (marked >= -(-2 * members // 3))


def test_the_documented_figures() -> None:
    """Some of the table in docs/threat-model.md."""
    assert tail(100, 10, 32, too_many_faulty(32)) == 0
    assert f"{float(tail(256, 51, 32, too_many_faulty(32))):.1e}" == "3.0e-02"
    assert f"{float(tail(1000, 100, 64, too_many_faulty(64))):.1e}" == "2.8e-08"


def test_a_ceremony_among_some_on_a_chain(consortium: Consortium) -> None:
    chain = consortium.client(2)
    start = chain.block_number() + 1
    chain.epochs.open_cohort(PARAMETERS, 2, chain.now() + 1000, {0, 1, 3})
    record = chain.epochs.get(1)
    assert (bitmap_members(record.holders), record.cohort, record.threshold) == ({0, 1, 3}, True, 2)
    opened, chosen = chain.events(start)
    assert isinstance(opened, ev.EpochOpened)
    assert isinstance(chosen, ev.CohortChosen)
    assert (chosen.epoch, chosen.holders) == (1, members_bitmap([0, 1, 3]))
    with pytest.raises(ContractReverted, match="NotHolder"):
        chain.epochs.announce(1, digest("box"))
    clients = [consortium.client(index) for index in (0, 1, 3)]
    for client in clients:
        client.epochs.announce(1, digest(f"box {client.account}"))
    for step in ("commit", "deal", "test"):
        for client in clients:
            getattr(client.epochs, step)(1, digest(step))
    for client in clients[:2]:
        client.epochs.confirm(1, digest("key"))
    assert chain.epochs.in_force() == (1, 0b1011), "two of three are two thirds"
    assert (chain.epochs.cohort_of(1), chain.epochs.cohort_of(7)) == (0b1011, ALL)


def test_a_round_of_a_cohort_on_a_chain(consortium: Consortium) -> None:
    activate(consortium, {0, 1, 3})
    chain = consortium.client(2)
    chain.rounds.genesis(digest("genesis"), digest("plan"))
    chain.rounds.open(digest("plan"), digest("genesis"), 60, 300)
    assert chain.rounds.get(1).quorum == 2
    assert standings(chain.events(0))[1].members == {0, 1, 3}
    with pytest.raises(ContractReverted, match="NotInCohort"):
        chain.rounds.propose(1, digest("proposal"), digest("updates"), digest("sums"))
    consortium.client(3).rounds.propose(1, digest("proposal"), digest("updates"), digest("sums"))
    outcome = consortium.outcome(1, digest("genesis"), digest("model"), 3)
    for signers in ((0, 2), (0, 1, 2), (0,)):
        with pytest.raises(ContractReverted, match=r"BadSignatureCount|NoQuorum"):
            chain.rounds.finalise(outcome, signed(consortium, outcome, signers))
    chain.rounds.finalise(outcome, signed(consortium, outcome, (0, 3)))
    assert chain.rounds.get(1).model == digest("model")


def test_everybodys_rounds_stay_everybodys(consortium: Consortium) -> None:
    consortium.start_lineage()
    chain = consortium.client(0)
    assert chain.epochs.in_force() == (1, ALL)
    chain.rounds.open(digest("plan"), digest("genesis"), 60, 300)
    assert chain.rounds.get(1).quorum == 3
    assert standings(chain.events(0))[1].members == frozenset(range(N))


def activate(consortium: Consortium, holders: set[int]) -> None:
    clients = [consortium.client(index) for index in sorted(holders)]
    clients[0].epochs.open_cohort(PARAMETERS, 2, clients[0].now() + 1000, holders)
    for client in clients:
        client.epochs.announce(1, digest(f"box {client.account}"))
    for step in ("commit", "deal", "test", "confirm"):
        for client in clients:
            getattr(client.epochs, step)(1, digest(step))


def signed(consortium: Consortium, outcome: object, signers: tuple[int, ...]) -> dict[int, bytes]:
    return {index: consortium.client(index).rounds.sign_outcome(outcome) for index in signers}  # type: ignore[arg-type]
