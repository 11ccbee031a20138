"""How good a model is on a set of images.

The area under the ROC curve is computed here from ranks (Hanley & McNeil 1982): six lines against scikit-learn's 88 MB of
memory in every hospital's process. Tests hold it against scikit-learn's.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from node.learning.calibration import brier, calibration_error
from node.learning.intervals import Interval, area_interval, share_interval

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from node.images.record import Dataset
    from node.learning.settings import TrainingSettings

BATCH = 64
"""Images scored at once; bounds memory, changes nothing else."""


@dataclass(frozen=True, slots=True)
class Intervals:
    """Where the figures may well lie: 95 % intervals that take a patient's images together. See `intervals`."""

    accuracy: Interval
    auc: Interval | None
    sensitivity: tuple[Interval | None, ...]
    specificity: tuple[Interval | None, ...]


@dataclass(frozen=True, slots=True)
class Metrics:
    """A model's quality on one set. All shares lie in [0, 1]."""

    accuracy: float
    """Share of images whose likeliest class is the true one."""
    auc: float | None
    """Area under the ROC curve: of class 1 for two classes, else the mean of one class against the rest.

    Classes without images, or without others, are left out; None when that leaves none.
    """
    macro_f1: float
    """Mean F1 over the classes that occur, in truth or as an answer."""
    n: int
    """Images scored."""
    confusion: tuple[tuple[int, ...], ...]
    """Images by true class (row) and answered class (column)."""
    sensitivity: tuple[float | None, ...]
    """Share of each class's images that are called it, by class; None without such images."""
    specificity: tuple[float | None, ...]
    """Share of other classes' images that are not called it, by class; None without such images."""
    calibration_error: float
    """Expected calibration error over 15 bins."""
    brier: float
    """Brier's score, halved."""
    intervals: Intervals | None = None
    """Where images are known to be of patients: :func:`evaluate`."""

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self)


def evaluate(
    vector: NDArray[np.float32], dataset: Dataset, settings: TrainingSettings, device: torch.device | None = None
) -> Metrics:
    """The quality of the parameters ``vector [D]`` on ``dataset``, with intervals.

    Raises:
        WrongData: the data set has not the settings' number of classes.
        WrongVector: the vector is not the architecture's.
    """
    answers, labels = predict(vector, dataset, settings, device), np.asarray(dataset.labels)
    return replace(measure(answers, labels), intervals=intervals(answers, labels, dataset.patients))


def predict(
    vector: NDArray[np.float32], dataset: Dataset, settings: TrainingSettings, device: torch.device | None = None
) -> NDArray[np.float32]:
    """Each image's probabilities ``[n, J]``, computed in float32 on ``device`` (by default the processor).

    Raises:
        WrongData, WrongVector: as :func:`evaluate`.
    """
    import torch  # only here: the figures themselves are made and read without it

    from node.learning.training import prepared, tensors

    images, _ = tensors(dataset, settings)
    where = device or torch.device("cpu")
    model = prepared(vector, settings).to(where).eval()
    with torch.inference_mode():
        parts = [
            model.probabilities(model(batch.to(where, memory_format=torch.channels_last))).cpu()
            for batch in torch.split(images, BATCH)
        ]
    found: NDArray[np.float32] = torch.cat(parts).numpy()
    return found


def measure(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> Metrics:
    """The metrics of answers ``[n, J]`` against the truth ``[n]``."""
    J = probabilities.shape[1]
    confusion = np.zeros((J, J), dtype=np.int64)
    np.add.at(confusion, (labels, probabilities.argmax(axis=1)), 1)
    return Metrics(
        accuracy=float(np.trace(confusion) / labels.size),
        auc=_auc(probabilities, labels),
        macro_f1=_macro_f1(confusion),
        n=int(labels.size),
        confusion=tuple(tuple(int(count) for count in row) for row in confusion),
        sensitivity=tuple(_share(confusion[k, k], confusion[k].sum()) for k in range(J)),
        specificity=tuple(_share(*_left_out(confusion, k)) for k in range(J)),
        calibration_error=calibration_error(probabilities, labels),
        brier=brier(probabilities, labels),
    )


def intervals(
    probabilities: NDArray[np.float32], labels: NDArray[np.int64], patients: NDArray[np.str_]
) -> Intervals | None:
    """The intervals of what :func:`measure` gives, ``patients [n]`` saying whose each image is; None of no image."""
    called, whose = probabilities.argmax(axis=1), np.unique(patients, return_inverse=True)[1]
    accuracy = share_interval(called == labels, whose)
    if accuracy is None:
        return None
    own = [labels == k for k in range(probabilities.shape[1])]
    return Intervals(
        accuracy=accuracy,
        auc=area_interval(probabilities, labels, whose),
        sensitivity=tuple(share_interval(called[side] == k, whose[side]) for k, side in enumerate(own)),
        specificity=tuple(share_interval(called[~side] != k, whose[~side]) for k, side in enumerate(own)),
    )


def _share(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None


def _left_out(confusion: NDArray[np.int64], k: int) -> tuple[int, int]:
    """Images of other classes that are not called k, and images of other classes."""
    others = int(confusion.sum() - confusion[k].sum())
    return others - int(confusion[:, k].sum() - confusion[k, k]), others


def _macro_f1(confusion: NDArray[np.int64]) -> float:
    touched = confusion.sum(axis=0) + confusion.sum(axis=1)
    occurs = touched > 0
    return float((2 * np.diag(confusion)[occurs] / touched[occurs]).mean())


def _auc(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> float | None:
    J = probabilities.shape[1]
    areas = [
        _binary_auc(probabilities[:, index], labels == index)
        for index in ([1] if J == 2 else range(J))
        if 0 < int((labels == index).sum()) < labels.size
    ]
    return float(np.mean(areas)) if areas else None


def _binary_auc(scores: NDArray[np.float32], positive: NDArray[np.bool_]) -> float:
    """The chance that a positive image scores above a negative one, ties counting half."""
    _, rank, counts = np.unique(scores, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts - 1) / 2  # 1-based, shared by ties
    p = int(positive.sum())
    above = middle[rank][positive].sum() - p * (p + 1) / 2
    return float(above / (p * (positive.size - p)))
