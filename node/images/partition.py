"""Shares of one data set for several hospitals, and validation splits. A patient is never split.

    ``iid``              patients dealt so that every hospital has about the same size and mix of classes
    ``dirichlet:ALPHA``  each class spread over hospitals by Dirichlet(ALPHA): 100 nearly even, 0.1 very uneven
                         (Hsu, Qi & Brown 2019, "Measuring the effects of non-identical data distribution")
    ``by-patient``       the same number of patients each, drawn blindly: sizes and classes fall as they fall

The unit everywhere is the patient with all of their images; a patient seen in two classes stays one unit, and counts
for the class of most of their images. Everything is drawn from ``seed`` alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from node.images.errors import BadPartition, TooFewImages

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from node.images.record import Dataset

MODES = ("iid", "dirichlet:ALPHA", "by-patient")
MAX_HOSPITALS = 256


@dataclass(frozen=True, slots=True)
class _Patients:
    """The patients of a set as units to hand out. P patients, C classes."""

    of_image: NDArray[np.int64]
    """Patient number of each image, ``[n]``."""
    counts: NDArray[np.int64]
    """Images of each class, ``[P, C]``."""

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Images of each patient, ``[P]``."""
        sizes: NDArray[np.int64] = self.counts.sum(axis=1)
        return sizes

    @property
    def classes(self) -> NDArray[np.int64]:
        """The class of most images of each patient, ``[P]``."""
        classes: NDArray[np.int64] = self.counts.argmax(axis=1)
        return classes


def partition(dataset: Dataset, hospitals: int, how: str, seed: int) -> list[Dataset]:
    """``dataset`` as one share for each hospital; every image is in exactly one.

    Each share holds patients of at least two classes: where the draw left a hospital with one, patients are moved to it
    from the hospital that has most of what it lacks.

    Args:
        dataset: what to share out.
        hospitals: number of shares, 1 to 256.
        how: one of ``iid``, ``dirichlet:ALPHA`` (ALPHA from 0.001 to 1e6) and ``by-patient``.
        seed: same seed, same shares.

    Raises:
        BadPartition: ``how`` or ``hospitals`` is not one of the above.
        TooFewImages: not enough patients for two classes at every hospital.
    """
    if not 1 <= hospitals <= MAX_HOSPITALS:
        raise BadPartition(f"{dataset.name}: {hospitals} hospitals, expected 1 to {MAX_HOSPITALS}")
    mode, alpha = _parse(how)
    patients = _patients_of(dataset)
    if patients.counts.shape[0] < 2 * hospitals:
        raise TooFewImages(
            f"{dataset.name}: {patients.counts.shape[0]} patients are too few for {hospitals} hospitals with two classes "
            f"each; at least {2 * hospitals} are needed: use fewer hospitals or more data"
        )
    rng = np.random.default_rng(np.random.PCG64(seed))
    if mode == "iid":
        owner = _deal(patients, hospitals, rng)
    elif mode == "dirichlet":
        owner = _dirichlet(patients, hospitals, alpha, rng)
    else:
        owner = _blindly(patients, hospitals, rng)
    _give_second_classes(dataset, patients, owner, hospitals)
    return [
        dataset.take(np.flatnonzero(owner[patients.of_image] == hospital), f"{dataset.name}, share {hospital + 1}")
        for hospital in range(hospitals)
    ]


def split_validation(dataset: Dataset, fraction: float = 0.2, seed: int = 0) -> tuple[Dataset, Dataset]:
    """The set without about ``fraction`` of its images, and those images; no patient in both, classes kept in proportion.

    Of every class with at least two patients, both parts get one or more.

    Raises:
        BadPartition: ``fraction`` is not between 0 and 1 (exclusive).
        TooFewImages: no class has two patients, so nothing can be held out.
    """
    if not 0 < fraction < 1:
        raise BadPartition(f"{dataset.name}: fraction {fraction}, expected more than 0 and less than 1")
    patients = _patients_of(dataset)
    rng = np.random.default_rng(np.random.PCG64(seed))
    held = np.zeros(patients.counts.shape[0], dtype=np.bool_)
    for name_index in range(patients.counts.shape[1]):
        members = rng.permutation(np.flatnonzero(patients.classes == name_index))
        if members.size < 2:
            continue
        reached = np.cumsum(patients.sizes[members])
        wanted = fraction * reached[-1]
        held[members[: _nearest_prefix(reached, wanted)]] = True
    if not held.any():
        raise TooFewImages(
            f"{dataset.name}: no class has two patients, so none can be held out; give more data, or patient names "
            "that tell people apart (see the folder layout's patients.csv)"
        )
    mask = held[patients.of_image]
    return (
        dataset.take(np.flatnonzero(~mask), f"{dataset.name}, training part"),
        dataset.take(np.flatnonzero(mask), f"{dataset.name}, held-out part"),
    )


