"""An Inception-style extractor in front of the two capsule layers: the network the paper calls IV3*, at a hospital's size.

    Szegedy et al.: "Rethinking the Inception architecture for computer vision", CVPR 2016, arXiv:1512.00567

Each block looks at its input at several scales at once and stacks what it finds (figure 5 of Szegedy et al.): a lesion of
two pixels and one of twelve meet the same layer. 5x5 filters are two of 3x3, and every branch narrows by 1x1 filters first.
A reduction halves the side by two strided branches beside a pooling one (figure 10). Inception-v3 has 24 million
parameters for 1000 classes of photographs; this has 0.4 million.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from node.learning.layers import convolutions, convolved


class Block(nn.Module):
    """Four branches side by side. ``[B, C_in, S, S]`` to ``[B, 4 w, S, S]``.

    Args:
        inputs: C_in.
        width: w, channels of each branch.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        narrow = max(8, width * 3 // 4)
        self.point = convolved(inputs, width, 1)
        self.near = nn.Sequential(convolved(inputs, narrow, 1), convolved(narrow, width, 3))
        self.far = nn.Sequential(convolved(inputs, narrow, 1), convolved(narrow, width, 3), convolved(width, width, 3))
        self.smooth = nn.Sequential(nn.AvgPool2d(3, stride=1, padding=1), convolved(inputs, width, 1))

    def forward(self, features: Tensor) -> Tensor:
        """The branches' channels one after another."""
        return torch.cat([self.point(features), self.near(features), self.far(features), self.smooth(features)], dim=1)


class Reduction(nn.Module):
    """Half the side, more channels. ``[B, C_in, S, S]`` to ``[B, C_in + 2 w, S/2, S/2]``.

    Args:
        inputs: C_in.
        width: w, channels of each of the two convolving branches.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        narrow = max(8, width * 3 // 4)
        self.near = nn.Sequential(convolved(inputs, narrow, 1), convolved(narrow, width, 3, stride=2))
        self.far = nn.Sequential(
            convolved(inputs, narrow, 1), convolved(narrow, width, 3), convolved(width, width, 3, stride=2)
        )
        self.pooled = nn.MaxPool2d(2)

    def forward(self, features: Tensor) -> Tensor:
        """The branches' channels, then the pooled input's."""
        return torch.cat([self.near(features), self.far(features), self.pooled(features)], dim=1)


WIDTH = 288
"""Channels of :func:`extractor`'s output."""


def extractor() -> nn.Sequential:
    """``[B, 1, S, S]`` to ``[B, 288, S/8, S/8]``."""
    return nn.Sequential(
        convolutions((32, 64)),
        nn.MaxPool2d(2),
        Block(64, 40),  # 160
        Reduction(160, 64),  # 288
        Block(288, 72),  # 288
    )
