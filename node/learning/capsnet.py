"""The capsule network, after eq. 13-16 of Kumar et al. 2021 and Sabour, Frosst & Hinton 2017.

    Sabour, Frosst & Hinton: "Dynamic routing between capsules", NIPS 2017, arXiv:1710.09829

The paper's four stages, sized for 64x64 slices and a few hundred images a hospital:

    convolution   three 3x3 convolutions with standardised weights, pooling between them
    hidden        one more
    PrimaryCaps   I capsule types of D_in dimensions at every position
    ClassCaps     J capsules of D_out dimensions, filled by routing

Two choices keep it from memorising small sets. A child type has one transformation matrix for all positions, so what a
lesion looks like is learned once and not at 64 places. And before routing, every type's positions are pooled into one
capsule, the longest (most probably present) counting most: votes of one type through one matrix would be averaged by
routing anyway, doing it first bounds routing to I x J x D_out, and a small lesion is not outvoted by the rest of the
slice.

Shapes: B batch, P positions, I child capsule types, J parent capsules (classes), D_in and D_out capsule dimensions.
"""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor, nn

from node.learning.classifier import Classifier, standardise
from node.learning.layers import convolutions

ITERATIONS: Final = 3
"""Rounds of routing; the paper's number."""

MARGIN_PRESENT: Final = 0.9
MARGIN_ABSENT: Final = 0.1
ABSENT_WEIGHT: Final = 0.5
SHARPNESS: Final = 8.0
"""How much the longest position's capsule outweighs the others: by exp(8 x the difference of lengths)."""
_TINY: Final = 1e-8


def squash(vectors: Tensor) -> Tensor:
    """Keep each vector's direction and turn its length l into l^2 / (1 + l^2), in [0, 1). Sabour eq. 1.

    Any shape with the capsule's dimensions last. Zero stays zero, with a finite gradient.
    """
    squared = vectors.square().sum(dim=-1, keepdim=True)
    return vectors * (squared.add(_TINY).sqrt() / (1 + squared))


def route(votes: Tensor, iterations: int = ITERATIONS) -> Tensor:
    """Parents on which their children's votes agree: dynamic routing, Sabour procedure 1.

    Args:
        votes: what each child predicts for each parent, ``[B, I, J, D_out]``.
        iterations: at least 1; with 1 every child votes evenly.

    Returns:
        Parent capsules ``[B, J, D_out]`` of lengths in [0, 1).

    The gradient flows through the last iteration only: the couplings before it are constants to it, which is the usual
    reading of the procedure and saves their memory.
    """
    fixed = votes.detach()
    logits = votes.new_zeros(votes.shape[:3])  # b_ij [B, I, J]
    for _ in range(iterations - 1):
        coupling = logits.softmax(dim=2)  # c_ij, Sabour eq. 3
        parents = squash(torch.einsum("bij,bijd->bjd", coupling, fixed))
        logits = logits + torch.einsum("bijd,bjd->bij", fixed, parents)  # agreement
    return squash(torch.einsum("bij,bijd->bjd", logits.softmax(dim=2), votes))  # Sabour eq. 1 and 2


def margin_loss(lengths: Tensor, labels: Tensor) -> Tensor:
    """Sabour eq. 4 for each image, ``[B]``: present classes longer than 0.9, absent ones shorter than 0.1.

    Args:
        lengths: of the class capsules, ``[B, J]``.
        labels: the present class of each image, ``[B]``.
    """
    present = nn.functional.one_hot(labels, lengths.shape[1]).to(lengths.dtype)  # T_k [B, J]
    missing = present * (MARGIN_PRESENT - lengths).clamp_min(0).square()
    extra = ABSENT_WEIGHT * (1 - present) * (lengths - MARGIN_ABSENT).clamp_min(0).square()
    return (missing + extra).sum(dim=1)


class PrimaryCaps(nn.Module):
    """Child capsules: one per type, pooled over the positions where it is found. ``[B, C, S, S]`` to ``[B, I, D_in]``."""

    def __init__(self, channels: int, types: int, dimensions: int) -> None:
        super().__init__()
        self.types, self.dimensions = types, dimensions
        self.poses = nn.Conv2d(channels, types * dimensions, kernel_size=1)

    def forward(self, features: Tensor) -> Tensor:
        """Squash every position's capsules, then pool each type's positions by length."""
        poses = self.poses(features).unflatten(1, (self.types, self.dimensions)).flatten(3)  # [B, I, D_in, P]
        capsules = squash(poses.transpose(2, 3))  # [B, I, P, D_in]
        share = (SHARPNESS * lengths(capsules)).softmax(dim=2)  # [B, I, P]
        return torch.einsum("bip,bipc->bic", share, capsules)


class ClassCaps(nn.Module):
    """Parent capsules by routing. ``[B, I, D_in]`` to ``[B, J, D_out]``."""

    def __init__(self, types: int, dimensions: int, classes: int, out_dimensions: int) -> None:
        super().__init__()
        spread = 1 / math.sqrt(types * dimensions)
        self.transform = nn.Parameter(torch.randn(types, classes, dimensions, out_dimensions) * spread)  # W_ij

    def forward(self, children: Tensor) -> Tensor:
        """Transform every child into its votes, and route."""
        votes = torch.einsum("bic,ijcd->bijd", children, self.transform)  # u_hat, Sabour eq. 2
        return route(votes)


class CapsNet(Classifier):
    """Images ``[B, 1, S, S]`` in [0, 1], S a multiple of 8, to class capsules ``[B, J, D_out]``."""

    def __init__(self, classes: int, widths: tuple[int, int, int, int] = (32, 64, 96, 128)) -> None:
        super().__init__()
        self.stem = convolutions(widths)
        self.primary = PrimaryCaps(widths[-1], types=32, dimensions=8)
        self.parents = ClassCaps(types=32, dimensions=8, classes=classes, out_dimensions=16)

    def forward(self, images: Tensor) -> Tensor:
        """Class capsules ``[B, J, D_out]``."""
        return self.parents(self.primary(self.stem(standardise(images))))  # type: ignore[no-any-return]

    def fan_in(self, name: str, shape: tuple[int, ...]) -> int:
        """A parent sums over all children's dimensions, divided by 7 so that parents start about 0.6 long.

        That is where an undecided margin loss is at rest. Starting elsewhere, the whole network first drifts there
        together, which flattens what tells images apart; much longer, and squashing stops the gradient.
        """
        return max(1, shape[0] * shape[2] // 7) if name == "parents.transform" else super().fan_in(name, shape)

    def losses(self, output: Tensor, labels: Tensor) -> Tensor:
        """The margin loss of the capsules' lengths, ``[B]``."""
        return margin_loss(lengths(output), labels)

    def last_map(self) -> nn.Module:
        """The stem's features, which the primary capsules are read from."""
        return self.stem

    def score(self, output: Tensor) -> Tensor:
        """The class capsules' lengths ``[B, J]``."""
        return lengths(output)

    def probabilities(self, output: Tensor) -> Tensor:
        """Each class capsule's length as a share of all."""
        found = lengths(output)
        return found / found.sum(dim=1, keepdim=True)


def lengths(capsules: Tensor) -> Tensor:
    """Length of each capsule, ``[B, J, D_out]`` to ``[B, J]``, positive and with a finite gradient at zero."""
    return capsules.square().sum(dim=-1).add(_TINY).sqrt()
