"""From verdicts to the next model: the quorum rule, plain arithmetic, the same bytes whatever the order."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from node.learning.training import clip_l2
from node.rounds.decision import (
    PPM,
    acceptable,
    accepted_groups,
    alignment,
    midway,
    next_model,
    sectioned_model,
    too_long,
    without_own,
)
from node.rounds.sections import cut
from node.rounds.state import Verdict

VOTES = st.integers(1, 6).flatmap(
    lambda groups: st.lists(st.lists(st.booleans(), min_size=groups, max_size=groups), min_size=1, max_size=12)
)


def verdicts(votes) -> list[Verdict]:
    return [Verdict(bytes([k]) * 32, k, bytes(32), tuple(row)) for k, row in enumerate(votes)]


@given(VOTES)
def test_a_group_falls_exactly_when_more_than_half_refuse_it(votes):
    accepted = accepted_groups(verdicts(votes), len(votes[0]))
    for number, kept in enumerate(accepted):
        assert kept == (2 * sum(not row[number] for row in votes) <= len(votes))


@pytest.mark.parametrize("members", range(1, 13))
def test_fewer_than_a_third_decide_nothing(members):
    """Whichever quorum of verdicts a statement counts, liars below N/3 neither fell a good group nor save a bad one."""
    liars = (members - 1) // 3
    for counted in range(-(-2 * members // 3), members + 1):
        honest = counted - liars
        assert accepted_groups(verdicts([[True]] * honest + [[False]] * liars), 1) == (True,)
        assert accepted_groups(verdicts([[False]] * honest + [[True]] * liars), 1) == (False,)


def stating(rows, refused=()) -> list[Verdict]:
    """Verdicts that state where sums point, the same of both; all of them refuse the groups in `refused`."""
    votes = [tuple(g not in refused for g in range(len(rows[0]))) for _ in rows]
    return [Verdict(bytes([k]) * 32, k, bytes(32), votes[k], tuple(row), tuple(row)) for k, row in enumerate(rows)]


ROWS = [(560_000 + 1000 * k, 520_000 - 1000 * k, 550_000) for k in range(7)]
"""Cosines of some 0.12, 0.03 and 0.1."""


def test_a_sum_that_lags_is_left_out_where_the_plan_compares_sums():
    assert accepted_groups(stating(ROWS), 3, 7) == (True, False, True)
    assert accepted_groups(stating(ROWS), 3) == (True, True, True)
    assert accepted_groups(stating(ROWS), 3, 8) == (True, True, True), "fewer state them than a quorum"


def test_a_sum_lags_by_alignment_and_descent_together():
    """Neither alone says enough against the second sum, both do; and one that says the contrary saves it."""
    less, fine = (540_000, 525_000), (540_000, 540_000)
    for aligned, falling, kept in (
        (less, fine, True),
        (fine, less, True),
        (less, (540_000, 510_000), False),
        (less, (540_000, 560_000), True),
    ):
        votes = [Verdict(bytes([k]) * 32, k, bytes(32), (True, True), aligned, falling) for k in range(7)]
        assert accepted_groups(votes, 2, 7) == (True, kept)


def test_sums_are_compared_within_their_section():
    """The second section's sums point nowhere near as far as the first one's, and none of them lags behind the other."""
    rows = [(590_000, 510_000, 540_000, 538_000)] * 7
    assert accepted_groups(stating(rows), 4, 7, 2) == (True, False, True, True)
    assert accepted_groups(stating(rows), 4, 7) == (True, False, False, False)
    assert accepted_groups(stating(rows, refused=(0,)), 4, 7, 2) == (False, True, True, True), (
        "one alone is not compared"
    )


def test_a_little_less_than_the_best_is_chance():
    assert accepted_groups(stating([(502_000, 500_000)] * 7), 2, 7) == (True, True)
    assert accepted_groups(stating([(560_000, 540_000)] * 7), 2, 7) == (True, True)
    assert accepted_groups(stating([(490_000, 489_000)] * 7), 2, 7) == (True, True), "nobody points along: nobody lags"


def test_a_sum_that_the_votes_refuse_is_no_yardstick():
    """A sum beyond the bound may point wherever its maker likes."""
    rows = [(990_000, 560_000, 550_000)] * 7
    assert accepted_groups(stating(rows), 3, 7) == (True, False, False)
    assert accepted_groups(stating(rows, refused=(0,)), 3, 7) == (False, True, True)


@pytest.mark.parametrize("lie", [(0, 10**6, 10**6), (10**6, 0, 0), (620_000, 480_000, 480_000)])
def test_liars_neither_save_a_lagging_sum_nor_fell_a_good_one(lie):
    """Of seven counted verdicts three are lies, the most there are among ten members."""
    assert accepted_groups(stating([*ROWS[:4], *[lie] * 3]), 3, 7) == (True, False, True)


SIZE = 6
BASE = hnp.arrays(np.float32, SIZE, elements=st.floats(-3, 3, width=32))
SUM = hnp.arrays(np.int64, SIZE, elements=st.integers(-(10**6), 10**6))
STEPS = hnp.arrays(np.float64, SIZE, elements=st.floats(1e-9, 1e-2))


@given(BASE, st.lists(st.tuples(SUM, st.integers(1, PPM)), min_size=1, max_size=5), STEPS)
def test_the_next_model_is_base_plus_the_weighted_mean(base, groups, steps):
    """Algorithm 1: w + Σ ωᵢΔᵢ / Σ ωᵢ, here in exact rationals and rounded once at the end."""
    sums, weights = [g for g, _ in groups], [w for _, w in groups]
    found = next_model(base, sums, weights, steps)
    share = Fraction(sum(weights), PPM)
    exact = [
        float(Fraction(float(base[d])) + sum(int(s[d]) for s in sums) * Fraction(float(steps[d])) / share)
        for d in range(SIZE)
    ]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.array(exact), rtol=2e-7, atol=1e-12)


@given(BASE, st.lists(st.tuples(SUM, st.integers(1, PPM)), min_size=1, max_size=5), STEPS, st.randoms())
def test_the_order_of_groups_changes_no_bit(base, groups, steps, chance):
    mixed = list(groups)
    chance.shuffle(mixed)
    one, two = (
        next_model(base, [g for g, _ in order], [w for _, w in order], steps).tobytes() for order in (groups, mixed)
    )
    assert one == two


@given(BASE)
def test_without_a_group_the_base_stays(base):
    kept = next_model(base, [], [], 1e-3)
    assert kept.tobytes() == base.tobytes()
    assert kept is not base


@given(BASE, SUM, STEPS)
def test_inputs_are_left_alone(base, total, steps):
    before = base.tobytes(), total.tobytes(), steps.tobytes()
    next_model(base, [total, total], [1, 2], steps)
    assert (base.tobytes(), total.tobytes(), steps.tobytes()) == before


@pytest.mark.parametrize(
    ("base", "score", "tolerance", "fine"),
    [
        (900_000, 900_000, 0.0, True),
        (900_000, 899_999, 0.0, False),
        (900_000, 800_000, 0.1, True),
        (900_000, 799_999, 0.1, False),
        (50_000, 0, 0.1, True),
        (0, 0, 0.0, True),
        (PPM, 0, 1.0, True),
    ],
)
def test_a_group_may_cost_the_tolerance_and_no_more(base, score, tolerance, fine):
    assert acceptable(base, score, tolerance) == fine


UPDATES = st.lists(hnp.arrays(np.float32, 40, elements=st.floats(-1, 1, width=32)), min_size=1, max_size=6)


@given(UPDATES, st.floats(0.1, 5), st.data())
def test_no_sum_of_updates_within_the_bound_is_too_long(updates, bound, data):
    """Whatever their weights, and rounded to whole steps the worst way."""
    step, total, weights = 1e-3, np.zeros(40, np.int64), []
    for update in updates:
        ppm = data.draw(st.integers(1, PPM))
        delta, _ = clip_l2(update, bound)
        total += np.ceil(np.abs(delta * (ppm / PPM)) / step).astype(np.int64) * np.sign(delta).astype(np.int64)
        weights.append(ppm)
    assert not too_long(total, step, weights, bound)


def test_a_sum_beyond_the_bound_is_too_long():
    total = np.full(10_000, 1000, np.int64)
    length = float(np.linalg.norm(total * 1e-5))
    assert too_long(total, 1e-5, [PPM], length * 0.7)
    assert not too_long(total, 1e-5, [PPM], length)
    assert not too_long(total, 1e-5, [PPM, PPM], length * 0.7)


@given(hnp.arrays(np.float32, 8, elements=st.floats(-1, 1, width=32)), st.integers(1, PPM))
def test_alignment_is_of_what_others_sent(own, weight):
    """Its own part is taken out first, so that nobody is aligned with itself."""
    step = 1e-9
    alone = np.rint(own.astype(np.float64) * (weight / PPM) / step).astype(np.int64)
    other = np.arange(1, 9, dtype=np.int64) * 10**8
    parts = without_own(own, other, step, 0), without_own(own, alone + other, step, weight)
    np.testing.assert_allclose(*parts, atol=step)
    assert alignment(own, parts[0]) == alignment(own, parts[1])


def test_alignment_by_hand():
    own = np.array([3, 4], np.float32)
    for total, expected in (((6, 8), PPM), ((-6, -8), 0), ((-4, 3), 500_000), ((0, 0), 500_000), ((4, 3), 980_000)):
        assert alignment(own, np.array(total, np.float64)) == expected
    assert alignment(np.zeros(2, np.float32), np.array([1.0, 1.0])) == 500_000


@given(
    BASE, st.lists(st.tuples(SUM, st.integers(1, PPM), st.booleans()), min_size=2, max_size=4), STEPS, st.integers(1, 6)
)
def test_a_sectioned_model_is_the_next_model_of_every_section(base, groups, steps, per_chunk):
    """The first half of the groups are of the first section, and so on; every value is stepped by its own section's sums."""
    sections = cut(SIZE, per_chunk, 2)
    groups = groups[: len(groups) // len(sections) * len(sections)]
    each = len(groups) // len(sections)
    of_section = [groups[k * each : (k + 1) * each] for k in range(len(sections))]
    found = sectioned_model(
        base,
        [total[section.values] for section, some in zip(sections, of_section, strict=True) for total, _, _ in some],
        [weight for _, weight, _ in groups],
        [accepted for _, _, accepted in groups],
        steps,
        sections,
    )
    for section, some in zip(sections, of_section, strict=True):
        whole = next_model(base, [t for t, _, yes in some if yes], [w for _, w, yes in some if yes], steps)
        assert found[section.values].tobytes() == whole[section.values].tobytes()
    assert found.shape == base.shape


def test_midway_by_hand():
    found = midway(np.array([1, -1], np.float32), np.array([2, 3], np.float32))
    np.testing.assert_array_equal(found, np.array([1.5, 1], np.float32))
