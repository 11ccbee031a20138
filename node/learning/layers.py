"""A convolution that needs no normalisation of what flows through it.

Batch normalisation keeps running statistics, which are one scanner's and fail on another's (docs/adr/0009-classifier.md);
`normalisation` has it for the networks that cannot do without. Group normalisation has none, but divides each image by its own deviation; here it left networks all but
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
    """A convolution whose filters have mean 0 and norm ``gain``. ``[B, C_in, S, S]`` to ``[B, C_out, S/stride, S/stride]``.

    Args:
        inputs: C_in.
        outputs: C_out.
        scale: 1 for the first layer, ``RELU_GAIN`` after a ReLU.
        kernel: side of the filters, odd.
        stride: 1, or 2 to halve an even S.
    """

    def __init__(
        self, inputs: int, outputs: int, scale: float = RELU_GAIN, *, kernel: int = 3, stride: int = 1
    ) -> None:
        super().__init__()
        self.scale, self.stride, self.padding = scale, stride, kernel // 2
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.gain = nn.Parameter(torch.ones(outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, images: Tensor) -> Tensor:
        """Convolve with the standardised filters, padding with zeros."""
        variance, mean = torch.var_mean(self.weight, dim=(1, 2, 3), keepdim=True, correction=0)
        fan_in = self.weight[0].numel()
        unit = (self.weight - mean) * torch.rsqrt(variance * fan_in + 1e-6)
        filters = unit * (self.scale * self.gain).view(-1, 1, 1, 1)
        return nn.functional.conv2d(images, filters, self.bias, self.stride, self.padding)


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


def convolved(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """A standardised convolution of what a ReLU gave, and a ReLU. ``[B, inputs, S, S]`` to ``[B, outputs, S/stride, …]``."""
    return nn.Sequential(StandardisedConv(inputs, outputs, kernel=kernel, stride=stride), nn.ReLU(inplace=True))
