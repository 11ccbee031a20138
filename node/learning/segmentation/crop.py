"""Slices cut to the lungs: the classifier then sees no table, no arms, and lungs at one size.

A mask that is wrong would cut away what a doctor looks for, so it has to look like lungs, or the slice is left as it is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

from node.learning.errors import WrongData

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from node.images.record import Dataset

MARGIN: Final = 0.08
"""Added around the lungs, as a share of their box's longer side."""
LEAST: Final = 0.04
"""Share of a slice that must be lung."""
MOST: Final = 0.7
"""Share of a slice that may be lung."""
EACH_SIDE: Final = 0.2
"""Share of the lungs that must lie in either half of the slice: where a lung is not found for what is in it, it is not cut off."""
SPECK: Final = 0.1
"""Of the largest patch, what another has to have to count as lung."""


def crop_to_lungs(dataset: Dataset, lungs: NDArray[np.bool_]) -> tuple[Dataset, int]:
    """Every slice cut to a square around its lungs and brought back to its size; how many were left as they were.

    Args:
        dataset: slices ``[n, S, S]``.
        lungs: where their lungs are, ``[n, s, s]``.

    Raises:
        WrongData: there is not one mask for each slice.
    """
    images, cut = cut_to_lungs(dataset.images, lungs)
    return replace(dataset, images=images, name=f"{dataset.name}, cropped to the lungs"), int((~cut).sum())


def cut_to_lungs(slices: NDArray[np.uint8], lungs: NDArray[np.bool_]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Slices ``[n, H, W]`` cut to the box around their lungs ``[n, h, w]`` and brought back to their size; which were, ``[n]``.

    Those whose masks cannot be believed are left as they are.

    Raises:
        WrongData: there is not one mask for each slice.
    """
    if lungs.ndim != 3 or len(lungs) != len(slices):
        raise WrongData(f"lung masks of {list(lungs.shape)} do not fit images of {list(slices.shape)}")
    images, cut = slices.copy(), np.zeros(len(slices), dtype=np.bool_)
    for number, mask in enumerate(lungs):
        clean = without_specks(mask)
        if believable(clean):
            images[number], cut[number] = _cut(slices[number], clean), True
    return images, cut


def believable(mask: NDArray[np.bool_]) -> bool:
    """Whether a mask ``[h, w]`` may be that of two lungs: neither too small nor too large, and some of it on either side."""
    if not LEAST <= mask.mean() <= MOST:
        return False
    left = mask[:, : mask.shape[1] // 2].sum() / mask.sum()
    return bool(EACH_SIDE <= left <= 1 - EACH_SIDE)


def without_specks(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A mask ``[h, w]`` without what is thinner than three pixels, and without patches that are small beside its largest.

    Fat, skin and tubes have grey values of a lung in some windows; a speck of them far away would widen the box.
    """
    core = _spread(~_spread(~mask)) & mask
    patches = _patches(core)
    sizes = np.bincount(patches.ravel())
    sizes[0] = 0
    large = sizes >= max(1, SPECK * sizes.max())
    found: NDArray[np.bool_] = large[patches]
    return found


def box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom (exclusive) of the square around a mask that has a pixel, with its margin.

    It stays within a square slice: where the lungs reach the border, the margin goes to the other side or is left out.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    side = max(bottom - top, right - left)
    side = min(side + 2 * round(MARGIN * side), max(mask.shape))
    x = np.clip((left + right - side) // 2, 0, max(0, mask.shape[1] - side))
    y = np.clip((top + bottom - side) // 2, 0, max(0, mask.shape[0] - side))
    return int(x), int(y), int(x + side), int(y + side)


def _spread(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A mask ``[h, w]`` with the eight neighbours of its pixels; beyond the border is nothing."""
    padded = np.pad(mask, 1)
    rows = padded[:-2] | padded[1:-1] | padded[2:]
    found: NDArray[np.bool_] = rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:]
    return found


def _patches(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The number of each pixel's patch (joined over four neighbours), 0 outside: the largest label spreads until none moves."""
    labels = np.where(mask, np.arange(1, mask.size + 1).reshape(mask.shape), 0)
    while True:
        padded = np.pad(labels, 1)
        spread = np.maximum.reduce([labels, padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]])
        spread[~mask] = 0
        if np.array_equal(spread, labels):
            return labels
        labels = spread


def _cut(image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    height, width = image.shape
    down, across = height / mask.shape[0], width / mask.shape[1]
    left, top, right, bottom = box(mask)
    place = (round(left * across), round(top * down), round(right * across), round(bottom * down))
    cut = Image.fromarray(image).crop(place).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(cut, dtype=np.uint8)
