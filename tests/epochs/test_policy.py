"""Which ceremonies a hospital takes part in: small thresholds, small cohorts and undrawn cohorts are refused."""

import hashlib

import pytest

from chain.cohort import draw
from chain.errors import WrongCohort
from node.consortium.records import Draw, EpochView
from node.epochs.policy import KeyPolicy
from node.errors import PolicyRefusal

CONSORTIUM, SEED = (hashlib.sha256(text).digest() for text in (b"consortium", b"seed"))
MEMBERS = tuple(range(9))


def ceremony(seats: tuple[int, ...], threshold: int, *, drawn: bool = True) -> EpochView:
    how = Draw(MEMBERS, SEED, SEED) if drawn else None
    return EpochView(2, bytes(16), threshold, 99, tuple(bytes([seat]) * 20 for seat in seats), seats, drawn=how)


def drawn(size: int) -> tuple[int, ...]:
    return tuple(sorted(draw(CONSORTIUM, SEED, MEMBERS, size)))


def test_what_fits_is_taken_part_in():
    KeyPolicy(0, 6).verify(CONSORTIUM, ceremony(drawn(6), 4))
    KeyPolicy(4, 6).verify(CONSORTIUM, ceremony(drawn(6), 4))
    KeyPolicy(0, 256).verify(CONSORTIUM, ceremony(MEMBERS, 5, drawn=False))


def test_a_small_cohort_is_refused():
    with pytest.raises(PolicyRefusal, match=r"a cohort of 5 .*min_cohort\) asks for at least 6"):
        KeyPolicy(0, 6).verify(CONSORTIUM, ceremony(drawn(5), 4))


@pytest.mark.parametrize(("policy", "threshold"), [(KeyPolicy(), 3), (KeyPolicy(5), 4)])
def test_few_openers_are_refused(policy, threshold):
    with pytest.raises(PolicyRefusal, match="min_threshold"):
        policy.verify(CONSORTIUM, ceremony(drawn(6), threshold))


def test_others_than_the_drawn_are_refused():
    other = next(seat for seat in MEMBERS if seat not in drawn(6))
    seats = tuple(sorted((*drawn(6)[1:], other)))
    with pytest.raises(WrongCohort):
        KeyPolicy().verify(CONSORTIUM, ceremony(seats, 4))
