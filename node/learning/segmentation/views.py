"""Slices and their masks seen otherwise, for training: nearer, from the side, mirrored, through another window.

Whoever finds lungs has to find them in slices that others cut and windowed: some show the table and the arms, some end at
the ribs. What changes the place of a pixel changes its mask alike; what changes grey values leaves the mask alone. Shapes:
B batch, S pixels a side.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

MAX_TURN: Final = math.radians(10)
MIN_SIZE: Final = 0.85
MAX_SIZE: Final = 1.7
"""How large a slice is shown, by axis; 1 is as it is, above it the border is cut off."""
MAX_SHIFT: Final = 0.15
"""Of half the slice's side."""
MAX_CURVE: Final = 0.5
"""Change of the exponent of the grey curve, as a natural logarithm."""
MAX_BLACK: Final = 0.15
MIN_WHITE: Final = 0.6
"""Grey values that may become black, and white."""


def seen_otherwise(images: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """A random view of each slice ``[B, 1, S, S]`` in [0, 1] with its mask ``[B, S, S]``; drawn from torch's generator."""
    grid = functional.affine_grid(_moves(len(images)), list(images.shape), align_corners=False)
    moved = functional.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    placed = functional.grid_sample(
        masks[:, None].to(images.dtype), grid, mode="nearest", padding_mode="border", align_corners=False
    )
    return _windowed(moved), placed[:, 0].to(masks.dtype)


def _moves(B: int) -> Tensor:
    """Where each pixel is looked up: turned, scaled by axis, moved, half of them mirrored; ``[B, 2, 3]``."""
    draws = torch.rand(B, 6)
    turn = (2 * draws[:, 0] - 1) * MAX_TURN
    sizes = MIN_SIZE * (MAX_SIZE / MIN_SIZE) ** draws[:, 1:3]
    across, down = (1 / sizes).unbind(dim=1)
    shift = (2 * draws[:, 3:5] - 1) * MAX_SHIFT
    mirror = torch.where(draws[:, 5] < 0.5, -1.0, 1.0)
    return torch.stack(
        [
            torch.stack([turn.cos() * across * mirror, -turn.sin() * down, shift[:, 0]], dim=1),
            torch.stack([turn.sin() * across * mirror, turn.cos() * down, shift[:, 1]], dim=1),
        ],
        dim=1,
    )


def _windowed(images: Tensor) -> Tensor:
    draws = torch.rand(len(images), 3, 1, 1, 1)
    black, white = draws[:, 0] * MAX_BLACK, MIN_WHITE + draws[:, 1] * (1 - MIN_WHITE)
    curve = ((2 * draws[:, 2] - 1) * MAX_CURVE).exp()
    return ((images - black) / (white - black)).clamp(1e-6, 1).pow(curve)
