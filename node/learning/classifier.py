"""What every network of the registry has in common."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

MIN_DEVIATION = 1e-2
"""Standard deviation, of images in [0, 1], below which an image counts as flat and is not amplified further."""


class Classifier(nn.Module, ABC):
    """Images in, scores out; the scores' meaning, loss and probabilities belong together.

    A network holds parameters only, never buffers: what federated averaging does not see must not exist.
    """

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Scores of images ``[B, 1, S, S]`` in [0, 1]; their shape is the network's own, batch first."""

    @abstractmethod
    def losses(self, output: Tensor, labels: Tensor) -> Tensor:
        """Each image's loss against ``labels [B]``, ``[B]``; see `objective` for what is made of them."""

    def fan_in(self, name: str, shape: tuple[int, ...]) -> int:
        """How many inputs one output of the tensor ``name`` sums over; its first values are spread accordingly."""
        del name
        return math.prod(shape[1:])

    @abstractmethod
    def last_map(self) -> nn.Module:
        """The module whose output ``[B, C, s, s]`` is the last that still has places: what saliency looks at."""

    @abstractmethod
    def score(self, output: Tensor) -> Tensor:
        """``[B, J]``, what :meth:`probabilities` are made of and what their gradient is taken of: no softmax over it."""

    @abstractmethod
    def probabilities(self, output: Tensor) -> Tensor:
        """``[B, J]``, non-negative, rows summing to 1."""


def standardise(images: Tensor) -> Tensor:
    """Each image with mean 0 and deviation 1, so that one scanner's window does not look like a diagnosis.

    Shape ``[B, 1, S, S]`` in and out.
    """
    deviation, mean = torch.std_mean(images, dim=(1, 2, 3), keepdim=True, correction=0)
    return (images - mean) / deviation.clamp_min(MIN_DEVIATION)
