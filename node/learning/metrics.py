"""How good a model is on a set of images.

The area under the ROC curve is computed here from ranks (Hanley & McNeil 1982): six lines against scikit-learn's 88 MB of
memory in every hospital's process. Tests hold it against scikit-learn's.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from node.learning.training import prepared, tensors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from node.images.record import Dataset
    from node.learning.settings import TrainingSettings

BATCH = 64
"""Images scored at once; bounds memory, changes nothing else."""


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

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self)


def evaluate(vector: NDArray[np.float32], dataset: Dataset, settings: TrainingSettings) -> Metrics:
    """The quality of the parameters ``vector [D]`` on ``dataset``.

    Raises:
        WrongData: the data set has not the settings' number of classes.
        WrongVector: the vector is not the architecture's.
    """
    return measure(predict(vector, dataset, settings), np.asarray(dataset.labels))


def predict(vector: NDArray[np.float32], dataset: Dataset, settings: TrainingSettings) -> NDArray[np.float32]:
    """Each image's probabilities ``[n, J]``.

    Raises:
        WrongData, WrongVector: as :func:`evaluate`.
    """
    images, _ = tensors(dataset, settings)
    model = prepared(vector, settings).eval()
    with torch.inference_mode():
        parts = [model.probabilities(model(batch)) for batch in torch.split(images, BATCH)]
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
    )


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
