"""The capsule network, after eq. 13-16 of Kumar et al. 2021 and Sabour, Frosst & Hinton 2017.

    Sabour, Frosst & Hinton: "Dynamic routing between capsules", NIPS 2017, arXiv:1710.09829

The paper's four stages, sized for 64x64 slices and a few hundred images a hospital:

    convolution   three 3x3 convolutions with standardised weights, pooling between them
    hidden        one more
    PrimaryCaps   I capsule types of D_in dimensions at every position
    ClassCaps     J capsules of D_out dimensions, filled by routing

``capsnet-inception`` puts an Inception-style extractor before the same two capsule layers. What keeps them from losing to
a linear layer on small sets is measured in ``docs/adr/0009-classifier.md``:

* Primary capsules have no negative dimension. A class is absent where nothing speaks for it, which images have in common;
  with signed dimensions it is absent where all of them cancel, which a network learns by heart, image for image.
* A type has one transformation matrix for all positions, and its positions are averaged before they vote: routing would
  average votes through one matrix anyway; doing it first bounds routing to I x J x D_out.
* The gradient flows through the couplings: children learn to leave an absent class.

Shapes: B batch, I child capsule types, J parent capsules (classes), D_in and D_out capsule dimensions.
"""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor, nn

from node.learning import inception
from node.learning.classifier import Classifier, standardise
from node.learning.layers import convolutions, convolved
from node.learning.losses import margin_loss
from node.learning.routing import lengths, route

WIDTHS: Final = (32, 64, 96, 128)
"""Channels of the light stem."""

TYPES: Final = 16
DIMENSIONS: Final = 8
OUT_DIMENSIONS: Final = 16
"""I, D_in, D_out."""

INITIAL_GAIN: Final = 0.5
"""Square of a parent's first length over the mean square of its children's dimensions, D_out being 1."""


class PrimaryCaps(nn.Module):
    """Child capsules at every position. ``[B, C, S, S]`` to ``[B, I x D_in, S, S]``, a type's dimensions together."""

    def __init__(self, channels: int, types: int = TYPES, dimensions: int = DIMENSIONS) -> None:
        super().__init__()
        self.types, self.dimensions = types, dimensions
        self.poses = convolved(channels, types * dimensions, kernel=1)

    def forward(self, features: Tensor) -> Tensor:
        """Every position's capsules, in no dimension negative; see :meth:`pooled` for what is routed."""
        return self.poses(features)  # type: ignore[no-any-return]

    def pooled(self, capsules: Tensor) -> Tensor:
        """One capsule a type, the mean of its positions'. ``[B, I x D_in, S, S]`` to ``[B, I, D_in]``."""
        return capsules.mean(dim=(2, 3)).view(-1, self.types, self.dimensions)


class ClassCaps(nn.Module):
    """Parent capsules by routing. ``[B, I, D_in]`` to ``[B, J, D_out]``."""

    def __init__(
        self, classes: int, types: int = TYPES, dimensions: int = DIMENSIONS, out_dimensions: int = OUT_DIMENSIONS
    ) -> None:
        super().__init__()
        spread = math.sqrt(INITIAL_GAIN / (types * dimensions))
        self.transform = nn.Parameter(torch.randn(types, classes, dimensions, out_dimensions) * spread)  # W_ij

    def forward(self, children: Tensor) -> Tensor:
        """Transform every child into its votes, and route. Votes are J-fold: an even coupling of 1/J leaves them whole."""
        classes = self.transform.shape[1]
        return route(classes * torch.einsum("bic,ijcd->bijd", children, self.transform))  # u_hat, Sabour eq. 2


class CapsNet(Classifier):
    """Images ``[B, 1, S, S]`` in [0, 1], S a multiple of 8, to class capsules ``[B, J, D_out]``.

    Args:
        classes: J.
        stem: what reads features ``[B, width, s, s]`` from the standardised image.
        width: channels of the stem's features.
    """

    def __init__(self, classes: int, stem: nn.Module, width: int) -> None:
        super().__init__()
        self.stem = stem
        self.primary = PrimaryCaps(width)
        self.parents = ClassCaps(classes)

    def forward(self, images: Tensor) -> Tensor:
        """Class capsules ``[B, J, D_out]``."""
        capsules = self.primary(self.stem(standardise(images)))
        return self.parents(self.primary.pooled(capsules))  # type: ignore[no-any-return]

    def fan_in(self, name: str, shape: tuple[int, ...]) -> int:
        """A parent sums over all children's dimensions."""
        if name == "parents.transform":
            return round(shape[0] * shape[2] / INITIAL_GAIN)
        return super().fan_in(name, shape)

    def losses(self, output: Tensor, labels: Tensor) -> Tensor:
        """The margin loss of the capsules' lengths, ``[B]``."""
        return margin_loss(lengths(output), labels)

    def last_map(self) -> nn.Module:
        """The primary capsules: what follows only averages their places, so that each place's share in a class is exact."""
        return self.primary

    def score(self, output: Tensor) -> Tensor:
        """The class capsules' lengths ``[B, J]``."""
        return lengths(output)

    def probabilities(self, output: Tensor) -> Tensor:
        """Each class capsule's length as a share of all."""
        found = lengths(output)
        return found / found.sum(dim=1, keepdim=True)


def light_capsnet(classes: int) -> CapsNet:
    """The default: four convolutions before the capsules; 205,984 parameters for 2 classes."""
    return CapsNet(classes, convolutions(WIDTHS), WIDTHS[-1])


def inception_capsnet(classes: int) -> CapsNet:
    """An Inception-style extractor before the capsules, the paper's IV3*; 0.4 million parameters."""
    return CapsNet(classes, inception.extractor(), inception.WIDTH)