def _nearest_prefix(reached: NDArray[np.int64], wanted: float) -> int:
    """How many leading patients come nearest to ``wanted`` images, leaving at least one on each side."""
    nearest = int(np.abs(reached - wanted).argmin()) + 1
    return min(max(nearest, 1), reached.size - 1)


def _parse(how: str) -> tuple[str, float]:
    if how in {"iid", "by-patient"}:
        return how, math.nan
    mode, _, text = how.partition(":")
    try:
        alpha = float(text)
    except ValueError:
        alpha = math.nan
    if mode != "dirichlet" or not 1e-3 <= alpha <= 1e6:
        raise BadPartition(f"partition {how!r} is not known; use {', '.join(MODES)} with ALPHA from 0.001 to 1000000")
    return mode, alpha


def _patients_of(dataset: Dataset) -> _Patients:
    names, of_image = np.unique(dataset.patients, return_inverse=True)
    counts = np.zeros((names.size, len(dataset.class_names)), dtype=np.int64)
    np.add.at(counts, (of_image, dataset.labels), 1)
    return _Patients(of_image.astype(np.int64), counts)


def _deal(patients: _Patients, hospitals: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Class by class, largest patients first, each to the hospital that has fewest images of that class."""
    owner = np.empty(patients.counts.shape[0], dtype=np.int64)
    total = np.zeros(hospitals)
    for name_index in range(patients.counts.shape[1]):
        members = rng.permutation(np.flatnonzero(patients.classes == name_index))
        load = np.zeros(hospitals)
        for patient in members[np.argsort(-patients.sizes[members], kind="stable")]:
            hospital = int(np.lexsort((total, load))[0])
            owner[patient] = hospital
            load[hospital] += patients.sizes[patient]
            total[hospital] += patients.sizes[patient]
    return owner


def _dirichlet(patients: _Patients, hospitals: int, alpha: float, rng: np.random.Generator) -> NDArray[np.int64]:
    owner = np.empty(patients.counts.shape[0], dtype=np.int64)
    for name_index in range(patients.counts.shape[1]):
        members = rng.permutation(np.flatnonzero(patients.classes == name_index))
        shares = rng.dirichlet(np.full(hospitals, alpha))
        middle = np.cumsum(patients.sizes[members]) - patients.sizes[members] / 2
        cuts = np.cumsum(shares)[:-1] * patients.sizes[members].sum()
        owner[members] = np.searchsorted(cuts, middle, side="right")
    return owner


def _blindly(patients: _Patients, hospitals: int, rng: np.random.Generator) -> NDArray[np.int64]:
    owner = np.empty(patients.counts.shape[0], dtype=np.int64)
    owner[rng.permutation(owner.size)] = np.arange(owner.size) % hospitals
    return owner


def _give_second_classes(dataset: Dataset, patients: _Patients, owner: NDArray[np.int64], hospitals: int) -> None:
    """Move single patients, in place, until every hospital has patients of two classes."""
    table = np.zeros((hospitals, len(dataset.class_names)), dtype=np.int64)
    np.add.at(table, (owner, patients.classes), 1)
    for hospital in range(hospitals):
        while np.count_nonzero(table[hospital]) < 2:
            donor, name_index = _richest(dataset, table, hospital)
            patient = int(np.flatnonzero((owner == donor) & (patients.classes == name_index))[0])
            owner[patient] = hospital
            table[donor, name_index] -= 1
            table[hospital, name_index] += 1


def _richest(dataset: Dataset, table: NDArray[np.int64], hospital: int) -> tuple[int, int]:
    """The hospital and class with most patients to spare of a class that ``hospital`` lacks."""
    spare = table - 1
    full = np.count_nonzero(table, axis=1) > 2
    spare[full] += 1
    spare[:, table[hospital] > 0] = 0
    spare[hospital] = 0
    donor, name_index = np.unravel_index(int(spare.argmax()), spare.shape)
    if spare[donor, name_index] < 1:
        raise TooFewImages(
            f"{dataset.name}: {table.sum(axis=0).tolist()} patients of {', '.join(dataset.class_names)} are too few to "
            f"give {table.shape[0]} hospitals two classes each; use fewer hospitals or more data"
        )
    return int(donor), int(name_index)
