"""A convolution that needs no normalisation of what flows through it.

Batch normalisation keeps running statistics: buffers that averaging parameters would miss, and that differ between
hospitals. Group normalisation has none, but divides each image by its own deviation; here it left networks all but
untrained for hundreds of steps, because what all images share outweighed what tells them apart. Standardising the
*weights* instead (Qiao et al. 2019, arXiv:1903.10520; scaled for ReLU after Brock, De & Smith 2021, arXiv:2101.08692)
makes every filter blind to the mean of its input, costs nothing per pixel, and holds parameters only.
"""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor, nn

RELU_GAIN: Final = math.sqrt(2 / (1 - 1 / math.pi))
"""Keeps the variance through a ReLU: 1 / the deviation of max(0, x) for standard normal x. Brock et al. 2021, eq. 5."""


class StandardisedConv(nn.Module):
    """A 3x3 convolution whose filters have mean 0 and norm ``gain``. ``[B, C_in, S, S]`` to ``[B, C_out, S, S]``.

    Args:
        inputs: C_in.
        outputs: C_out.
        scale: 1 for the first layer, ``RELU_GAIN`` after a ReLU.
    """

    def __init__(self, inputs: int, outputs: int, scale: float = RELU_GAIN) -> None:
        super().__init__()
        self.scale = scale
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.gain = nn.Parameter(torch.ones(outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, images: Tensor) -> Tensor:
        """Convolve with the standardised filters, padding with zeros."""
        variance, mean = torch.var_mean(self.weight, dim=(1, 2, 3), keepdim=True, correction=0)
        fan_in = self.weight[0].numel()
        unit = (self.weight - mean) * torch.rsqrt(variance * fan_in + 1e-6)
        return nn.functional.conv2d(images, unit * (self.scale * self.gain).view(-1, 1, 1, 1), self.bias, padding=1)


def convolutions(widths: tuple[int, ...]) -> nn.Sequential:
    """Standardised convolutions of ``widths`` channels with ReLUs, each but the last followed by 2x2 max pooling.

    ``[B, 1, S, S]`` to ``[B, widths[-1], S / 2^(n-1), S / 2^(n-1)]`` for n widths.
    """
    layers: list[nn.Module] = []
    for stage, (before, width) in enumerate(zip((1, *widths), widths, strict=False)):
        if stage:
            layers.append(nn.MaxPool2d(2))
        layers += [StandardisedConv(before, width, RELU_GAIN if stage else 1.0), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)
