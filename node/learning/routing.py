"""Capsules and how they find their parents: squash, length, dynamic routing.

    Sabour, Frosst & Hinton: "Dynamic routing between capsules", NIPS 2017, arXiv:1710.09829

A capsule is a vector: its direction says how a thing looks, its length in [0, 1) how probably it is there (eq. 13-16 of
Kumar et al. 2021). Shapes: B batch, I children, J parents, D_out dimensions of a parent.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

ITERATIONS: Final = 3
"""Rounds of routing; the papers' number."""

_TINY: Final = 1e-8


def squash(vectors: Tensor) -> Tensor:
    """Keep each vector's direction and turn its length l into l^2 / (1 + l^2), in [0, 1). Sabour eq. 1.

    Any shape with the capsule's dimensions last. Zero stays zero, with a finite gradient.
    """
    squared = vectors.square().sum(dim=-1, keepdim=True)
    return vectors * (squared.add(_TINY).sqrt() / (1 + squared))


def lengths(capsules: Tensor) -> Tensor:
    """Length of each capsule, ``[..., D]`` to ``[...]``, positive and with a finite gradient at zero."""
    return capsules.square().sum(dim=-1).add(_TINY).sqrt()


def route(votes: Tensor, iterations: int = ITERATIONS) -> Tensor:
    """Parents on which their children's votes agree: dynamic routing, Sabour procedure 1.

    Args:
        votes: what each child predicts for each parent, ``[B, I, J, D_out]``.
        iterations: at least 1; with 1 every child votes evenly.

    Returns:
        Parent capsules ``[B, J, D_out]`` of lengths in [0, 1).

    The gradient flows through the couplings too: the network learns to be routed. No loop runs over capsules; memory is
    some ``iterations x B x I x J x D_out`` numbers.
    """
    logits = votes.new_zeros(votes.shape[:3])  # b_ij [B, I, J]
    parents = _parents(logits, votes)
    for _ in range(iterations - 1):
        logits = logits + torch.einsum("bijd,bjd->bij", votes, parents)  # agreement
        parents = _parents(logits, votes)
    return parents


def _parents(logits: Tensor, votes: Tensor) -> Tensor:
    coupling = logits.softmax(dim=2)  # c_ij, Sabour eq. 3
    return squash(torch.einsum("bij,bijd->bjd", coupling, votes))  # Sabour eq. 1 and 2
