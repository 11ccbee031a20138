"""A round always ends: a hundred seeded schedules of bad leaders, failing members and a bad network (docs/spec/round.md, RND-18).

A failing seed reproduces: `pytest tests/flow/test_liveness.py -k 'seed-17'` plays the same messages in the same order.
"""

from __future__ import annotations

import pytest

from tests.flow.liveness.network import play
from tests.flow.liveness.oracle import judge
from tests.flow.liveness.schedule import draw

SEEDS, QUICK = 100, 30
"""How many schedules there are, and how many of them the default run plays: every way to lead badly once, some twice."""


def seeds() -> list:
    marks = {True: (), False: (pytest.mark.slow,)}
    return [pytest.param(seed, id=f"seed-{seed}", marks=marks[seed < QUICK]) for seed in range(SEEDS)]


@pytest.mark.parametrize("seed", seeds())
def test_a_round_ends_whatever_goes_wrong(seed: int):
    played = play(draw(seed))
    problems = judge(played)
    assert not problems, f"{'; '.join(problems)}\n{played.story}"


def test_a_seed_plays_the_same_again():
    """The story names transactions by their ids: every byte of both runs was the same."""
    assert play(draw(3)).story == play(draw(3)).story
    assert play(draw(3)).story != play(draw(4)).story
