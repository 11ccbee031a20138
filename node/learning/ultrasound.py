"""Random views of ultrasound frames: what hand, device and operator change from one examination to the next.

* The probe is tilted, moved, nearer or farther: turned, scaled in both directions by themselves, moved, mirrored.
* The device's curve of grey values is another, and its operator has set the time-gain compensation differently: gain along
  depth (the images' rows) is a smooth curve.
* Speckle, the interference of echoes from what is smaller than the beam, is another; it grows with the echo (Burckhardt
  1978), so it is drawn in proportion to the grey value.

Chosen on patient-disjoint folds of ``lung_ultrasound_128``'s training images; what it gains there is in this folder's README.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

MAX_TURN: Final = math.radians(15)
MAX_SCALE: Final = 0.3
"""Change of size, as a natural logarithm."""
MAX_ASPECT: Final = 0.15
"""Change of width, and back of height, as a natural logarithm."""
MAX_SHIFT: Final = 0.15
"""Of half the image's side."""
MAX_CURVE: Final = 0.4
"""Change of the exponent of the grey curve, as a natural logarithm."""
MAX_GAIN: Final = 0.35
"""Each of three terms of the gain along depth, as a natural logarithm."""
MAX_SPECKLE: Final = 0.25
"""Deviation of the speckle, as a share of the grey value."""


def examined(images: Tensor, generator: torch.Generator) -> Tensor:
    """A random view of each frame, shape ``[B, 1, S, S]`` and range [0, 1] kept; drawn from ``generator`` alone."""
    B = images.shape[0]
    draws = 2 * torch.rand(B, 10, generator=generator) - 1  # each in [-1, 1)
    grid = functional.affine_grid(_matrices(draws[:, :6]), list(images.shape), align_corners=False)
    moved = functional.grid_sample(images, grid, mode="bicubic", padding_mode="border", align_corners=False)
    curved = moved.clamp(1e-6, 1).pow((draws[:, 6] * MAX_CURVE).exp().view(B, 1, 1, 1))
    gained = curved * _gain(draws[:, 7:], images.shape[2])
    amount = torch.rand(B, 1, 1, 1, generator=generator) * MAX_SPECKLE
    return (gained * (1 + amount * torch.randn(images.shape, generator=generator))).clamp(0, 1)


def _matrices(draws: Tensor) -> Tensor:
    """Where each pixel of the view comes from: affine maps ``[B, 2, 3]`` of draws ``[B, 6]``."""
    turn, scale = draws[:, 0] * MAX_TURN, (draws[:, 1] * MAX_SCALE).exp()
    aspect, mirror = (draws[:, 2] * MAX_ASPECT).exp(), torch.where(draws[:, 3] < 0, -1.0, 1.0)
    cosine, sine = scale * turn.cos(), scale * turn.sin()
    return torch.stack(
        [
            torch.stack([cosine * aspect * mirror, -sine, draws[:, 4] * MAX_SHIFT], dim=1),
            torch.stack([sine * mirror, cosine / aspect, draws[:, 5] * MAX_SHIFT], dim=1),
        ],
        dim=1,
    )


def _gain(draws: Tensor, size: int) -> Tensor:
    """Gain along depth ``[B, 1, S, 1]`` of draws ``[B, 3]``: a slope, a bend and a wave."""
    depth = torch.linspace(-1, 1, size)
    curves = torch.stack([depth, 2 * depth.square() - 1, 0.7 * torch.sin(math.pi * depth)])  # [3, S]
    return (draws * MAX_GAIN @ curves).exp()[:, None, :, None]
