"""Cohorts: one draw for all, refused where it is another, and as safe as the hypergeometric distribution says."""

from __future__ import annotations

import re
from fractions import Fraction
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from web3 import Web3

from chain import events as ev
from chain.cohort import draw, tail, too_many_curious, too_many_faulty, verify_cohort
from chain.errors import BadArgument, ContractReverted, WrongCohort
from chain.records import bitmap_members
from chain.standing import standings
from tests.chain.support import PARAMETERS, N, digest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from chain.client import Chain
    from chain.records import Outcome
    from tests.chain.support import Consortium

CONSORTIUM, SEED = digest("consortium"), digest("seed")
ALL = (1 << 256) - 1


def slow_draw(consortium: bytes, seed: bytes, members: list[int], size: int) -> set[int]:
    """The same with a list that shrinks."""
    line, chosen = sorted(members), []
    for k in range(size):
        word = Web3.solidity_keccak(
            ["bytes32", "bytes32", "bytes32", "uint256"], [Web3.keccak(text="medweave/cohort"), consortium, seed, k]
        )
        picked = int.from_bytes(word) % len(line)
        chosen.append(line[picked])
        line[picked] = line[0]  # who stood first takes the place of whoever was picked
        line.pop(0)
    return set(chosen)


def test_golden_draws() -> None:
    assert sorted(draw(CONSORTIUM, SEED, range(6), 4)) == [1, 2, 3, 5]
    assert sorted(draw(CONSORTIUM, SEED, range(100), 8)) == [0, 3, 30, 33, 36, 38, 39, 64]


@given(
    members=st.sets(st.integers(0, 255), min_size=1, max_size=40),
    seed=st.binary(min_size=32, max_size=32),
    data=st.data(),
)
def test_the_draw_is_what_its_description_says(members: set[int], seed: bytes, data: st.DataObject) -> None:
    size = data.draw(st.integers(1, len(members)))
    drawn = draw(CONSORTIUM, seed, members, size)
    assert drawn == slow_draw(CONSORTIUM, seed, list(members), size)
    assert len(drawn) == size
    assert drawn <= members
    assert draw(CONSORTIUM, seed, members, 1) <= drawn, "a larger cohort holds the smaller ones"


def test_every_member_is_drawn_equally_often() -> None:
    drawn = [draw(CONSORTIUM, digest(f"seed {number}"), range(20), 5) for number in range(2000)]
    times = [sum(seat in cohort for cohort in drawn) for seat in range(20)]
    # 2,000 draws of 5 in 20: 500 on average, standard deviation 19.4; five of those is 97.
    assert all(abs(count - 500) < 97 for count in times), times


@pytest.mark.parametrize(("members", "size"), [([], 1), ([1, 1], 1), ([256], 1), ([-1], 1), ([0, 1], 3), ([0, 1], 0)])
def test_what_cannot_be_drawn_is_refused(members: list[int], size: int) -> None:
    with pytest.raises(BadArgument):
        draw(CONSORTIUM, SEED, members, size)


def test_others_than_the_drawn_are_refused_with_those_who_are() -> None:
    drawn = draw(CONSORTIUM, SEED, range(6), 4)
    verify_cohort(CONSORTIUM, 2, SEED, range(6), drawn)
    verify_cohort(CONSORTIUM, 2, SEED, range(6), range(6))
    wrong = [set(cohort) for cohort in combinations(range(6), 4) if set(cohort) != drawn]
    for holders in (*wrong, {6}, set(range(8))):
        with pytest.raises(WrongCohort) as caught:
            verify_cohort(CONSORTIUM, 2, SEED, range(6), holders)
        assert caught.value.expected == draw(CONSORTIUM, SEED, range(6), min(6, len(holders)))
        assert str(sorted(holders)) in str(caught.value)
        assert str(sorted(caught.value.expected)) in str(caught.value)
    with pytest.raises(WrongCohort):
        verify_cohort(CONSORTIUM, 2, digest("another seed"), range(6), drawn)


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


