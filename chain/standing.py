"""Who the members are and how they stand, folded from the chain's events alone; and the leaders' order that follows (CHN-2).

The ranking of a round uses the reputations that stood when the round was opened, so a fault recorded meanwhile changes the
next round's, not the running one's. Whoever reads the chain derives the same order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import gcd
from typing import TYPE_CHECKING, TypeVar

from chain import events as ev
from chain.conduct import FULL_REPUTATION, Fault
from chain.errors import MalformedAnswer
from chain.leader import ranking
from chain.records import bitmap_members

if TYPE_CHECKING:
    from collections.abc import Iterable

    from chain.events import Event

T = TypeVar("T")


@dataclass(frozen=True)
class Standing:
    """The seats of a consortium at one moment, by member index.

    Attributes:
        accounts: The present account of each seat, of former members the last one; checksummed hex.
        members: The indices of those who are members.
        reputations: 0 to 100 for each seat.
        equivocators: The indices of those who were proven to contradict themselves; they regain nothing.
    """

    accounts: tuple[str, ...] = ()
    members: frozenset[int] = frozenset()
    reputations: tuple[int, ...] = ()
    equivocators: frozenset[int] = frozenset()

    def among(self, seats: frozenset[int]) -> Standing:
        """The same with only those of these seats as members that are: a cohort's standing.

        Args:
            seats: The cohort.
        """
        return replace(self, members=self.members & seats)

    @property
    def weights(self) -> tuple[int, ...]:
        """The members' reputations in lowest terms, by ascending index: only their proportions count.

        A consortium in which all stand alike has weights of one, or of zero.
        """
        own = [self.reputations[index] for index in sorted(self.members)]
        common = gcd(*own) or 1
        return tuple(reputation // common for reputation in own)

    def ranking(self, seed: bytes) -> tuple[int, ...]:
        """The member indices in the order in which they lead.

        Args:
            seed: The round's seed, 32 bytes (event RoundOpened).

        Raises:
            BadArgument: If the seed is malformed, or there is no member.
        """
        order = sorted(self.members)
        addresses = [bytes.fromhex(self.accounts[index][2:]) for index in order]
        return tuple(order[place] for place in ranking(seed, addresses, self.weights))


def follow(standing: Standing, event: Event) -> Standing:
    """The standing after one more event; most events change nothing.

    Args:
        standing: The standing before.
        event: The next event in the chain's order.

    Raises:
        MalformedAnswer: If the event is about a seat that was never given.
    """
    try:
        return _follow(standing, event)
    except IndexError:
        raise MalformedAnswer(f"{type(event).__name__} in block {event.block} is about an unknown seat") from None


def standings(events: Iterable[Event]) -> dict[int, Standing]:
    """The standing that fixes each round's ranking: the one at its opening.

    Args:
        events: All events of the deployment from its first block on, in order.

    Returns:
        By round number; of a round that is a cohort's, the cohort's members alone.

    Raises:
        MalformedAnswer: If an event is about a seat that was never given.
    """
    found: dict[int, Standing] = {}
    cohorts: dict[int, frozenset[int]] = {}
    standing = Standing()
    for event in events:
        standing = follow(standing, event)
        if isinstance(event, ev.CohortDrawn):
            cohorts[event.epoch] = bitmap_members(event.holders)
        elif isinstance(event, ev.RoundOpened):
            found[event.round] = standing.among(cohorts.get(event.epoch, standing.members))
    return found


def _follow(standing: Standing, event: Event) -> Standing:
    match event:
        case ev.HospitalAdmitted(index=index, account=account):
            if index != len(standing.accounts):
                raise IndexError
            return replace(
                standing,
                accounts=(*standing.accounts, account),
                members=standing.members | {index},
                reputations=(*standing.reputations, FULL_REPUTATION),
            )
        case ev.HospitalRemoved(index=index):
            return replace(standing, members=standing.members - {index})
        case ev.KeysRotated(index=index, new_account=account):
            return replace(standing, accounts=_put(standing.accounts, index, account))
        case ev.FaultRecorded(index=index, fault=fault, reputation=reputation):
            convicted = {index} if fault == Fault.EQUIVOCATION else set()
            changed = _put(standing.reputations, index, reputation)
            return replace(standing, reputations=changed, equivocators=standing.equivocators | convicted)
        case ev.FaultAnnulled(index=index, reputation=reputation):
            return replace(standing, reputations=_put(standing.reputations, index, reputation))
        case ev.RoundFinalised(signers=signers):
            return replace(standing, reputations=_given_back(standing, bitmap_members(signers)))
        case _:
            return standing


def _given_back(standing: Standing, signers: frozenset[int]) -> tuple[int, ...]:
    """A point for everyone who signed a finalised outcome and lacks one, proven equivocators aside."""
    entitled = signers - standing.equivocators
    return tuple(
        min(FULL_REPUTATION, reputation + (index in entitled)) for index, reputation in enumerate(standing.reputations)
    )


def _put(row: tuple[T, ...], index: int, value: T) -> tuple[T, ...]:
    if index >= len(row):
        raise IndexError
    return (*row[:index], value, *row[index + 1 :])
