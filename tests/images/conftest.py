import numpy as np
import pytest

from node.images.record import Dataset


def make(patient_classes, images_each=2, side=16, classes=2):
    """A set with `images_each` images a patient (a number or a list); patient i has class `patient_classes[i]`."""
    labels = np.repeat(np.array(patient_classes, dtype=np.int64), images_each)
    patients = np.repeat([f"p{index:03}" for index in range(len(patient_classes))], images_each)
    images = np.arange(labels.size * side * side, dtype=np.uint64).reshape(-1, side, side) % 251
    names = tuple(f"class {index}" for index in range(classes))
    return Dataset(images.astype(np.uint8), labels, np.array(patients), names, "toy", synthetic=True)


@pytest.fixture
def toy():
    return make([0, 1] * 10)