def test_the_documented_chances() -> None:
    page = (Path(__file__).parents[2] / "docs" / "threat-model.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d+) \| (\d+) \| ((?:\S+ \| ){7}\S+) \|$", page, re.MULTILINE)
    assert [(row[0], row[1]) for row in rows] == [
        (str(members), str(size)) for members in (100, 256, 1000) for size in (16, 32, 64, 128) if size <= members
    ]
    for members, size, figures in rows:
        n, m = int(members), int(size)
        chances = [
            tail(n, n * percent // 100, m, least(m))
            for least in (too_many_faulty, too_many_curious)
            for percent in (5, 10, 20, 30)
        ]
        assert figures.split(" | ") == ["0" if chance == 0 else f"{float(chance):.0e}" for chance in chances]


def test_a_ceremony_among_some_on_a_chain(consortium: Consortium) -> None:
    holders = drawn_now(consortium)
    other = consortium.client(min(frozenset(range(N)) - holders))
    start = other.block_number() + 1
    other.epochs.open_cohort(PARAMETERS, 2, other.now() + 1000, 3)
    record = other.epochs.get(1)
    assert (bitmap_members(record.holders), record.cohort, record.threshold) == (holders, True, 2)
    opened, drawn = other.events(start)
    assert isinstance(opened, ev.EpochOpened)
    assert isinstance(drawn, ev.CohortDrawn)
    assert (drawn.epoch, bitmap_members(drawn.holders), drawn.seed) == (1, holders, other.rounds.seed())
    with pytest.raises(ContractReverted, match="NotHolder"):
        other.epochs.announce(1, digest("box"))
    clients = [consortium.client(index) for index in sorted(holders)]
    take_steps(clients, "announce", "commit", "deal", "test")
    for client in clients[:2]:
        client.epochs.confirm(1, digest("key"))
    assert other.epochs.in_force() == (1, record.holders), "two of three are two thirds"
    assert (other.epochs.cohort_of(1), other.epochs.cohort_of(7)) == (record.holders, ALL)


def test_a_round_of_a_cohort_on_a_chain(consortium: Consortium) -> None:
    holders = sorted(drawn_now(consortium))
    (other,) = set(range(N)) - set(holders)
    clients = [consortium.client(index) for index in holders]
    clients[0].epochs.open_cohort(PARAMETERS, 2, clients[0].now() + 1000, 3)
    take_steps(clients, "announce", "commit", "deal", "test", "confirm")
    chain = consortium.client(other)
    chain.rounds.genesis(digest("genesis"), digest("plan"))
    chain.rounds.open(digest("plan"), digest("genesis"), 60, 300)
    assert chain.rounds.get(1).quorum == 2
    assert standings(chain.events(0))[1].members == set(holders)
    with pytest.raises(ContractReverted, match="NotInCohort"):
        chain.rounds.propose(1, digest("proposal"), digest("updates"), digest("sums"))
    clients[2].rounds.propose(1, digest("proposal"), digest("updates"), digest("sums"))
    outcome = consortium.outcome(1, digest("genesis"), digest("model"), holders[2])
    for signers in ((holders[0], other), range(N), (holders[0],)):
        with pytest.raises(ContractReverted, match=r"BadSignatureCount|NoQuorum"):
            chain.rounds.finalise(outcome, signed(consortium, outcome, signers))
    chain.rounds.finalise(outcome, signed(consortium, outcome, (holders[0], holders[2])))
    assert chain.rounds.get(1).model == digest("model")


@pytest.mark.parametrize("size", [0, 2, N + 1, 256])
def test_other_sizes_are_refused(consortium: Consortium, size: int) -> None:
    chain = consortium.client(0)
    assert chain.epochs.smallest_cohort() == 3
    with pytest.raises(ContractReverted, match="BadCohort"):
        chain.epochs.open_cohort(PARAMETERS, 2, chain.now() + 1000, size)
    with pytest.raises(BadArgument, match="size"):
        chain.epochs.open_cohort(PARAMETERS, 2, chain.now() + 1000, 257)


def test_everybodys_rounds_stay_everybodys(consortium: Consortium) -> None:
    consortium.start_lineage()
    chain = consortium.client(0)
    assert chain.epochs.in_force() == (1, ALL)
    chain.rounds.open(digest("plan"), digest("genesis"), 60, 300)
    assert chain.rounds.get(1).quorum == 3
    assert standings(chain.events(0))[1].members == frozenset(range(N))


def drawn_now(consortium: Consortium) -> frozenset[int]:
    return draw(consortium.deployment.consortium, consortium.client().rounds.seed(), range(N), 3)


def take_steps(clients: list[Chain], *steps: str) -> None:
    for step in steps:
        for client in clients:
            getattr(client.epochs, step)(1, digest(f"{step} {client.account if step == 'announce' else ''}"))


def signed(consortium: Consortium, outcome: Outcome, signers: Iterable[int]) -> dict[int, bytes]:
    return {index: consortium.client(index).rounds.sign_outcome(outcome) for index in signers}
