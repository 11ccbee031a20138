"""Cohorts: which members hold a key epoch and train its rounds, drawn from the rounds' seed; and how safe a size is.

The contract draws (`IKeyEpochs.openCohort`), every node and every auditor draws again: all members' seats are lined up in
ascending order and shuffled by the seed that the last ended round left behind; the first M seats are the cohort. Integers
only. Sampling the participants is the field's answer to cost that grows with their number (McMahan et al. 2017,
"Communication-efficient learning of deep networks from decentralized data", fraction C; Bonawitz et al. 2019, "Towards
federated learning at scale").
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil, comb
from typing import TYPE_CHECKING, Final

from eth_utils.crypto import keccak

from chain.errors import BadArgument, WrongCohort
from chain.records import MAX_MEMBERS, checked_digest, checked_integer

if TYPE_CHECKING:
    from collections.abc import Collection

LABEL: Final = keccak(b"medweave/cohort")


def draw(consortium: bytes, seed: bytes, members: Collection[int], size: int) -> frozenset[int]:
    """The members of a cohort: the first places of a shuffle (Fisher and Yates).

    For k = 0 … M - 1 the seat that stands keccak256(keccak256("medweave/cohort") ‖ consortium ‖ seed ‖ k as 32 bytes,
    big-endian) mod (N - k) places behind place k changes places with the one there. The bias of the modulus is below 2^-248.
    So a larger cohort of the same seed holds the smaller ones.

    Args:
        consortium: Its id, 32 bytes.
        seed: What the last ended round left behind, 32 bytes (RoundFinalised or RoundAborted); before the first, the seed of
            round 1.
        members: Seats of all members when the ceremony is opened, distinct.
        size: M, 1 to the number of members.

    Raises:
        BadArgument: An argument is out of its range.
    """
    start = LABEL + checked_digest("consortium", consortium) + checked_digest("seed", seed)
    seats = sorted(set(members))
    if len(seats) != len(members) or not seats or not 0 <= seats[0] <= seats[-1] < MAX_MEMBERS:
        raise BadArgument("members", f"1 to {MAX_MEMBERS} distinct seats below {MAX_MEMBERS}", sorted(members))
    checked_integer("size", size, 1, len(seats))
    for place in range(size):
        word = int.from_bytes(keccak(start + place.to_bytes(32, "big")), "big")
        other = place + word % (len(seats) - place)
        seats[place], seats[other] = seats[other], seats[place]
    return frozenset(seats[:size])


def verify_cohort(
    consortium: bytes, epoch: int, seed: bytes, members: Collection[int], holders: Collection[int]
) -> None:
    """Raise unless a ceremony's holders are the draw of their number.

    Args:
        consortium: Its id, 32 bytes.
        epoch: The ceremony's key epoch, for the error.
        seed: The rounds' seed when it was opened.
        members: Seats of all members when it was opened.
        holders: Seats of those it is among.

    Raises:
        WrongCohort: They are not, with what the draw gives.
        BadArgument: There is no member, no holder, or the seed is malformed.
    """
    expected = draw(consortium, seed, members, min(len(holders), len(members)))
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
