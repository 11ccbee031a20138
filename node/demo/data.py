"""The demo's images: the user's or the synthetic phantom, split into hospitals by patient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from node.images.dataset import concatenate, load, resize, save
from node.images.partition import partition, split_validation
from node.images.phantom import generate

if TYPE_CHECKING:
    from pathlib import Path

    from node.demo.options import DemoOptions
    from node.images.record import Dataset

VALIDATION_FRACTION = 0.2
TEST_SHARE = 0.25
"""Phantom test images, as a share of the training images."""


@dataclass(frozen=True)
class DemoData:
    """What each hospital gets, and the test set all are reported on."""

    name: str
    synthetic: bool
    class_names: tuple[str, ...]
    hospitals: tuple[Dataset, ...]
    test: Dataset


def prepare(options: DemoOptions) -> DemoData:
    """Load or draw the images and give each hospital whole patients.

    Raises:
        DataError: The images cannot be used; the message says what to do.
    """
    train, test = load(options.data, seed=options.seed) if options.data else _phantom(options)
    train, test = resize(train, options.image_size), resize(test, options.image_size)
    parts = partition(train, options.hospitals, options.partition, options.seed)
    return DemoData(train.name, train.synthetic, train.class_names, tuple(parts), test)


def _phantom(options: DemoOptions) -> tuple[Dataset, Dataset]:
    """Synthetic chest CT, a scanner per hospital; the test images come from all scanners."""
    each = max(8, options.samples // options.hospitals)
    some = max(8, round(each * TEST_SHARE))
    scanners = range(options.hospitals)
    train = [generate(each, options.image_size, 2 * options.seed, scanner) for scanner in scanners]
    test = [generate(some, options.image_size, 2 * options.seed + 1, scanner) for scanner in scanners]
    return concatenate(train, "phantom chest CT"), concatenate(test, "phantom chest CT test")


def write(data: DemoData, index: int, home: Path, seed: int) -> int:
    """Write one hospital's images into its directory; returns how many it trains on."""
    train, validation = split_validation(data.hospitals[index], VALIDATION_FRACTION, seed)
    folder = home / "data"
    folder.mkdir(parents=True, exist_ok=True)
    save(train, folder / "train.npz")
    save(validation, folder / "validation.npz")
    save(data.test, folder / "test.npz")
    return len(train)
