"""Cohorts: which members hold a key epoch and train its rounds, drawn from the rounds' seed; and how safe a size is.

The draw lines all members' seats up in ascending order and shuffles them with SHAKE256 (FIPS 202) over a label, the
consortium, the epoch's number and the seed that the last ended round left behind; the first M seats are the cohort. That
seed mixes values which the members of a round committed to and revealed (CHN-2), so nobody chose it. Integers only: every
node and every auditor draws the same. Sampling the participants is the field's answer to cost that grows with their number
(McMahan et al. 2017, "Communication-efficient learning of deep networks from decentralized data", fraction C; Bonawitz et
al. 2019, "Towards federated learning at scale").
"""

from __future__ import annotations

import hashlib
from fractions import Fraction
from math import ceil, comb
from typing import TYPE_CHECKING, Final

from chain.errors import BadArgument, WrongCohort
from chain.records import MAX_MEMBERS, checked_digest, checked_integer

if TYPE_CHECKING:
    from collections.abc import Collection

LABEL: Final = b"medweave/cohort"
_WORDS: Final = 4096
"""64-bit words taken from the output; a word is passed over with a chance below 2^-56, and at most 255 are needed."""


def draw(consortium: bytes, epoch: int, seed: bytes, members: Collection[int], size: int) -> frozenset[int]:
    """The members of a cohort.

    The output is read as big-endian words of 64 bits. For k = 0 … M - 1 the next word below the largest multiple of N - k
    that 64 bits hold, modulo N - k, says how far behind place k the seat stands that comes to it (Fisher and Yates).

    Args:
        consortium: Its id, 32 bytes.
        epoch: The key epoch the cohort is drawn for, from 1.
        seed: What the last ended round left behind, 32 bytes (RoundFinalised or RoundAborted).
        members: Seats of all members when the ceremony is opened, distinct.
        size: M, 1 to the number of members.

    Raises:
        BadArgument: An argument is out of its range.
    """
    checked_digest("consortium", consortium)
    checked_digest("seed", seed)
    checked_integer("epoch", epoch, 1, 2**64 - 1)
    seats = sorted(set(members))
    if len(seats) != len(members) or not seats or not 0 <= seats[0] <= seats[-1] < MAX_MEMBERS:
        raise BadArgument("members", f"1 to {MAX_MEMBERS} distinct seats below {MAX_MEMBERS}", sorted(members))
    checked_integer("size", size, 1, len(seats))
    stream = hashlib.shake_256(LABEL + consortium + epoch.to_bytes(8, "big") + seed).digest(8 * _WORDS)
    words = (int.from_bytes(stream[at : at + 8], "big") for at in range(0, len(stream), 8))
    for place in range(size):
        left = len(seats) - place
        word = next(word for word in words if word < (1 << 64) - (1 << 64) % left)
        other = place + word % left
        seats[place], seats[other] = seats[other], seats[place]
    return frozenset(seats[:size])


def verify_cohort(
    consortium: bytes, epoch: int, seed: bytes | None, members: Collection[int], holders: Collection[int]
) -> None:
    """Raise unless a ceremony's holders are the draw of their number, or all members.

    Args:
        consortium: Its id, 32 bytes.
        epoch: The ceremony's key epoch.
        seed: What the last ended round had left behind when it was opened; None where no round was finalised before: whoever
            set the consortium up could have chosen all that the draw would follow from.
        members: Seats of all members when it was opened.
        holders: Seats of those it is among.

    Raises:
        WrongCohort: They are not, with what the draw gives.
        BadArgument: There is no member, no holder, or the seed is malformed.
    """
    if set(holders) == set(members):
        return
    if seed is None:
        raise WrongCohort(epoch, frozenset(holders), None)
    expected = draw(consortium, epoch, seed, members, len(holders))
    if expected != set(holders):
        raise WrongCohort(epoch, frozenset(holders), expected)


def tail(members: int, marked: int, size: int, least: int) -> Fraction:
    """The chance that a cohort holds at least so many of the marked members: the hypergeometric distribution's upper tail.

    Args:
        members: N.
        marked: How many of them are marked: Byzantine, or in league. 0 to N.
        size: M, drawn without replacement, 1 to N.
        least: How many marked ones are too many.

    Returns:
        The exact probability.

    Raises:
        BadArgument: An argument is out of its range.
    """
    checked_integer("members", members, 1, 2**31)
    checked_integer("marked", marked, 0, members)
    checked_integer("size", size, 1, members)
    checked_integer("least", least, 0, size + 1)
    ways = sum(comb(marked, k) * comb(members - marked, size - k) for k in range(least, min(marked, size) + 1))
    return Fraction(ways, comb(members, size))


def too_many_faulty(size: int) -> int:
    """How many Byzantine members break a cohort's agreement: a third or more of it."""
    return ceil(Fraction(size, 3))


def too_many_curious(size: int) -> int:
    """How many colluders open any sum of a cohort by themselves: the usual threshold, two thirds of it."""
    return ceil(Fraction(2 * size, 3))
