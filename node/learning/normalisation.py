"""Batch normalisation whose statistics travel with the model.

    Ioffe & Szegedy: "Batch normalization", ICML 2015, arXiv:1502.03167

The usual layer keeps running means and variances in buffers. Averaging parameters would miss them, and each hospital would
answer with its own. Here they are parameters without a gradient: they lie in the model's vector, a hospital's update holds
their change, and the sealed sum averages them like any weight. The variance is held as its logarithm, so that a sum of
changes is always a variance, and both are held in 64ths: a round may move a mean by 4 or a variance by a factor of 50 and
the change still fits an update's usual range of 0.0625.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

SCALE: Final = 64.0
"""A statistic is this times the parameter that holds it."""

MOMENTUM: Final = 0.1
"""Share of a batch in the running statistics."""

SETTLING: Final = 64
"""Images at once when statistics are settled."""

EPSILON: Final = 1e-5
"""Added to a variance before it divides."""

MAX_LOG: Final = 30.0
"""Bound on the logarithm of a variance that is read: whatever a model file says, a variance is a finite number."""


class BatchNorm(nn.Module):
    """Each channel with mean 0 and variance 1 over batch and places, then scaled and shifted. ``[B, C, S, S]`` kept.

    In training the batch's own statistics are used and the running ones follow them; in evaluation the running ones are.

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.momentum = MOMENTUM
        self.gain = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.mean = nn.Parameter(torch.zeros(channels), requires_grad=False)  # running mean / 64
        self.spread = nn.Parameter(torch.zeros(channels), requires_grad=False)  # log of the running variance / 64

    def forward(self, images: Tensor) -> Tensor:
        """Normalise; a channel with one value in the whole batch has no variance and uses the running statistics."""
        mean = self.mean.detach() * SCALE
        variance = (self.spread.detach() * SCALE).clamp(-MAX_LOG, MAX_LOG).exp()
        learning = self.training and images.numel() > images.shape[1]
        found = nn.functional.batch_norm(images, mean, variance, self.gain, self.bias, learning, self.momentum, EPSILON)
        if learning:  # mean and variance were moved in place
            with torch.no_grad():
                self.mean.copy_(mean / SCALE)
                self.spread.copy_(variance.clamp_min(EPSILON).log() / SCALE)
        return found


@torch.no_grad()
def settle(network: nn.Module, images: Tensor) -> None:
    """Replace all running statistics by those of ``images`` as they are, with the weights as they are.

    Statistics gathered while training lag behind the weights, and are of augmented images: turning an image smooths its
    noise, and a filter that sees noise then meets more variance than it was told of.

    Args:
        network: any network; one without batch normalisation is left as it is.
        images: what it was trained on, ``[n, 1, S, S]``, without augmentation.
    """
    layers = [module for module in network.modules() if isinstance(module, BatchNorm)]
    if not layers:
        return
    training = network.training
    network.eval()
    for number, batch in enumerate(torch.split(images, SETTLING), 1):
        for layer in layers:
            layer.train()
            layer.momentum = 1 / number  # the mean of all batches so far
        network(batch)
    for layer in layers:
        layer.momentum = MOMENTUM
    network.train(training)
