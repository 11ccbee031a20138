"""Step 8, what a member sees in an opened sum beside its score: whether it is too long, and where it points."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

from node.rounds.decision import alignment, midway, sectioned_model, too_long, without_own
from node.rounds.sections import parts
from node.rounds.steps.shape import sections_of, steps_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from node.rounds.plan import Plan
    from node.rounds.ports import Ports
    from node.rounds.state import Proposal, RoundState

log = logging.getLogger("medweave.rounds")


def over_bound(
    ports: Ports, state: RoundState, plan: Plan, proposal: Proposal, sums: tuple[NDArray[np.int64], ...]
) -> tuple[bool, ...]:
    """Which sums are longer than updates within the plan's L2 bound can make them; their score is 0.

    Of K sections each has 1/√K of the bound (`clip_parts`). With error feedback an update may also carry what its range took from
    earlier ones, at most its own length again.
    """
    if plan.defence == "votes":
        return tuple(False for _ in sums)
    weights = {update.id: update.weight_ppm for update in state.updates}
    share = float(plan.clip_norm) / math.sqrt(len(sections_of(plan, ports.keys.joint.params)))
    allowed = share * (2 if plan.error_feedback else 1)
    steps, found = steps_of(plan, ports.keys.joint.params, state.members.count), []
    for number, (total, values) in enumerate(zip(sums, _values(ports, plan, len(sums)), strict=True)):
        summed = [weights[proposal.updates[position]] for position in proposal.groups[number]]
        found.append(too_long(total, steps[values], summed, allowed))
        if found[-1]:
            log.warning(
                "round %d: sum %d of proposal %s… is longer than its updates may make it: refused",
                *(state.facts.round, number, proposal.id.hex()[:16]),
            )
    return tuple(found)


def pointing(
    ports: Ports,
    state: RoundState,
    plan: Plan,
    proposal: Proposal,
    sums: tuple[NDArray[np.int64], ...],
    base: NDArray[np.float32],
    broken: tuple[bool, ...],
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """How far each sum points where this hospital's own update points, and where the loss of its images falls.

    A sum of one section is compared with that section of them. Its own part is taken out of the sums that it is in.

    Args:
        ports: This node's.
        state: The round's.
        plan: The round's.
        proposal: Whose sums were opened.
        sums: Each int64 [length of its section].
        base: The model that was trained from, float32 [D].
        broken: Which sums are too long, from `over_bound`.

    Returns:
        Alignments and descents, one a sum; both empty where the plan does not ask or this hospital has no update any more.
    """
    own = ports.own.get(state.facts.round)
    if plan.defence == "votes" or own is None:
        return (), ()
    weights = {update.id: update.weight_ppm for update in state.updates}
    mine = next((update.id for update in state.updates if update.issuer == state.members.me), None)
    params = ports.keys.joint.params
    steps = steps_of(plan, params, state.members.count)
    grouped = [[proposal.updates[position] for position in group] for group in proposal.groups]
    totals = [sum(weights[update] for update in group) for group in grouped]
    whole = [not long for long in broken]
    stepped = sectioned_model(base, sums, totals, whole, steps, sections_of(plan, params))
    falling = ports.learner.descent(plan, midway(base, stepped))
    at = _values(ports, plan, len(sums))
    others = [
        without_own(own[values], total, steps[values], weights[mine] if mine is not None and mine in group else 0)
        for total, group, values in zip(sums, grouped, at, strict=True)
    ]
    return (
        tuple(alignment(own[values], each) for each, values in zip(others, at, strict=True)),
        tuple(alignment(falling[values], each) for each, values in zip(others, at, strict=True)),
    )


def _values(ports: Ports, plan: Plan, sums: int) -> tuple[slice, ...]:
    """Which values each of a round's sums is of."""
    sections = sections_of(plan, ports.keys.joint.params)
    groups = parts(range(sums), len(sections))
    return tuple(section.values for section, part in zip(sections, groups, strict=True) for _ in part)
