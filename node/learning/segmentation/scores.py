"""How well two masks agree.

    dice        2 |A and B| / (|A| + |B|)
    hausdorff   the farthest that a point of one outline is from the other's, in pixels; ``percentile`` 95 leaves out the
                worst twentieth, as segmentation challenges do

The tests hold both against MONAI's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from node.learning.errors import WrongData

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]


def dice(found: Mask, truth: Mask) -> float | None:
    """Overlap of two masks ``[H, W]``, 0 to 1; None where both are empty.

    Raises:
        WrongData: shapes differ.
    """
    _verify_alike(found, truth)
    both = int(found.sum()) + int(truth.sum())
    return 2 * int((found & truth).sum()) / both if both else None


def hausdorff(found: Mask, truth: Mask, percentile: float = 100.0) -> float | None:
    """Distance of two masks' outlines ``[H, W]`` in pixels; None where one of them is empty.

    Raises:
        WrongData: shapes differ.
    """
    _verify_alike(found, truth)
    if not found.any() or not truth.any():
        return None
    ours, theirs = (np.argwhere(outline(mask)).astype(np.float64) for mask in (found, truth))
    apart = np.sqrt(((ours[:, None] - theirs[None]) ** 2).sum(axis=2))
    return float(max(np.percentile(apart.min(axis=axis), percentile) for axis in (0, 1)))


def outline(mask: Mask) -> Mask:
    """The pixels of a mask that have a neighbour (of four) outside it or at the border."""
    padded = np.pad(mask, 1)
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inside


def _verify_alike(found: Mask, truth: Mask) -> None:
    if found.shape != truth.shape or found.ndim != 2:
        raise WrongData(f"masks of {found.shape} and {truth.shape} pixels cannot be compared; expected two alike")
