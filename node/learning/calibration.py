"""Whether a probability means what it says.

ECE    = sum_b |B_b|/n |acc(B_b) - conf(B_b)|       Guo et al. 2017, eq. 3
Brier  = 1/2n sum_i sum_k (p_ik - y_ik)^2           Brier 1950, halved so that it lies in [0, 1]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BINS: Final = 15
"""Equal bins of confidence for the calibration error, as in Guo et al. 2017."""


def calibration_error(probabilities: NDArray[np.float32], labels: NDArray[np.int64], bins: int = BINS) -> float:
    """The expected calibration error of answers ``[n, J]``, 0 (perfect) to 1; bins are (a, b]."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    gaps = np.bincount(place, weights=right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / labels.size)


def brier(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Brier's score of answers ``[n, J]``, 0 (certain and right) to 1 (certain and wrong)."""
    truth = labels[:, None] == np.arange(probabilities.shape[1])
    return float(((probabilities.astype(np.float64) - truth) ** 2).sum(axis=1).mean() / 2)
