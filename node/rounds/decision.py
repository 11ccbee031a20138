"""From verdicts and opened sums to the next model. Pure numbers; every member derives the same bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from node.rounds.state import Verdict

PPM = 1_000_000


def accepted_groups(verdicts: Sequence[Verdict], groups: int) -> tuple[bool, ...]:
    """Which opened sums enter the model: all but those that more than half of the counted verdicts refuse.

    A statement counts at least a quorum of verdicts, ⌈2N/3⌉, and fewer than N/3 members lie: the honest are more than half
    of what is counted, whichever verdicts its writer picked. So a group that every honest member refuses is left out,
    and one that every honest member accepts is not.

    Args:
        verdicts: One per member that scored, each with one judgement a group; at least a quorum.
        groups: Number of groups.
    """
    refusals = [sum(not v.accept[g] for v in verdicts) for g in range(groups)]
    return tuple(2 * count <= len(verdicts) for count in refusals)


def next_model(
    base: NDArray[np.float32],
    sums: Sequence[NDArray[np.int64]],
    weights_ppm: Sequence[int],
    steps: NDArray[np.float64] | float,
) -> NDArray[np.float32]:
    """Return base + Σ ωᵢ·Δᵢ / Σ ωᵢ over the accepted groups (Algorithm 1, with the weights of eq. 19).

    Args:
        base: Parameters trained from, float32 [D].
        sums: Per accepted group, Σ round(ωᵢ·Δᵢ / step), int64 [D].
        weights_ppm: Per accepted group, Σ ωᵢ in parts per million.
        steps: Size of one quantisation step, scalar or float64 [D].

    Returns:
        float32 [D]. Integer sums and one rounding to float64 and one to float32 per element: the same on every
        machine with IEEE 754 arithmetic. Without an accepted group, the base itself.
    """
    if not sums:
        return base.copy()
    total = np.zeros(base.shape, np.int64)
    for group in sums:
        total += group
    mean = total.astype(np.float64) * steps * (PPM / sum(weights_ppm))
    return (base.astype(np.float64) + mean).astype(np.float32)


def acceptable(base_ppm: int, score_ppm: int, tolerance: float) -> bool:
    """Whether a candidate's held-out accuracy fell by no more than the plan's tolerance."""
    return score_ppm >= base_ppm - round(tolerance * PPM)
