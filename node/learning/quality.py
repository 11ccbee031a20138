"""A model's quality in full: what a clinician asks, each figure with the interval it may well lie in.

Intervals resample *patients*, not images (cluster bootstrap, Field & Welsh 2007): two slices of one patient say little more than
one, and an interval that counts them as two is too narrow. Percentile intervals are a little
narrow themselves: at 120 patients they covered the truth in 92 of 100 samples. Calibration is the expected error of Guo et al. 2017, eq. 3, and Brier's score.
Thresholds are Youden's (1950), to be chosen on validation images and only then used on others.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from node.learning.calibration import brier, calibration_error
from node.learning.errors import WrongData
from node.learning.metrics import measure

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

DRAWS: Final = 1000
"""Bootstrap samples of one interval."""

COVERAGE: Final = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and its interval. All in [0, 1]."""

    value: float
    """On the images as they are."""
    low: float
    """2.5th percentile over resampled patients."""
    high: float
    """97.5th percentile."""


@dataclass(frozen=True, slots=True)
class Quality:
    """A model on one set. None where the set has only one of two sides that a figure compares."""

    accuracy: Estimate | None
    macro_f1: Estimate | None
    auc: Estimate | None
    """Of class 1 for two classes, else the mean of one class against the rest."""
    sensitivity: tuple[Estimate | None, ...]
    """Share of each class's images that are called it (at the thresholds), by class."""
    specificity: tuple[Estimate | None, ...]
    """Share of other classes' images that are not called it, by class."""
    calibration_error: Estimate | None
    """Mean distance of confidence and accuracy over 15 bins, weighted by images; 0 is perfect."""
    brier: Estimate | None
    """Mean squared distance of the probabilities from the truth, halved so that it lies in [0, 1]."""
    images: int
    patients: int
    draws: int

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self)


def quality(
    probabilities: NDArray[np.float32],
    labels: NDArray[np.int64],
    patients: NDArray[np.str_],
    thresholds: NDArray[np.float64] | None = None,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> Quality:
    """Every figure with its interval; the same for the same seed.

    Args:
        probabilities: ``[n, J]``, rows summing to 1.
        labels: the truth, ``[n]``.
        patients: whose each image is, ``[n]``.
        thresholds: probability from which an image is called a class, ``[J]``, for sensitivity and specificity; by
            default an image is called its likeliest class.
        draws: bootstrap samples, at least 20.
        seed: of the resampling.

    Raises:
        WrongData: lengths differ, there is no image, or too few draws.
    """
    n, J = probabilities.shape
    if not n or labels.shape != (n,) or patients.shape != (n,) or draws < 20:
        raise WrongData(
            f"quality of {n} answers, {labels.shape} labels, {patients.shape} patients and {draws} draws: expected "
            "as many of each, at least one, and at least 20 draws"
        )
    called = _one_hot(probabilities.argmax(axis=1), J) if thresholds is None else probabilities >= thresholds
    rows = _resampled(patients, draws, seed)

    def estimate(figure: Callable[[NDArray[np.int64]], float | None]) -> Estimate | None:
        value = figure(np.arange(n))
        found = [each for each in map(figure, rows) if each is not None]
        if value is None or not found:
            return None
        edge = (1 - COVERAGE) / 2
        low, high = np.quantile(found, (edge, 1 - edge))
        return Estimate(float(value), float(low), float(high))

    def share_called(rows: NDArray[np.int64], index: int, *, own: bool) -> float | None:
        side = (labels[rows] == index) == own
        return float((called[rows, index][side] == own).mean()) if side.any() else None

    return Quality(
        accuracy=estimate(lambda r: measure(probabilities[r], labels[r]).accuracy),
        macro_f1=estimate(lambda r: measure(probabilities[r], labels[r]).macro_f1),
        auc=estimate(lambda r: measure(probabilities[r], labels[r]).auc),
        sensitivity=tuple(estimate(lambda r, k=k: share_called(r, k, own=True)) for k in range(J)),  # type: ignore[misc]
        specificity=tuple(estimate(lambda r, k=k: share_called(r, k, own=False)) for k in range(J)),  # type: ignore[misc]
        calibration_error=estimate(lambda r: calibration_error(probabilities[r], labels[r])),
        brier=estimate(lambda r: brier(probabilities[r], labels[r])),
        images=n,
        patients=int(np.unique(patients).size),
        draws=draws,
    )


def youden_thresholds(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """For each class the threshold ``[J]`` with the largest sensitivity + specificity; 0.5 where a side is missing.

    Of equally good thresholds the middle of the gap above the best split is taken.
    """
    J = probabilities.shape[1]
    found = np.full(J, 0.5)
    for index in range(J):
        scores, own = probabilities[:, index].astype(np.float64), labels == index
        if own.all() or not own.any():
            continue
        values = np.unique(scores)
        below = np.searchsorted(values, scores)
        lost = np.cumsum(np.bincount(below[own], minlength=values.size)) / own.sum()  # sensitivity lost above values[k]
        kept = np.cumsum(np.bincount(below[~own], minlength=values.size)) / (~own).sum()  # specificity there
        best = int(np.argmax(kept - lost))
        following = values[best + 1] if best + 1 < values.size else 1.0
        found[index] = (values[best] + following) / 2 if kept[best] > lost[best] else values[0]
    return found


def _one_hot(classes: NDArray[np.int64], J: int) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = classes[:, None] == np.arange(J)
    return found


def _resampled(patients: NDArray[np.str_], draws: int, seed: int) -> list[NDArray[np.int64]]:
    """Rows of ``draws`` samples, each of as many patients as there are, drawn with replacement, with all their images."""
    _, whose = np.unique(patients, return_inverse=True)
    count = int(whose.max()) + 1
    rows = [np.flatnonzero(whose == person) for person in range(count)]
    rng = np.random.default_rng(seed)
    return [np.concatenate([rows[person] for person in rng.integers(0, count, count)]) for _ in range(draws)]
