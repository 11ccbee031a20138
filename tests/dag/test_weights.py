"""Eq. 19 and 20."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dag.weights import PPM, contribution_weight, credibility

COUNTS = st.integers(1, 2**32 - 1)


@given(COUNTS, COUNTS, COUNTS, st.integers(1, 100), st.integers(1, 100))
def test_weight_is_eq_19_rounded_down(samples, registered, cap, slots, more):
    weight = contribution_weight(samples, registered, cap, slots, slots + more)
    exact = Fraction(slots, slots + more) * Fraction(min(samples, registered, cap), cap) * PPM
    assert 1 <= weight <= PPM
    assert weight == max(1, exact.__floor__())


def test_registered_size_and_cap_bound_the_claim():
    assert contribution_weight(10**6, 100, 200, 1, 1) == PPM // 2
    assert contribution_weight(10**6, 10**6, 200, 1, 1) == PPM


@pytest.mark.parametrize(
    "arguments", [(0, 1, 1, 1, 1), (1, 0, 1, 1, 1), (1, 1, 0, 1, 1), (1, 1, 1, 0, 1), (1, 1, 1, 2, 1)]
)
def test_impossible_arguments(arguments):
    with pytest.raises(ValueError, match="must be"):
        contribution_weight(*arguments)


def test_credibility_reads_two_ways():
    assert credibility(900_000, 850_000, 700_000) == 50_000
    assert credibility(900_000, 850_000, 700_000, paper_literal=True) == 200_000
    assert credibility(0, PPM, 1) == -PPM
    with pytest.raises(ValueError, match="within"):
        credibility(PPM + 1, 0, 1)
