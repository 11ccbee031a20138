"""The data set every other module speaks of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from node.images.errors import NoLabels, TooFewImages, WrongShape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MIN_SIDE = 8
"""Pixels: a smaller picture is not an image of anything."""

MAX_SIDE = 4096
"""Pixels: a larger side is refused before it can fill the memory."""

MAX_CLASSES = 64


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Grey images with a class and a patient each. The arrays are read-only.

    Raises:
        WrongShape: the arrays do not fit together.
        NoLabels: labels outside ``class_names``, or fewer than two classes are named.
        TooFewImages: there is no image.
    """

    images: NDArray[np.uint8]
    """Grey values 0 (black) to 255 (white), shape ``[n, H, W]``."""
    labels: NDArray[np.int64]
    """Index into ``class_names``, shape ``[n]``."""
    patients: NDArray[np.str_]
    """The person (or inseparable group of images) each image comes from, shape ``[n]``; never split over two sets.

    An identifier for splitting only: it may well contain the class, so no model ever sees it.
    """
    class_names: tuple[str, ...]
    """The name of each class, 2 to 64 distinct ones; fixed for the consortium, so a hospital may hold no image of some."""
    name: str
    """What an operator calls the set."""
    synthetic: bool
    """True for drawn phantoms; every report of a run says so."""
    cropped: str = ""
    """sha2-256 (hex) of the lung network by which slices were cut to the lungs; empty: they are as they were.

    Models are only to be asked about slices prepared like those they were trained on, so it goes with the set everywhere.
    """

    def __post_init__(self) -> None:
        _verify_images(self)
        _verify_labels(self)
        for array in (self.images, self.labels, self.patients):
            array.setflags(write=False)

    def __len__(self) -> int:
        """The number of images."""
        return int(self.labels.shape[0])

    @property
    def class_counts(self) -> tuple[int, ...]:
        """Images of each class, in the order of ``class_names``."""
        counts = np.bincount(self.labels, minlength=len(self.class_names))
        return tuple(int(count) for count in counts)

    @property
    def patient_count(self) -> int:
        """The number of distinct patients."""
        return int(np.unique(self.patients).shape[0])

    def take(self, indices: NDArray[np.int64] | Sequence[int], name: str | None = None) -> Dataset:
        """The images at ``indices``, in that order, under ``name`` (default: this set's)."""
        chosen = np.asarray(indices, dtype=np.int64)
        return replace(
            self,
            images=self.images[chosen],
            labels=self.labels[chosen],
            patients=self.patients[chosen],
            name=self.name if name is None else name,
        )

    def renamed(self, name: str) -> Dataset:
        """The same arrays under another name."""
        return replace(self, name=name)


def concatenate(datasets: Sequence[Dataset], name: str) -> Dataset:
    """Several sets with the same classes and image size as one.

    Raises:
        WrongShape: sizes or class names differ, or one is cropped to the lungs otherwise than another.
        TooFewImages: ``datasets`` is empty.
    """
    if not datasets:
        raise TooFewImages(f"{name}: no data set to join; give at least one")
    first = datasets[0]
    for other in datasets[1:]:
        if other.class_names != first.class_names or other.images.shape[1:] != first.images.shape[1:]:
            raise WrongShape(
                f"{other.name}: classes {other.class_names} at {other.images.shape[1:]} pixels cannot join "
                f"{first.name} with {first.class_names} at {first.images.shape[1:]}; resize or choose one set"
            )
        if other.cropped != first.cropped:
            raise WrongShape(
                f"{other.name}: {cropping(other.cropped)}, cannot join {first.name}, {cropping(first.cropped)}; prepare both "
                "in the same way"
            )
    return Dataset(
        images=np.concatenate([each.images for each in datasets]),
        labels=np.concatenate([each.labels for each in datasets]),
        patients=np.concatenate([each.patients for each in datasets]),
        class_names=first.class_names,
        name=name,
        synthetic=any(each.synthetic for each in datasets),
        cropped=first.cropped,
    )


def cropping(cropped: str) -> str:
    """What a set's `cropped` says, in words."""
    return f"cropped to the lungs by {cropped[:16]}…" if cropped else "not cropped to the lungs"


def _verify_images(dataset: Dataset) -> None:
    images = dataset.images
    if images.ndim != 3 or images.dtype != np.uint8:
        raise WrongShape(f"{dataset.name}: images must be uint8 [n, H, W], got {images.dtype} {list(images.shape)}")
    n, height, width = images.shape
    if n == 0:
        raise TooFewImages(f"{dataset.name}: holds no image; choose data with at least one image per class")
    if not (MIN_SIDE <= height <= MAX_SIDE and MIN_SIDE <= width <= MAX_SIDE):
        raise WrongShape(
            f"{dataset.name}: images are {height}x{width} pixels, expected {MIN_SIDE} to {MAX_SIDE} a side"
        )
    for field, array, kind in (("labels", dataset.labels, "i"), ("patients", dataset.patients, "U")):
        if array.shape != (n,) or array.dtype.kind != kind:
            raise WrongShape(
                f"{dataset.name}: {field} must hold one entry for each of {n} images, "
                f"got {array.dtype} {list(array.shape)}"
            )


def _verify_labels(dataset: Dataset) -> None:
    names = dataset.class_names
    if not 2 <= len(names) <= MAX_CLASSES or len(set(names)) != len(names):
        raise NoLabels(f"{dataset.name}: needs 2 to {MAX_CLASSES} distinct class names, got {list(names)[:8]}")
    low, high = int(dataset.labels.min()), int(dataset.labels.max())
    if low < 0 or high >= len(names):
        wrong = low if low < 0 else high
        raise NoLabels(f"{dataset.name}: label {wrong} is outside 0 to {len(names) - 1} ({', '.join(names)})")
