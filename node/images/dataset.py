"""Loading a data set from wherever it is kept, and resizing it.

``load`` answers with a training set and a test set that share no patient; the test set is nobody's to train on.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from node.images.archive import load_saved, read_archive, save
from node.images.errors import NoLabels, UnreadableData, WrongShape
from node.images.folder import read_folder
from node.images.partition import split_validation
from node.images.record import MAX_SIDE, MIN_SIDE, Dataset, concatenate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from node.images.slices import Refused
    from node.images.windows import Window

__all__ = ["TEST_FRACTION", "Dataset", "concatenate", "load", "load_saved", "resize", "resized", "save"]

TEST_FRACTION = 0.2
"""Share of the images held out for testing where the data brings no split of its own."""


def load(
    path: Path,
    *,
    seed: int = 0,
    window: Window | None = None,
    skip: Callable[[Refused], None] | None = None,
) -> tuple[Dataset, Dataset]:
    """The training and the test set at ``path``: an npz archive or a folder with one sub-folder per class.

    A split that the data brings is kept (MedMNIST's ``val`` part joins training); otherwise about 20 % of the images
    are held out by patient, drawn by ``seed``. ``window`` and ``skip`` are for folders, as in ``read_folder``.

    Raises:
        UnreadableData: missing, damaged, or of no known layout.
        WrongShape, NoLabels, TooFewImages: what the arrays or folders lack.
    """
    if path.is_dir():
        found: Dataset | tuple[Dataset, Dataset] = read_folder(path, window=window, skip=skip)
    elif path.is_file():
        found = read_archive(path)
    else:
        raise UnreadableData(f"{path}: no such file or folder; give an npz file or a folder with one folder per class")
    if isinstance(found, Dataset):
        train, test = split_validation(found, TEST_FRACTION, seed)
        found = train.renamed(f"{found.name} train"), test.renamed(f"{found.name} test")
    _verify_trainable(path, found[0])
    return found


def resize(dataset: Dataset, size: int) -> Dataset:
    """Every image as ``size`` x ``size`` pixels: averaged when it shrinks, bilinear when it grows.

    Raises:
        WrongShape: ``size`` is out of range.
    """
    if not MIN_SIDE <= size <= MAX_SIDE:
        raise WrongShape(f"{dataset.name}: cannot resize to {size} pixels, expected {MIN_SIDE} to {MAX_SIDE}")
    if dataset.images.shape[1:] == (size, size):
        return dataset
    return replace(dataset, images=resized(dataset.images, size))


def resized(images: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Images ``[n, H, W]`` as ``[n, size, size]``: averaged when they shrink, bilinear when they grow."""
    if images.shape[1:] == (size, size):
        return images
    method = Image.Resampling.BOX if min(images.shape[1:]) >= size else Image.Resampling.BILINEAR
    found = np.empty((len(images), size, size), dtype=np.uint8)
    for index, image in enumerate(images):
        found[index] = np.asarray(Image.fromarray(image).resize((size, size), method))
    return found


def _verify_trainable(path: Path, train: Dataset) -> None:
    present = [name for name, count in zip(train.class_names, train.class_counts, strict=True) if count]
    if len(present) < 2:
        raise NoLabels(f"{path}: the training set holds images of {present} alone; at least two classes are needed")
