"""Choosing parents: eq. 22, its defences, and what the choice must contain."""

import math
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dag.bodies import Kind
from dag.errors import NoParents, UnknownTransaction
from dag.tangle import Tangle
from dag.walks import choose_parents, orphan_of
from tests.dag.support import draw, name_id

A, B, C, D = range(4)


def reference_probabilities(ratings, alpha):
    """Eq. 22 in full: no maximum taken off."""
    weights = [math.exp(alpha * rating) for rating in ratings]
    return [weight / sum(weights) for weight in weights]


@given(st.lists(st.integers(0, 4), min_size=2, max_size=5), st.floats(0, 2))
@settings(deadline=None, max_examples=25)
def test_probabilities_follow_eq_22(extra, alpha):
    """Member i offers one candidate that `extra[i]` others approve; where walks go is held against eq. 22."""
    text = "; ".join(f"{chr(65 + i)}1:[G]" for i in range(len(extra)))
    for i, count in enumerate(extra):
        text += "".join(f"; {chr(75 + i + 5 * above)}1:[{chr(65 + i)}1]" for above in range(min(count, 3)))
    tangle = draw(text)
    ratings = [tangle.approval_weight(name_id(f"{chr(65 + i)}1")) for i in range(len(extra))]
    wanted = reference_probabilities(ratings, alpha)
    draws = 800
    rng = random.Random(3)
    firsts = Counter(step_from_genesis(tangle, alpha, rng) for _ in range(draws))
    for i, share in enumerate(wanted):
        spread = math.sqrt(share * (1 - share) / draws)
        assert abs(firsts[i] / draws - share) <= 5 * spread + 2 / draws


def step_from_genesis(tangle, alpha, rng):
    """The member whose candidate a walk from genesis stepped to, told by where it ended."""
    end = choose_parents(tangle, rng, alpha)[0]
    while name_id("G") not in tangle.parents(end):
        (end,) = tangle.parents(end)
    return tangle.issuer(end)


def test_large_ratings_do_not_overflow():
    tangle = draw("A1:[G]; B1:[G]; C1:[A1]; D1:[A1]")
    assert {choose_parents(tangle, random.Random(seed), 1e6)[0] for seed in range(20)} <= {name_id("C1"), name_id("D1")}


def test_two_tips_are_found():
    tangle = draw("A1:[G]; B1:[G]")
    for seed in range(50):
        assert set(choose_parents(tangle, random.Random(seed))) == {name_id("A1"), name_id("B1")}


def test_a_single_tip_is_both_parents():
    assert choose_parents(draw("A1:[G]"), random.Random(1)) == (name_id("A1"),) * 2
    assert choose_parents(draw(""), random.Random(1)) == (name_id("G"),) * 2
    with pytest.raises(NoParents):
        choose_parents(Tangle(1), random.Random(1))


def test_the_same_seed_walks_the_same_way():
    tangle = draw("; ".join(f"{'ABCD'[n % 4]}{n}:[G]" for n in range(12)))
    choices = {choose_parents(tangle, random.Random(5)) for _ in range(9)}
    assert len(choices) == 1


def test_through_puts_an_id_into_the_past():
    tangle = draw("A1:[G]; B1:[G]; C1:[B1]; B2:[C1]; D1:[B2]; A2:[A1]")
    for seed in range(30):
        parents = choose_parents(tangle, random.Random(seed), through=name_id("A1"))
        assert tangle.in_cone(name_id("A1"), parents)


def test_a_member_approves_what_it_has_not_yet():
    tangle = draw("A1:[G]; B1:[G]; C1:[G]")
    for seed in range(12):
        assert set(choose_parents(tangle, random.Random(seed), alpha=0, member=A)) == {name_id("B1"), name_id("C1")}


def test_unacceptable_transactions_are_not_approved():
    tangle = draw("A1:[G]; B1:[G]; C1:[B1]")
    for seed in range(30):
        parents = choose_parents(tangle, random.Random(seed), alpha=0, accept=lambda tx_id: tx_id != name_id("C1"))
        assert set(parents) == {name_id("A1"), name_id("B1")}


def test_proven_equivocators_are_walked_around_or_through_never_to():
    tangle = draw("D1:[G]; D2:[G]; A1:[D1]; D3:[A1]")
    tangle.mark_conflict(name_id("D1"), name_id("D2"))
    assert set(choose_parents(tangle, random.Random(3))) == {name_id("A1")}


def test_a_member_offers_its_best_rated_candidate():
    tangle = draw("A1:[G]; B1:[A1]; C1:[B1]; A2:[G]; A3:[G]; A4:[G]")
    for seed in range(30):
        assert set(choose_parents(tangle, random.Random(seed), alpha=0)) == {name_id("C1")}


def test_paper_rating_follows_credibility():
    tangle = draw("A1:[G]; B1:[G]")
    scores = {name_id("A1"): 9.0, name_id("B1"): 0.0}
    firsts = Counter(
        choose_parents(tangle, random.Random(seed), rating="paper", credibility=scores)[0] for seed in range(50)
    )
    assert firsts[name_id("A1")] > 45


def parasite(honest: int, length: int) -> Tangle:
    """Nine honest members weave; the tenth secretly hangs a long chain of its own under genesis, fanned out."""
    tangle = Tangle(7)
    tangle.attach(name_id("G"), (), None, 0, Kind.GENESIS)
    rng = random.Random(11)
    for step in range(honest):
        parents = choose_parents(tangle, rng)
        tangle.attach(name_id(f"honest {step}"), parents, step % 9, 1, Kind.ACKNOWLEDGEMENT)
    last = name_id("G")
    for step in range(length):
        tangle.attach(name_id(f"parasite {step}"), (last, name_id("G")), 9, 1, Kind.ACKNOWLEDGEMENT)
        last = name_id(f"parasite {step}")
    return tangle


