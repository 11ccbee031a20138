"""Sums open exactly: random ceremonies with every N from 2 to 64 in reach, any T, drop-outs and opener sets.

A case follows from its number alone. A few run every time; ``make test-slow`` runs 1,000 at ``minimal`` and 20 at
``standard``.
"""

import random

import numpy as np
import pytest

from crypto.modular import Signed
from crypto.parameters import MINIMAL, STANDARD, ParameterSet
from tests.crypto.support import network

QUICK, MANY, STANDARD_CASES = 20, 1000, 20
BATCH = 25
MOST, QUICK_MOST = 64, 10


def shape(rng: random.Random, most: int) -> tuple[int, int]:
    """(N, T): a ceremony costs N² messages, so small N come often and the largest once in a hundred; any T."""
    members = most if rng.random() < 0.01 else round(2 * (most / 2) ** (rng.random() ** 2))
    return members, rng.choice([2, members, rng.randint(2, members)])


def update(rng: random.Random, size: int, limit: int) -> Signed:
    """Random values, values at the limit, or one value everywhere."""
    generator = np.random.default_rng(rng.getrandbits(64))
    match rng.randrange(4):
        case 0:
            return generator.choice([-limit, limit, 0], size)
        case 1:
            return np.full(size, rng.choice([limit, -limit]), np.int64)
        case _:
            return generator.integers(-limit, limit + 1, size)


def check(params: ParameterSet, case: int, most: int = MOST) -> None:
    rng = random.Random(f"exactness/{params.name}/{case}")
    members, threshold = shape(rng, most)
    net = network(params, members, threshold, epoch=case + 1, seed=case % 256)
    size = rng.choice([1, params.values_per_chunk, rng.randint(1, params.values_per_chunk + 10)])
    posting = rng.sample(range(members), rng.randint(1, members))
    updates = [update(rng, size, net.joint.value_limit) for _ in posting]
    sums = net.sum(updates)
    openers = rng.sample(range(members), threshold)
    opened = np.concatenate([net.open(chunk, openers) for chunk in sums])
    assert np.array_equal(opened, np.sum(updates, axis=0)), (case, members, threshold, posting, openers)


def test_a_few_small_ones_at_minimal():
    for case in range(MANY, MANY + QUICK):
        check(MINIMAL, case, QUICK_MOST)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("start", range(0, MANY, BATCH))
def test_a_thousand_at_minimal(start: int):
    for case in range(start, start + BATCH):
        check(MINIMAL, case)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("case", range(STANDARD_CASES))
def test_twenty_at_standard(case: int):
    check(STANDARD, case)


def test_the_cases_reach_the_corners():
    """N = 2 and 64, T = 2 and N are among them, or the thousand would prove less than it says."""

    def shapes(params: ParameterSet, count: int) -> list[tuple[int, int]]:
        return [shape(random.Random(f"exactness/{params.name}/{case}"), MOST) for case in range(count)]

    for found in (shapes(MINIMAL, MANY), shapes(STANDARD, STANDARD_CASES)):
        assert any(t == 2 < n for n, t in found)
        assert any(t == n > 2 for n, t in found)
        assert all(2 <= t <= n <= MOST for n, t in found)
    sizes = {n for n, _ in shapes(MINIMAL, MANY)}
    assert sizes >= {2, MOST}
    assert len(sizes) >= 60
