"""Plain convolutional networks, the baselines a capsule network is measured against."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from node.learning.classifier import Classifier, standardise
from node.learning.layers import convolutions


class PlainNet(Classifier):
    """A body from images ``[B, 1, S, S]`` to logits ``[B, J]``, trained by cross-entropy."""

    def __init__(self, body: nn.Sequential) -> None:
        super().__init__()
        self.body = body

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``[B, J]``."""
        return self.body(standardise(images))  # type: ignore[no-any-return]

    def losses(self, output: Tensor, labels: Tensor) -> Tensor:
        """The cross-entropy, ``[B]``."""
        return nn.functional.cross_entropy(output, labels, reduction="none")

    def last_map(self) -> nn.Module:
        """What the first layer without places reads."""
        flat = (nn.AdaptiveAvgPool2d, nn.Flatten)
        return next(before for before, after in pairwise(self.body) if isinstance(after, flat))

    def score(self, output: Tensor) -> Tensor:
        """The logits."""
        return output

    def probabilities(self, output: Tensor) -> Tensor:
        """The softmax."""
        return torch.softmax(output, dim=1)


def small_cnn(classes: int) -> PlainNet:
    """Four convolutions of 16, 32, 64, 64 channels with standardised weights and global average pooling; any S >= 16."""
    widths = (16, 32, 64, 64)
    return PlainNet(
        nn.Sequential(convolutions(widths), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], classes))
    )


def benchmark_cnn(classes: int) -> PlainNet:
    """The network other federated systems are timed with: 529,347 parameters for 3 classes at 64x64 pixels exactly."""
    return PlainNet(
        nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(32 * 16 * 16, 64),
            nn.ReLU(inplace=True),
            nn.Linear(64, classes),
        )
    )
