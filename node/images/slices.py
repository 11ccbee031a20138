"""What one image file holds: slices in grey, and whose they are where the file says so.

Readers raise :class:`~node.images.errors.Unusable` with one reason in words; who called decides whether that refuses the whole set or the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

from node.images.errors import Unusable

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SIDE: Final = 128
"""Pixels of the stored square; training resizes to the plan's size."""

MAX_PIXELS: Final = 64_000_000
"""A file with more, over all its frames, is refused before it is decoded."""

_SIXTEEN_BIT: Final = frozenset({"I", "I;16", "I;16B", "I;16L"})


@dataclass(frozen=True, slots=True)
class Refused:
    """A file that was left out."""

    file: Path
    """Where it lies."""
    reason: str
    """Why, in words."""


@dataclass(frozen=True, slots=True, eq=False)
class Slices:
    """The grey slices of one file."""

    images: NDArray[np.uint8]
    """``[k, SIDE, SIDE]``, k at least 1."""
    patient: str | None
    """A pseudonym for the patient named in the file, or None where it names nobody."""


def verify_pixels(width: int, height: int, frames: int = 1, most: int = MAX_PIXELS) -> None:
    """Demand a size that can be decoded without filling the memory.

    Raises:
        Unusable: a side is below 1, or there are more than ``most`` in all.
    """
    if min(width, height, frames) < 1 or width * height * frames > most:
        shown = f"{width}x{height}" if frames == 1 else f"{frames} frames of {width}x{height}"
        raise Unusable(f"{shown} pixels, at most {most}")


def grey_square(picture: Image.Image) -> NDArray[np.uint8]:
    """An opened picture as ``[SIDE, SIDE]`` grey values: colours by BT.601, 16-bit grey scaled to 8 bits."""
    grey = _eight_bit(picture) if picture.mode in _SIXTEEN_BIT else picture.convert("L")
    return np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.uint8)


def square(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """``[H, W]`` to ``[SIDE, SIDE]`` by area, without keeping the aspect, as in the npz sets."""
    return np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.uint8)


def _eight_bit(picture: Image.Image) -> Image.Image:
    values = np.asarray(picture, dtype=np.int64)
    return Image.fromarray(np.clip(values >> 8, 0, 255).astype(np.uint8))
