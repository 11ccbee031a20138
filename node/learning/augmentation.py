"""Random views of training images, in torch alone: turned, scaled, moved, mirrored, and seen through another window.

These are views of slices and X-rays; those of ultrasound are in `ultrasound`.

A chest slice mirrored left to right is still a plausible slice; the shifts are those of how a patient lies on the
table, and the window's those between scanners. Views are interpolated by cubics: linear interpolation smooths noise, and
a network would be trained on smoother images than it is asked about.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from node.learning.ultrasound import examined

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

MAX_TURN = math.radians(15)
MAX_SCALE = 0.2
"""Relative change of size."""
MAX_SHIFT = 0.12
"""Of half the image's side."""
MAX_CONTRAST = 0.25
"""Change of the exponent of the grey curve, as a natural logarithm."""


def augmented(images: Tensor, generator: torch.Generator) -> Tensor:
    """A random view of each image, shape ``[B, 1, S, S]`` and range [0, 1] kept; drawn from ``generator`` alone."""
    B = images.shape[0]
    draws = 2 * torch.rand(B, 6, generator=generator) - 1  # each in [-1, 1)
    turn, scale = draws[:, 0] * MAX_TURN, 1 + draws[:, 1] * MAX_SCALE
    mirror = torch.where(draws[:, 4] < 0, -1.0, 1.0)
    cosine, sine = scale * turn.cos(), scale * turn.sin()
    matrices = torch.stack(
        [
            torch.stack([cosine * mirror, -sine, draws[:, 2] * MAX_SHIFT], dim=1),
            torch.stack([sine * mirror, cosine, draws[:, 3] * MAX_SHIFT], dim=1),
        ],
        dim=1,
    )  # [B, 2, 3]
    grid = functional.affine_grid(matrices, list(images.shape), align_corners=False)
    moved = functional.grid_sample(images, grid, mode="bicubic", padding_mode="border", align_corners=False)
    exponent = (draws[:, 5] * MAX_CONTRAST).exp().view(B, 1, 1, 1)
    return moved.clamp(1e-6, 1).pow(exponent)


def view_of(kind: str) -> Callable[[Tensor, torch.Generator], Tensor]:
    """How images of a kind (``slices`` or ``ultrasound``, as the settings have checked) are varied."""
    return examined if kind == "ultrasound" else augmented
