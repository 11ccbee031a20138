"""From verdicts and opened sums to the next model. Pure numbers; every member derives the same bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from node.rounds.readings import added, lagging
from node.rounds.sections import parts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from node.rounds.sections import Section
    from node.rounds.state import Verdict

PPM = 1_000_000
ALIGNMENT_STEP = 1000
"""Alignments are told in thousandths."""


def accepted_groups(
    verdicts: Sequence[Verdict], groups: int, compared_by: int | None = None, sections: int = 1
) -> tuple[bool, ...]:
    """Which opened sums enter the model: all but those that more than half of the counted verdicts refuse, and those that lag.

    A statement counts at least a quorum of verdicts, ⌈2N/3⌉, and fewer than N/3 members lie: the honest are more than half
    of what is counted, whichever verdicts its writer picked. So a group that every honest member refuses is left out,
    and one that every honest member accepts is not.

    A sum of which the verdicts state that it points less than half as far where the members' own updates point and where
    their losses fall, both together, as the round's best one (`readings.lagging`) is left out as well, where the plan's
    defence is `suspicion`: its members are drawn anew in the next round, so that leaving it out costs an honest one little.

    Args:
        verdicts: One per member that scored, each with one judgement a group; at least a quorum.
        groups: Number of groups, of all sections.
        compared_by: So many verdicts must state where sums point for these to be compared by it; None: they are not.
        sections: Number of sections K; sums are compared with those of their own section.
    """
    refusals = [sum(not v.accept[g] for v in verdicts) for g in range(groups)]
    voted = tuple(2 * count <= len(verdicts) for count in refusals)
    if compared_by is None:
        return voted
    rows = [added(v.alignment_ppm, v.descent_ppm) for v in verdicts if v.alignment_ppm]
    left: set[int] = set()
    for part in parts(range(groups), sections):
        kept = [g for g in part if voted[g]]
        behind = lagging([tuple(row[g] for row in rows) for g in kept], compared_by)
        left.update(g for g, lags in zip(kept, behind, strict=True) if lags)
    return tuple(yes and g not in left for g, yes in enumerate(voted))


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


def sectioned_model(
    base: NDArray[np.float32],
    sums: Sequence[NDArray[np.int64]],
    weights_ppm: Sequence[int],
    accepted: Sequence[bool],
    steps: NDArray[np.float64] | float,
    sections: Sequence[Section],
) -> NDArray[np.float32]:
    """`next_model`, section by section; a section without an accepted sum stays the base's.

    Args:
        base: Parameters trained from, float32 [D].
        sums: Of every group of all sections, int64 [length of its section].
        weights_ppm: Of every group, Σ ωᵢ in parts per million.
        accepted: Of every group, whether its sum enters.
        steps: As `next_model`.
        sections: The K sections, in order; all values of the base are in one.

    Returns:
        float32 [D]; with one section what `next_model` gives.
    """
    every = np.broadcast_to(steps, base.shape)
    of_groups = parts(list(zip(sums, weights_ppm, accepted, strict=True)), len(sections))
    stepped = []
    for section, groups in zip(sections, of_groups, strict=True):
        chosen = [(total, weight) for total, weight, yes in groups if yes]
        totals, weights = [total for total, _ in chosen], [weight for _, weight in chosen]
        stepped.append(next_model(base[section.values], totals, weights, every[section.values]))
    return np.concatenate(stepped)


def midway(base: NDArray[np.float32], model: NDArray[np.float32]) -> NDArray[np.float32]:
    """The model between two, float32 [D].

    Where a loss falls is looked at between the base and what the round's sums would make of it: the gradient there tells best
    by how much the whole step lowers the loss.
    """
    middle: NDArray[np.float32] = (base + model) / np.float32(2)
    return middle


def acceptable(base_ppm: int, score_ppm: int, tolerance: float) -> bool:
    """Whether a candidate's held-out accuracy fell by no more than the plan's tolerance."""
    return score_ppm >= base_ppm - round(tolerance * PPM)


def too_long(
    total: NDArray[np.int64], steps: NDArray[np.float64] | float, weights_ppm: Sequence[int], clip_norm: float
) -> bool:
    """Whether an opened sum is longer than any sum of updates that obey the plan's bound.

    The triangle inequality: |Σ ωᵢ·Δᵢ| ≤ Σ ωᵢ · clip. Each update was rounded to whole steps once, which adds less than one step
    a coordinate and update.

    Args:
        total: Σ round(ωᵢ·Δᵢ / step), int64 [D].
        steps: Size of one step, scalar or float64 [D].
        weights_ppm: ωᵢ of each update in the sum, in parts per million.
        clip_norm: The plan's L2 bound on one update.
    """
    values = total.astype(np.float64) * steps
    rounding = len(weights_ppm) * float(np.linalg.norm(np.broadcast_to(steps, total.shape)))
    return float(np.linalg.norm(values)) > clip_norm * sum(weights_ppm) / PPM + rounding


def without_own(
    own: NDArray[np.float32], total: NDArray[np.int64], steps: NDArray[np.float64] | float, own_weight_ppm: int
) -> NDArray[np.float64]:
    """What the others sent of a sum, float64 [D].

    Args:
        own: The member's own clipped update, float32 [D].
        total: The opened sum, int64 [D].
        steps: Size of one step, scalar or float64 [D].
        own_weight_ppm: The member's weight where its update is in the sum, whose part is taken out; else 0.
    """
    others: NDArray[np.float64] = total.astype(np.float64) * steps - own.astype(np.float64) * (own_weight_ppm / PPM)
    return others


def alignment(mine: NDArray[np.float32], others: NDArray[np.float64]) -> int:
    """How far the others' part of a sum points where something of a member's points: (1 + cosine) / 2 in parts per million.

    Args:
        mine: The member's own clipped update, or the way in which its own loss falls, float32 [D].
        others: `without_own` of the sum, float64 [D].

    Returns:
        A multiple of `ALIGNMENT_STEP`, so that a verdict tells little of what is behind it; a right angle where there
        is nothing to compare.
    """
    exact = mine.astype(np.float64)
    length = float(np.linalg.norm(exact)) * float(np.linalg.norm(others))
    cosine = float(exact @ others) / length if length > 0 else 0.0
    return round((1 + min(1.0, max(-1.0, cosine))) / 2 * PPM / ALIGNMENT_STEP) * ALIGNMENT_STEP