def test_a_parasite_chain_captures_few_walks():
    """DAG-5: one of ten members captures 1-7 % of walks with a chain of its own (summed weights: 99 %)."""
    tangle = parasite(honest=150, length=400)
    rng = random.Random(2)
    ends = [tip for _ in range(150) for tip in set(choose_parents(tangle, rng))]
    captured = sum(tangle.issuer(tip) == 9 for tip in ends) / len(ends)
    assert captured < 0.10


def test_a_members_equally_rated_candidates_are_drawn_by_lot():
    tangle = draw("A1:[G]; A2:[G]; A3:[G]; A4:[G]")
    rng = random.Random(8)
    ends = Counter(choose_parents(tangle, rng)[0] for _ in range(400))
    assert sorted(ends) == sorted(name_id(f"A{n}") for n in range(1, 5))
    assert all(70 <= count <= 130 for count in ends.values()), "each a quarter, five sigma either way"


def test_refused_transactions_are_avoided_until_they_are_allowed():
    tangle = draw("A1:[G]; B1:[G]; C1:[B1]; D1:[C1]")
    tangle.refuse(name_id("C1"))
    assert tangle.is_refused(name_id("C1"))
    for seed in range(20):
        assert set(choose_parents(tangle, random.Random(seed), alpha=0)) == {name_id("A1"), name_id("B1")}
    tangle.allow(name_id("C1"))
    assert not tangle.is_refused(name_id("C1"))
    assert name_id("D1") in choose_parents(tangle, random.Random(1), alpha=0)


def test_an_accept_that_raises_leaves_later_walks_alone():
    tangle = draw("A1:[G]; B1:[G]; C1:[G]")
    before = choose_parents(tangle, random.Random(7))

    def asked(_):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        choose_parents(tangle, random.Random(1), accept=asked)
    assert choose_parents(tangle, random.Random(7)) == before


def test_a_choice_that_accepts_everything_is_the_choice_without():
    """The callbacks run through plain Python beside the columns, on the same walks."""
    tangle = parasite(honest=60, length=9)
    for seed in range(20):
        chance = random.Random(seed)
        same = choose_parents(tangle, chance, accept=lambda _: True)
        assert same == choose_parents(tangle, random.Random(seed))


def test_a_rescued_id_is_the_second_parent():
    tangle = draw("A1:[G]; B1:[G]; C1:[B1]; D1:[C1]")
    for seed in range(20):
        rng = random.Random(seed)
        first, second = choose_parents(tangle, rng, rescue=name_id("A1"), through=name_id("B1"), member=A)
        assert (first, second) == (name_id("D1"), name_id("A1"))
        first, second = choose_parents(tangle, rng, rescue=name_id("A1"), member=A, round_=1)
        assert first in tangle.tips()
        assert second == name_id("A1")
    with pytest.raises(UnknownTransaction):
        choose_parents(tangle, random.Random(1), rescue=b"?" * 32)


def test_orphans_are_own_old_tips():
    """With a quorum of three, old is nine transactions back."""
    woven = "; ".join(f"{'BCD'[n % 3]}{n}:[{'BCD'[(n - 1) % 3]}{n - 1}]" for n in range(1, 25))
    young = draw("A1:[G]; B0:[G]; " + "; ".join(woven.split("; ")[:7]))
    assert orphan_of(young, A) is None, "eight came since"
    tangle = draw("A1:[G]; A2:[G]; B0:[G]; " + woven)
    assert orphan_of(tangle, A) == name_id("A1"), "the oldest first"
    assert orphan_of(tangle, B) is None, "B's are approved"
    tangle.refuse(name_id("A1"))
    assert orphan_of(tangle, A) == name_id("A2")
    tangle.mark_faulty(A)
    assert orphan_of(tangle, A) is None


def test_an_orphan_is_approved_and_confirmed_again():
    """Its issuer's next acknowledgement approves it; walks find that one, which is fresh."""
    tangle = Tangle(3)
    tangle.attach(name_id("G"), (), None, 0, Kind.GENESIS)
    rng = random.Random(6)
    for step in range(40):
        tangle.attach(
            name_id(f"{step}"), choose_parents(tangle, rng, member=step % 4), step % 4, 1, Kind.ACKNOWLEDGEMENT
        )
    tangle.attach(name_id("late"), (name_id("G"), name_id("G")), A, 1, Kind.UPDATE)
    for step in range(100, 160):
        tangle.attach(name_id(f"{step}"), choose_parents(tangle, rng), 1 + step % 3, 1, Kind.ACKNOWLEDGEMENT)
    orphan = orphan_of(tangle, A)
    assert orphan == name_id("late"), "walks from a well approved entry did not come by"
    parents = choose_parents(tangle, rng, rescue=orphan, member=A)
    tangle.attach(name_id("rescue"), parents, A, 1, Kind.ACKNOWLEDGEMENT)
    for step in range(200, 230):
        tangle.attach(name_id(f"{step}"), choose_parents(tangle, rng), 1 + step % 3, 1, Kind.ACKNOWLEDGEMENT)
    assert tangle.is_confirmed(name_id("late"))
