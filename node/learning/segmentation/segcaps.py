"""Capsules for segmentation: windows of capsules vote for the capsule in their middle.

    LaLonde & Bagci: "Capsules for object segmentation", 2018, arXiv:1804.04241 (SegCaps)

A layer of capsules has I types of D dimensions at every pixel. A child type has one transformation matrix for each place in
a k x k window, the same over the whole slice, so its votes for a parent are a convolution; the votes of all child types for
a parent at one pixel are then routed (eq. 11: the vote, eq. 12: the routed sum). Memory is bounded by types, not by pixels
that see each other: that is what locally constrained routing means.

    slice -> convolution -> capsules at 1/2 -> 1/4 -> up to 1/2 (beside the first) -> up to 1 (beside the convolution) -> classes

The answer is the length of each class capsule at each pixel. Shapes: B batch, I child types, J parent types, D dimensions
in, K dimensions out, S pixels a side.
"""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor, nn

from node.learning.classifier import standardise
from node.learning.routing import ITERATIONS, lengths, route

DIMENSIONS: Final = 8
"""Of every capsule but the classes'."""
CLASS_DIMENSIONS: Final = 16
START_LENGTH: Final = 7
"""Votes start so spread that parents are about 0.6 long, where an undecided margin loss is at rest."""


class WindowCaps(nn.Module):
    """A layer of capsules. ``[B, I, D, S, S]`` to ``[B, J, K, S', S']``.

    Args:
        types: I.
        dimensions: D.
        parents: J.
        out_dimensions: K.
        window: k, odd; with ``step`` 0 the layer doubles the side through a 4 x 4 window.
        step: 1 keeps the side, 2 halves it, 0 doubles it.
        iterations: of routing.
    """

    def __init__(
        self, types: int, dimensions: int, parents: int, out_dimensions: int, window: int, step: int, iterations: int
    ) -> None:
        super().__init__()
        self.types, self.parents, self.out_dimensions = types, parents, out_dimensions
        self.step, self.iterations = step, iterations
        inputs, outputs = types * dimensions, parents * out_dimensions
        shape = (inputs, outputs, 4, 4) if step == 0 else (types * outputs, dimensions, window, window)
        seen = 4 * dimensions if step == 0 else dimensions * window**2  # of a doubled side, a pixel sees 4 places
        self.transform = nn.Parameter(torch.randn(shape) * math.sqrt(START_LENGTH / (seen * types)))
        self.bias = nn.Parameter(torch.full((types * outputs,), 0.0))

    def forward(self, children: Tensor) -> Tensor:
        """Every child type's votes by convolution, then routed at each pixel."""
        flat = children.flatten(1, 2)
        if self.step == 0:
            votes = nn.functional.conv_transpose2d(
                flat, self.transform, self.bias, stride=2, padding=1, groups=self.types
            )
        else:
            votes = nn.functional.conv2d(
                flat,
                self.transform,
                self.bias,
                stride=self.step,
                padding=self.transform.shape[-1] // 2,
                groups=self.types,
            )
        return self._routed(votes)

    def _routed(self, votes: Tensor) -> Tensor:
        """``[B, I * J * K, S', S']`` to ``[B, J, K, S', S']``: each pixel's parents from its children's votes."""
        B, _, height, width = votes.shape
        each = votes.view(B, self.types, self.parents, self.out_dimensions, height, width).permute(0, 4, 5, 1, 2, 3)
        found = route(each.flatten(0, 2), self.iterations)  # [B S' S', J, K]
        return found.view(B, height, width, self.parents, self.out_dimensions).permute(0, 3, 4, 1, 2)


class SegCaps(nn.Module):
    """Slices ``[B, 1, S, S]`` in [0, 1], S a multiple of 4, to the length of each class at each pixel ``[B, J, S, S]``."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        D = DIMENSIONS
        self.classes = classes
        self.features = nn.Conv2d(1, 2 * D, kernel_size=5, padding=2)
        self.to_half = WindowCaps(2, D, 4, D, window=5, step=2, iterations=1)
        self.to_quarter = WindowCaps(4, D, 6, D, window=5, step=2, iterations=ITERATIONS)
        self.deep = WindowCaps(6, D, 6, D, window=5, step=1, iterations=ITERATIONS)
        self.up_half = WindowCaps(6, D, 4, D, window=3, step=0, iterations=ITERATIONS)
        self.beside = WindowCaps(8, D, 4, D, window=3, step=1, iterations=ITERATIONS)
        self.up = WindowCaps(4, D, 2, D, window=3, step=0, iterations=ITERATIONS)
        self.organs = WindowCaps(4, D, classes, CLASS_DIMENSIONS, window=1, step=1, iterations=ITERATIONS)

    def forward(self, slices: Tensor) -> Tensor:
        """The class capsules' lengths, in [0, 1)."""
        B, _, height, width = slices.shape
        seen = torch.relu(self.features(standardise(slices))).view(B, 2, DIMENSIONS, height, width)
        half = self.to_half(seen)
        deep = self.deep(self.to_quarter(half))
        joined = self.beside(torch.cat([self.up_half(deep), half], dim=1))
        classes = self.organs(torch.cat([self.up(joined), seen], dim=1))  # [B, J, K, S, S]
        return lengths(classes.permute(0, 1, 3, 4, 2))
