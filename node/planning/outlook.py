"""When a hospital opens the next round, and why not before: orders, target, timetable, and what a round cannot do without. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from node.planning.choice import fewest_members, key_serves
from node.planning.timetable import Opening, next_opening, past_of

if TYPE_CHECKING:
    from node.consortium.view import ConsortiumView
    from node.rounds.plan import Plan


@dataclass(frozen=True)
class Wishes:
    """What a hospital's operator wants."""

    asked: bool
    """The next round was ordered."""
    paused: bool
    """None is to be opened without an order."""
    target: int
    """`[rounds] target`: rounds to finalise where the plan has no timetable."""


def next_round(
    view: ConsortiumView, plan: Plan, wishes: Wishes, opened_at: float | None, fresh: int, now: float
) -> Opening:
    """When this hospital opens the next round.

    Args:
        view: What the chain said so far.
        plan: The plan in force.
        wishes: What its operator wants.
        opened_at: When the newest round was opened, Unix seconds; None before the first.
        fresh: Hospitals that have announced new data since the last finalised round.
        now: Unix seconds.
    """
    hindrance = _hindrance(view, plan)
    if hindrance:
        return Opening(None, hindrance)
    if wishes.asked:
        return Opening(now, "asked for here")
    if wishes.paused:
        return Opening(None, "this hospital opens none: `medweave round resume`")
    if plan.scheduled:
        return next_opening(plan, past_of(view, plan, opened_at), fresh, now)
    if view.finalised < wishes.target:
        return Opening(now, f"{view.finalised} of {wishes.target} rounds finalised")
    return Opening(None, "the plan in force has no timetable: `medweave round start`")


def _hindrance(view: ConsortiumView, plan: Plan) -> str:
    """What stands in the way of any round; empty: nothing."""
    current, members = view.current, len(view.members)
    active = view.epochs.get(view.active_epoch)
    holders = len(active.seats) if active is not None and active.drawn else members
    if current is not None and current.open:
        return f"round {current.round} is open"
    if members < fewest_members(plan):
        return f"plan {plan.name!r} waits for {fewest_members(plan)} members, there are {members}"
    if holders < fewest_members(plan):
        return (
            f"plan {plan.name!r} asks for {fewest_members(plan)} members, the cohort that holds the key has {holders}"
        )
    if not view.fitting:
        return "the members have no key of theirs yet: see `medweave keys watch`"
    if not key_serves(view, plan):
        return (
            f"plan {plan.name!r} asks for a key that any {plan.threshold_for(holders)} members open ({plan.parameter_set}): the nodes "
            "make it where the plan is in force by vote, else `medweave keys rotate` does"
        )
    return ""
