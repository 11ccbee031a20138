"""A saliency map laid over its image, as PNG: grey where nothing was seen, warm where much was.

The colours run from dark violet over orange to pale yellow with rising lightness, so that they read in grey print and for
colour-blind eyes; how opaque a place is follows its saliency, so that the image stays visible where it matters.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

_STOPS: Final = np.array([(0.0, 40, 11, 84), (0.35, 159, 42, 99), (0.65, 245, 125, 21), (1.0, 252, 255, 164)])
"""Position and red, green, blue."""

OPACITY: Final = 0.65
"""Of the strongest place."""


def overlay(image: NDArray[np.uint8], saliency: NDArray[np.float32], size: int = 512, *, beside: bool = True) -> bytes:
    """PNG bytes of the image with its saliency over it.

    Args:
        image: grey values ``[H, W]``.
        saliency: ``[S, S]`` in [0, 1].
        size: pixels a side of each picture, 64 to 4096.
        beside: put the plain image to the left, as people compare them.

    Raises:
        ValueError: ``size`` is out of its range.
    """
    if not 64 <= size <= 4096:
        raise ValueError(f"overlay of {size} pixels a side, expected 64 to 4096")
    grey = np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC), dtype=np.float32)
    field = Image.fromarray(np.clip(saliency, 0, 1).astype(np.float32), mode="F")
    strength = np.clip(np.asarray(field.resize((size, size), Image.Resampling.BICUBIC)), 0, 1)
    colour = np.stack([np.interp(strength, _STOPS[:, 0], _STOPS[:, 1 + c]) for c in range(3)], axis=2)
    opacity = (OPACITY * strength)[..., None]
    plain = np.repeat(grey[..., None], 3, axis=2)
    mixed = plain * (1 - opacity) + colour * opacity
    shown = np.concatenate((plain, mixed), axis=1) if beside else mixed
    buffer = io.BytesIO()
    Image.fromarray(np.rint(shown).astype(np.uint8)).save(buffer, format="PNG", optimize=False)
    return buffer.getvalue()
