"""Slices cut to the lungs: the classifier then sees no table, no arms, and lungs at one size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

from node.images.record import Dataset
from node.learning.errors import WrongData

if TYPE_CHECKING:
    from numpy.typing import NDArray

MARGIN: Final = 0.08
"""Added around the lungs, as a share of their box's longer side."""
LEAST: Final = 0.04
"""Share of a slice that must be lung; below it the masks are not believed and the slice is left as it is."""


def crop_to_lungs(dataset: Dataset, lungs: NDArray[np.bool_]) -> tuple[Dataset, int]:
    """Every slice cut to a square around its lungs and brought back to its size; how many were left as they were.

    Args:
        dataset: slices ``[n, S, S]``.
        lungs: where their lungs are, the same shape.

    Raises:
        WrongData: shapes differ.
    """
    if lungs.shape != dataset.images.shape:
        raise WrongData(
            f"{dataset.name}: lung masks of {list(lungs.shape)} do not fit images of {list(dataset.images.shape)}"
        )
    images, kept = dataset.images.copy(), 0
    for number, (image, mask) in enumerate(zip(dataset.images, lungs, strict=True)):
        if mask.mean() < LEAST:
            kept += 1
            continue
        images[number] = _cut(image, mask)
    name = f"{dataset.name}, cropped to the lungs"
    return Dataset(images, dataset.labels, dataset.patients, dataset.class_names, name, dataset.synthetic), kept


def box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom (exclusive) of the square around a mask that has a pixel, with its margin.

    It may reach beyond the slice.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    side = max(bottom - top, right - left)
    side += 2 * round(MARGIN * side)
    x, y = (left + right - side) // 2, (top + bottom - side) // 2
    return int(x), int(y), int(x + side), int(y + side)


def _cut(image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    height, width = image.shape
    cut = Image.fromarray(image).crop(box(mask)).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(cut, dtype=np.uint8)
