"""Robust means of updates that anyone may read: what is possible without hiding them, as an upper bound.

Krum            Blanchard et al. 2017, "Machine learning with adversaries": the update nearest to its n - f - 2 nearest
trimmed mean    Yin et al. 2018, "Byzantine-robust distributed learning": per coordinate, without the f lowest and highest
median          Yin et al. 2018: per coordinate
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    Aggregator = Callable[[NDArray[np.float32], NDArray[np.int64], int], NDArray[np.float64]]
    """(updates [n, D], weights [n], attackers f) to the step [D]."""


def krum(updates: NDArray[np.float32], weights: NDArray[np.int64], attackers: int) -> NDArray[np.float64]:
    """The one update with the smallest sum of squared distances to its n - f - 2 nearest."""
    del weights  # one is taken as it is
    rows = updates.astype(np.float64)
    gram = rows @ rows.T
    norms = np.diag(gram)
    distances = norms[:, None] + norms[None, :] - 2 * gram
    near = max(1, len(updates) - attackers - 2)
    scores = np.sort(distances, axis=1)[:, 1 : near + 1].sum(axis=1)
    chosen: NDArray[np.float64] = rows[int(scores.argmin())]
    return chosen


def trimmed_mean(updates: NDArray[np.float32], weights: NDArray[np.int64], attackers: int) -> NDArray[np.float64]:
    """Per coordinate the mean without the f lowest and f highest; unweighted."""
    del weights  # a rank has none
    ordered = np.sort(updates.astype(np.float64), axis=0)
    mean: NDArray[np.float64] = ordered[attackers : len(updates) - attackers].mean(axis=0)
    return mean


def median(updates: NDArray[np.float32], weights: NDArray[np.int64], attackers: int) -> NDArray[np.float64]:
    """Per coordinate the median; unweighted."""
    del weights, attackers
    middle: NDArray[np.float64] = np.median(updates.astype(np.float64), axis=0)
    return middle


AGGREGATORS: Final[Mapping[str, Aggregator]] = {"Krum": krum, "trimmed mean": trimmed_mean, "median": median}
"""By the name a table uses."""
