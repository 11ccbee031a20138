"""Slices with a mask each that says which pixel is what: what a network that finds lungs learns from.

An npz file of ``images [n, H, W]`` and ``masks [n, H, W]``, both uint8, ``class_names`` (what the masks' values 0, 1, 2 …
stand for) and, where people are to be told apart, ``patients [n]``; or drawn phantoms. A file is somebody else's bytes and
is bounded as any other (see ``archive``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

from node.images.archive import array_names, read_arrays, text_of
from node.images.dataset import resized
from node.images.errors import NoLabels, TooFewImages, UnreadableData, WrongShape
from node.images.phantom import draw
from node.images.record import MAX_SIDE, MIN_SIDE

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

MAX_ORGANS: Final = 16
"""Values of masks."""
PHANTOM_ORGANS: Final = ("background", "body", "lung", "heart")
"""What the values of drawn masks stand for, see ``phantom``."""
PHANTOM_SCANNERS: Final = 4
"""Machines that drawn slices come from."""


@dataclass(frozen=True, slots=True, eq=False)
class Organs:
    """Slices and what is where in them.

    Raises:
        WrongShape: the arrays do not fit together.
        NoLabels: class names that are none, or masks with values beyond them.
        TooFewImages: there is no slice.
    """

    images: NDArray[np.uint8]
    """Grey values, ``[n, H, W]``."""
    masks: NDArray[np.uint8]
    """Index into ``class_names`` of each pixel, ``[n, H, W]``."""
    patients: NDArray[np.str_]
    """Whose each slice is, ``[n]``: for splitting only."""
    class_names: tuple[str, ...]
    """What the masks' values stand for, 2 to 16 distinct names."""
    synthetic: bool
    """True for drawn phantoms."""

    def __post_init__(self) -> None:
        shape = self.images.shape
        if (
            len(shape) != 3
            or self.images.dtype != np.uint8
            or not all(MIN_SIDE <= side <= MAX_SIDE for side in shape[1:])
        ):
            raise WrongShape(
                f"images must be uint8 [n, H, W] of {MIN_SIDE} to {MAX_SIDE} pixels a side, got {self.images.dtype} {list(shape)}"
            )
        if self.masks.shape != shape or self.masks.dtype != np.uint8:
            raise WrongShape(
                f"masks must be uint8 {list(shape)} as the images, got {self.masks.dtype} {list(self.masks.shape)}"
            )
        if self.patients.shape != shape[:1] or self.patients.dtype.kind != "U":
            raise WrongShape(
                f"patients must be one text for each of {shape[0]} slices, got {list(self.patients.shape)}"
            )
        if not shape[0]:
            raise TooFewImages("there is no slice; give at least one of two patients")
        names = self.class_names
        if not 2 <= len(names) <= MAX_ORGANS or len(set(names)) != len(names):
            raise NoLabels(f"class_names must be 2 to {MAX_ORGANS} distinct names, got {list(names)[:MAX_ORGANS]}")
        if int(self.masks.max()) >= len(names):
            raise NoLabels(f"masks hold the value {int(self.masks.max())}, class_names end at {len(names) - 1}")

    def __len__(self) -> int:
        """The number of slices."""
        return len(self.images)

    @property
    def patient_count(self) -> int:
        """Distinct patients."""
        return len(np.unique(self.patients))

    def take(self, chosen: NDArray[np.int64]) -> Organs:
        """The slices at these places."""
        return replace(self, images=self.images[chosen], masks=self.masks[chosen], patients=self.patients[chosen])

    def at(self, size: int) -> Organs:
        """The same at ``size`` x ``size`` pixels: grey values averaged, each mask pixel that of the nearest."""
        if self.images.shape[1:] == (size, size):
            return self
        nearest = [Image.fromarray(mask).resize((size, size), Image.Resampling.NEAREST) for mask in self.masks]
        return replace(self, images=resized(self.images, size), masks=np.stack([np.asarray(mask) for mask in nearest]))

    def split(self, fraction: float, seed: int) -> tuple[Organs, Organs]:
        """Without about ``fraction`` of the patients, and their slices; at least one patient on each side.

        Raises:
            TooFewImages: they are all of one patient.
        """
        names, of_slice = np.unique(self.patients, return_inverse=True)
        if len(names) < 2:
            raise TooFewImages("all slices are of one patient, so none can be held out; give slices of two or more")
        held = np.random.default_rng(seed).permutation(len(names))[: max(1, round(fraction * len(names)))][
            : len(names) - 1
        ]
        out = np.isin(of_slice, held)
        return self.take(np.flatnonzero(~out)), self.take(np.flatnonzero(out))


def read_organs(path: Path) -> Organs:
    """The slices and masks of an npz file; where it names no patients, every slice counts as its own.

    Raises:
        UnreadableData: missing, damaged, too large, or without the arrays named above.
        WrongShape, NoLabels, TooFewImages: as :class:`Organs`.
    """
    names = array_names(path)
    missing = [name for name in ("images", "masks", "class_names") if name not in names]
    if missing:
        raise UnreadableData(
            f"{path}: has no array {missing[0]}; expected images [n, H, W], masks [n, H, W], class_names and, if known, patients"
        )
    arrays = read_arrays(path, [name for name in ("images", "masks", "class_names", "patients") if name in names])
    given = arrays.get("patients")
    patients = np.array([f"slice {number}" for number in range(len(arrays["images"]))]) if given is None else given
    try:
        return Organs(
            arrays["images"],
            arrays["masks"],
            patients,
            text_of(path, "class_names", arrays["class_names"]),
            synthetic=False,
        )
    except (WrongShape, NoLabels, TooFewImages) as error:
        raise type(error)(f"{path}: {error}") from error


def drawn_organs(n: int, size: int, seed: int) -> Organs:
    """About ``n`` drawn slices of several machines, at ``size`` pixels. SYNTHETIC.

    Raises:
        TooFewImages, WrongShape: as ``phantom.draw``, with the slices shared out over the machines.
    """
    drawn = [draw(-(-n // PHANTOM_SCANNERS), size, seed, scanner) for scanner in range(PHANTOM_SCANNERS)]
    return Organs(
        images=np.concatenate([each.dataset.images for each in drawn]),
        masks=np.concatenate([each.organs for each in drawn]),
        patients=np.concatenate([each.dataset.patients for each in drawn]),
        class_names=PHANTOM_ORGANS,
        synthetic=True,
    )
