"""What a network takes for lungs, drawn for people: the slice with the lungs' outline, and beside it what is left of it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

from node.learning.segmentation.scores import outline

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE: Final = 384
"""Pixels a side of each of the two."""
COLOUR: Final = (255, 120, 0)


def lungs_drawn(before: NDArray[np.uint8], mask: NDArray[np.bool_], after: NDArray[np.uint8]) -> bytes:
    """PNG of a slice ``[H, W]`` with the outline of its mask ``[S, S]``, and beside it the slice as it is classified."""
    left, right = _large(before), _large(after)
    shape = np.asarray(Image.fromarray(mask).resize((SIDE, SIDE), Image.Resampling.NEAREST))
    line = outline(shape)
    left[line | outline(shape & ~line)] = COLOUR
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate([left, right], axis=1)).save(buffer, format="PNG")
    return buffer.getvalue()


def _large(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    grey = Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return np.array(grey.convert("RGB"), dtype=np.uint8)
