"""Intervals in closed form, quick enough for every round; `quality` resamples instead and takes a thousand times as long.

    share   Wilson's score interval (1927) of a share of images, with the images counted as fewer where a patient's are
            alike (design effect, Korn & Graubard 1998)
    area    DeLong, DeLong & Clarke-Pearson 1988, eq. 3-5, with a patient's images taken together (Obuchowski 1997,
            eq. 4-5); with every image a patient of its own it is DeLong's variance. More than two classes: of the mean
            of the areas, each image's say in all of them added up first.

Both are 95 % intervals, exact only for many patients. They hold against the truth as a bootstrap by patient does; the
tests compare them. Shapes: n images, J classes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Z: Final = 1.959963984540054
"""97.5th percentile of the standard normal distribution."""

Interval = tuple[float, float]
"""Lower and upper end, in [0, 1]."""


def share_interval(hits: NDArray[np.bool_], patients: NDArray[np.int64]) -> Interval | None:
    """The interval of the share of ``hits [n]``, ``patients [n]`` saying whose each is; None of no image."""
    n = hits.size
    if not n:
        return None
    share = float(hits.mean())
    _, whose = np.unique(patients, return_inverse=True)
    people = int(whose.max()) + 1
    sums = np.bincount(whose, weights=hits - share, minlength=people)
    spread = float((sums**2).sum()) / n**2 * people / max(1, people - 1)
    alone = share * (1 - share) / n
    counted = float(people) if spread <= 0 else min(float(n), max(1.0, n * alone / spread))
    return _wilson(share, counted)


def _wilson(share: float, n: float) -> Interval:
    middle = share + Z**2 / (2 * n)
    half = Z * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    scale = 1 + Z**2 / n
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def area_interval(
    probabilities: NDArray[np.float32], labels: NDArray[np.int64], patients: NDArray[np.int64]
) -> Interval | None:
    """The interval of the area under the ROC curve, as `metrics.Metrics.auc` defines it.

    Args:
        probabilities: ``[n, J]``.
        labels: ``[n]``.
        patients: whose each image is, ``[n]``.

    None where no class has images on both sides.
    """
    J = probabilities.shape[1]
    found = [
        _influence(probabilities[:, index], labels == index, patients)
        for index in ([1] if J == 2 else range(J))
        if 0 < int((labels == index).sum()) < labels.size
    ]
    if not found:
        return None
    area = float(np.mean([each for each, _ in found]))
    says = np.mean([influence for _, influence in found], axis=0)  # [n]
    _, whose = np.unique(patients, return_inverse=True)
    half = Z * math.sqrt(float((np.bincount(whose, weights=says) ** 2).sum()))
    return max(0.0, area - half), min(1.0, area + half)


def _influence(
    scores: NDArray[np.float32], positive: NDArray[np.bool_], patients: NDArray[np.int64]
) -> tuple[float, NDArray[np.float64]]:
    """The area, and how much each image moves it, ``[n]``: DeLong's structural components less the area, over n's.

    The factor m / (m - 1) makes the variance unbiased; m is how many patients have images on that side.
    """
    own, other = np.sort(scores[positive]), np.sort(scores[~positive])
    influence = np.empty(scores.size)
    above = _placed(other, scores[positive])  # V_10: share of negatives below each positive
    below = 1 - _placed(own, scores[~positive])  # V_01: share of positives above each negative
    area = float(above.mean())
    for side, components in ((positive, above), (~positive, below)):
        people = np.unique(patients[side]).size
        scale = math.sqrt(people / max(1, people - 1)) / components.size
        influence[side] = (components - area) * scale
    return area, influence


def _placed(ordered: NDArray[np.float32], values: NDArray[np.float32]) -> NDArray[np.float64]:
    """The share of ``ordered`` below each value, equal ones counting half."""
    low = np.searchsorted(ordered, values, side="left")
    high = np.searchsorted(ordered, values, side="right")
    placed: NDArray[np.float64] = (low + high) / (2 * ordered.size)
    return placed
