"""What a plan says of the vectors that a round adds: the steps they are rounded to, and the sections they are summed in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from node.rounds.sections import cut
from node.sealing.quantising import plan_layout, step_sizes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from crypto.layout import Layout
    from crypto.parameters import ParameterSet
    from node.rounds.plan import Plan
    from node.rounds.sections import Section


def layout_of(plan: Plan) -> Layout:
    """The layout manifest that a plan implies."""
    return plan_layout(plan.architecture, len(plan.classes), plan.value_range)


def steps_of(plan: Plan, params: ParameterSet, members: int) -> NDArray[np.float64]:
    """Size of one quantisation step per coordinate, float64 [D], where so many members add."""
    return step_sizes(layout_of(plan), params, members)


def sections_of(plan: Plan, params: ParameterSet) -> tuple[Section, ...]:
    """The sections of a plan's updates: the plan's number of them, or one a ciphertext where these are fewer."""
    return cut(layout_of(plan).size, params.values_per_chunk, plan.sections)
