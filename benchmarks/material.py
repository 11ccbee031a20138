"""The images that learning is measured on: a file's or a folder's, or drawn; cropped to the lungs where that is asked for."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from node.images.dataset import concatenate, load, resize
from node.images.phantom import LUNG, draw, generate
from node.learning.segmentation.crop import crop_to_lungs
from node.learning.segmentation.masks import MaskSettings, masks_of, train_masks

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from node.images.record import Dataset

CROP_SLICES: Final = 96
"""Phantoms that lungs are learnt from."""
CROP_SIZE: Final = 64
"""Pixels a side at which lungs are looked for."""


def images(options: argparse.Namespace) -> tuple[Dataset, Dataset, str]:
    """Training and test images, and what they are called; cropped to the lungs where that is asked for."""
    train_set, test, name = _whole_images(options)
    if not options.crop_lungs:
        return train_set, test, name
    drawn = draw(CROP_SLICES, CROP_SIZE)
    network = train_masks(drawn.dataset.images, drawn.organs, MaskSettings())
    cropped = []
    for each in (train_set, test):
        sized = resize(each, options.image_size)
        small = masks_of(network, resize(each, CROP_SIZE).images) == LUNG
        found, kept = crop_to_lungs(sized, _stretched(small, options.image_size))
        print(f"{each.name}: {kept} of {len(each)} images left uncropped", file=sys.stderr, flush=True)
        cropped.append(found)
    return cropped[0], cropped[1], f"{name}, cropped to the lungs"


def joined(files: Sequence[Path], size: int, seed: int) -> tuple[Dataset, Dataset]:
    """Training and test images of several files or folders as one task, at ``size`` pixels.

    Where there are several, a patient's name begins with its file's number, so that two files' patients are never taken
    for one person.

    Raises:
        DataError: A file is none, or its classes are not the first one's.
    """
    loaded = [tuple(resize(part, size) for part in load(path, seed=seed)) for path in files]
    if len(loaded) > 1:
        loaded = [tuple(_numbered(part, place) for part in pair) for place, pair in enumerate(loaded, 1)]
    train_set, test = (
        concatenate(parts, " and ".join(path.stem for path in files)) for parts in zip(*loaded, strict=True)
    )
    return train_set, test


def _numbered(part: Dataset, place: int) -> Dataset:
    return replace(part, patients=np.char.add(f"{place}/", part.patients))


def _stretched(masks: NDArray[np.bool_], size: int) -> NDArray[np.bool_]:
    """Masks ``[n, S, S]`` at another size, each pixel that of the nearest."""
    place = (np.arange(size) * masks.shape[1] // size).astype(np.int64)
    found: NDArray[np.bool_] = masks[:, place][:, :, place]
    return found


def _whole_images(options: argparse.Namespace) -> tuple[Dataset, Dataset, str]:
    if options.data:
        train_set, test = load(options.data)
        return train_set, test, options.data.stem
    parts = [generate(options.phantoms, options.image_size, 0, scanner) for scanner in range(options.hospitals)]
    asked = [
        generate(max(8, options.phantoms // 2), options.image_size, 1, scanner) for scanner in range(options.hospitals)
    ]
    return concatenate(parts, "phantoms"), concatenate(asked, "phantoms test"), "synthetic phantoms"
