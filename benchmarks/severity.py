"""Synthetic images of three classes: phantoms of chest CT, the ill ones split by how much of the image their lesion takes.

The phantoms of `node.images.phantom` have two classes, and the network that other federated systems are timed with has
529,347 parameters with three. Nothing here is medicine, and the data set says `synthetic`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from node.images.dataset import concatenate
from node.images.phantom import draw
from node.images.record import Dataset

if TYPE_CHECKING:
    from numpy.typing import NDArray

CLASS_NAMES: Final = ("clear", "mild", "severe")
NAME: Final = "SYNTHETIC phantom chest CT, three severities"


def severities(scanners: int, images: int, size: int, seed: int) -> Dataset:
    """Phantoms from several scanners: half of the patients clear, a quarter mild, a quarter severe.

    Args:
        scanners: How many machines.
        images: Images of each machine, two a patient.
        size: Pixels a side.
        seed: Which patients.

    Raises:
        DataError: Too few images for a scanner's patients, or a size out of range.
    """
    return concatenate([_of_scanner(scanner, images, size, seed) for scanner in range(scanners)], NAME)


def _of_scanner(scanner: int, images: int, size: int, seed: int) -> Dataset:
    drawn = draw(images, size, seed, scanner)
    whole = drawn.dataset
    return Dataset(
        images=whole.images,
        labels=_by_area(drawn.lesions, whole.patients),
        patients=whole.patients,
        class_names=CLASS_NAMES,
        name=NAME,
        synthetic=True,
    )


def _by_area(lesions: NDArray[np.bool_], patients: NDArray[np.str_]) -> NDArray[np.int64]:
    """0 without a lesion; 2 for the half of the ill patients whose lesions cover most, 1 for the rest. `[n]`."""
    _, patient = np.unique(patients, return_inverse=True)
    area = np.bincount(patient, weights=lesions.sum(axis=(1, 2)))
    ill = area > 0
    label = ill.astype(np.int64)
    label[ill & (area > np.median(area[ill]))] = 2
    found: NDArray[np.int64] = label[patient]
    return found
