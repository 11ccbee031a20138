"""Step 8, what a member sees in an opened sum beside its score: whether it is too long, and where it points."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from node.rounds.decision import alignment, halfway, too_long, without_own
from node.sealing.quantising import plan_layout, step_sizes

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

    With error feedback an update may also carry what its range took from earlier ones, at most its own length again.
    """
    if plan.defence == "votes":
        return tuple(False for _ in sums)
    weights = {update.id: update.weight_ppm for update in state.updates}
    allowed = float(plan.clip_norm) * (2 if plan.error_feedback else 1)
    steps, found = _steps(ports, state, plan), []
    for number, total in enumerate(sums):
        summed = [weights[proposal.updates[position]] for position in proposal.groups[number]]
        found.append(too_long(total, steps, summed, allowed))
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

    Its own part is taken out of the sum that it is in.

    Args:
        ports: This node's.
        state: The round's.
        plan: The round's.
        proposal: Whose sums were opened.
        sums: Each int64 [D].
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
    steps = _steps(ports, state, plan)
    grouped = [[proposal.updates[position] for position in group] for group in proposal.groups]
    whole = [number for number, long in enumerate(broken) if not long]
    totals = [sum(weights[update] for update in grouped[number]) for number in whole]
    falling = ports.learner.descent(plan, halfway(base, [sums[number] for number in whole], totals, steps))
    others = [
        without_own(own, total, steps, weights[mine] if mine is not None and mine in group else 0)
        for total, group in zip(sums, grouped, strict=True)
    ]
    return tuple(alignment(own, each) for each in others), tuple(alignment(falling, each) for each in others)


def _steps(ports: Ports, state: RoundState, plan: Plan) -> NDArray[np.float64]:
    layout = plan_layout(plan.architecture, len(plan.classes), plan.value_range)
    return step_sizes(layout, ports.keys.joint.params, state.members.count)
