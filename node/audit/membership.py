"""How the consortium changed while a model was made, as far as the chain tells: seats, accounts, key epochs, refreshes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from node.audit.chainside import ChainFacts
    from node.consortium.records import EpochView, RoundView


def changes(facts: ChainFacts, rounds: tuple[int, ...]) -> Iterator[str]:
    """What a reader of these rounds should know about who took part; a sentence each.

    Args:
        facts: The chain.
        rounds: The rounds examined, ascending.
    """
    before: RoundView | None = None
    for number in rounds:
        row = facts.view.rounds[number]
        if before is not None:
            yield from _between(before, row)
        if (epoch := facts.view.epochs.get(row.epoch)) is not None:
            yield from _misfit(epoch, row)
        before = row
    for epoch in facts.view.epochs.values():
        if epoch.generation and any(facts.view.rounds[number].epoch == epoch.epoch for number in rounds):
            yield f"key epoch {epoch.epoch}: its shares were refreshed {epoch.generation} times, its joint key never changed"


def _between(before: RoundView, row: RoundView) -> Iterator[str]:
    """What changed from one round's opening to the next one's."""
    where, was, now = f"before round {row.round}", before.standing, row.standing
    earlier, since = was.members | before.resting, now.members | row.resting
    for verb, seats in (("joined", since - earlier), ("left", earlier - since)):
        if seats:
            yield f"{where}: {_listed(seats)} {verb}; {len(since)} members since"
    stayed = earlier & since
    rotated = frozenset(seat for seat in stayed if was.accounts[seat] != now.accounts[seat])
    if rotated:
        yield f"{where}: {_listed(rotated)} changed to another account"
    resized = frozenset(seat for seat in stayed if before.sizes[seat] != row.sizes[seat])
    if resized:
        yield f"{where}: {_listed(resized)} declared another data size"
    if before.epoch != row.epoch:
        yield f"{where}: key epoch {row.epoch} followed epoch {before.epoch}"
        if row.resting:
            yield (
                f"from round {row.round} on: {_listed(now.members)} were drawn as the cohort of key epoch {row.epoch}, "
                f"{len(row.resting)} other members rest"
            )


def _misfit(epoch: EpochView, row: RoundView) -> Iterator[str]:
    """Members without a share of the key, or the other way round: the contracts do not forbid it, nodes do."""
    holders = frozenset(epoch.seats)
    if without := row.standing.members - holders:
        yield f"round {row.round}: {_listed(without)} held no share of the key of epoch {epoch.epoch}"
    if former := holders - row.standing.members:
        yield f"round {row.round}: {_listed(former)}, no members any more, held shares of the key of epoch {epoch.epoch}"


def _listed(seats: frozenset[int]) -> str:
    return f"seat{'s' if len(seats) > 1 else ''} {', '.join(map(str, sorted(seats)))}"
