"""What a model says about slices: probabilities, where it looked, and how far a hospital's own images bear it out.

Shapes: k slices, J classes, S pixels a side.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from PIL import Image

from node.images.dataset import resized
from node.learning.calibration import calibration_error
from node.learning.metrics import predict
from node.learning.overlay import overlay
from node.learning.quality import youden_thresholds
from node.learning.saliency import saliency
from node.learning.settings import TrainingSettings
from node.learning.training import prepared

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from node.images.record import Dataset

NOTICE: Final = "A research model: not a medical device, and no diagnosis."
PICTURE: Final = 512
"""Pixels a side of the pictures."""


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """A slice as the model got it, and where the model looked, to be laid over one another."""

    target: int
    """The class asked about."""
    image: bytes
    """PNG, grey."""
    overlay: bytes
    """PNG: the same with its saliency over it."""


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """What a hospital's own validation images say of a model."""

    thresholds: NDArray[np.float64]
    """``[J]``: probability from which a class is called, by Youden (1950)."""
    calibration_error: float
    """Expected, over 15 bins (Guo et al. 2017, eq. 3): how far probabilities are from shares."""
    images: int
    """How many."""


class Asked:
    """A model ready to be asked.

    Args:
        vector: Its parameters, ``[D]``.
        architecture: The registry's name of its network.
        classes: How many classes it tells apart.
        size: S, the pixels a side it was trained on.

    Raises:
        UnknownArchitecture, WrongVector: The vector is no registered network's.
        BadSettings: The size is out of its range.
    """

    def __init__(self, vector: NDArray[np.float32], architecture: str, classes: int, size: int) -> None:
        self._settings = TrainingSettings(architecture=architecture, classes=classes, image_size=size)
        self._vector = vector
        self._network = prepared(vector, self._settings).eval()
        self.classes = classes
        """J."""

    def probabilities(self, slices: NDArray[np.uint8]) -> NDArray[np.float32]:
        """What the model gives each class of slices ``[k, H, W]``: ``[k, J]``, rows summing to 1."""
        with torch.inference_mode():
            found: NDArray[np.float32] = self._network.probabilities(self._network(self._seen(slices))).numpy()
        return found

    def pictures(self, image: NDArray[np.uint8], target: int | None = None, *, beside: bool = False) -> Pictures:
        """Where the model looked in a slice ``[H, W]``.

        Args:
            image: The slice.
            target: For which class; by default for the likeliest.
            beside: Put the plain slice to the left of the overlay.

        Raises:
            BadSettings: There is no such class.
        """
        seen = saliency(self._network, self._seen(image[None])[0, 0], target)
        return Pictures(seen.target, _grey(image), overlay(image, seen.map, PICTURE, beside=beside))

    def judged(self, dataset: Dataset) -> Judgement:
        """How the model does on a hospital's validation images.

        Raises:
            WrongData: They have another number of classes.
        """
        answers, labels = predict(self._vector, dataset, self._settings), np.asarray(dataset.labels)
        return Judgement(youden_thresholds(answers, labels), calibration_error(answers, labels), len(dataset))

    def _seen(self, slices: NDArray[np.uint8]) -> torch.Tensor:
        """Slices as the network takes them, ``[k, 1, S, S]`` in [0, 1]."""
        small = resized(slices, self._settings.image_size)
        return torch.from_numpy(small.astype(np.float32) / np.float32(255))[:, None]


def _grey(image: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).resize((PICTURE, PICTURE), Image.Resampling.BICUBIC).save(buffer, format="PNG")
    return buffer.getvalue()
