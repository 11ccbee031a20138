"""Lungs, found and cut to: a network is learnt from masks, written to a file, read by whoever prepares images.

learn   organs -> a file's content, and how it did on patients held out
Lungs   a file's network, ready to cut slices, the same for images taken in and for images asked about
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from node.images.dataset import resized
from node.learning.errors import BadSettings, MalformedLungs, WrongData
from node.learning.parameters import flatten, layout, layout_digest, load
from node.learning.segmentation.crop import cut_to_lungs
from node.learning.segmentation.file import SIZES, LungFile, read_lungs
from node.learning.segmentation.masks import MaskScores, masks_of, scores, train_masks
from node.learning.segmentation.segcaps import SegCaps

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from node.images.organs import Organs
    from node.images.record import Dataset
    from node.learning.segmentation.masks import MaskSettings

LUNG_NAMES: Final = frozenset({"lung", "lungs", "left lung", "right lung", "lung left", "lung right"})
"""Names of classes, in lower case and with spaces, that count as lung where nobody says which do."""


@dataclass(frozen=True, slots=True, eq=False)
class Learnt:
    """What learning gave."""

    content: LungFile
    """For the file."""
    scores: MaskScores
    """On patients held out, one figure a class; distances in pixels at the network's size."""
    held_out: int
    """Slices of those patients."""
    patients: int
    """How many they are."""


class Lungs:
    """A network that finds lungs.

    Args:
        content: Of its file.
        digest: Its name, the file's sha2-256 in hex.

    Raises:
        MalformedLungs: The parameters are not that network's.
    """

    def __init__(self, content: LungFile, digest: str) -> None:
        with torch.random.fork_rng(devices=[]):  # its first parameters are drawn, and then replaced
            network = SegCaps(len(content.class_names))
        tensors = layout(network)
        count = sum(tensor.numel() for tensor in network.parameters())
        if layout_digest(tensors) != content.layout or count != len(content.vector):
            raise MalformedLungs(
                f"lung network: {len(content.vector)} parameters in another layout than this version's ({count}); use the "
                "version that made it"
            )
        load(network, content.vector)
        self._network = network.eval()
        self.content = content
        """What its file says of it."""
        self.digest = digest
        """Its name."""

    @classmethod
    def read(cls, path: Path) -> Lungs:
        """The network of a file.

        Raises:
            MalformedLungs: It cannot be read, is no such file, or another version's.
        """
        return cls(*read_lungs(path))

    def find(self, slices: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Where the lungs of slices ``[n, H, W]`` are, ``[n, S, S]`` at the network's size."""
        found = masks_of(self._network, resized(slices, self.content.image_size))
        return np.isin(found, self.content.lungs)

    def cut(self, slices: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Slices ``[n, H, W]`` cut to their lungs, and which were: the others are left as they are, ``[n]``."""
        return cut_to_lungs(slices, self.find(slices))

    def prepare(self, dataset: Dataset) -> tuple[Dataset, int]:
        """A set cut to its lungs, which says so, and how many of its slices were left as they were.

        Raises:
            WrongData: It was cropped before.
        """
        if dataset.cropped:
            raise WrongData(
                f"{dataset.name}: is cropped to the lungs already, by {dataset.cropped[:16]}; take in the slices as they were"
            )
        images, cut = self.cut(dataset.images)
        return replace(dataset, images=images, cropped=self.digest), int((~cut).sum())


def lung_classes(class_names: tuple[str, ...], said: tuple[str, ...] = ()) -> tuple[int, ...]:
    """Which classes are lung: those named by ``said``, or else those that are called so.

    Raises:
        WrongData: There is no such class, or all of them would be lung.
    """
    wanted = {name.lower() for name in said} or LUNG_NAMES
    plain = [name.lower() for name in class_names] if said else [_spaced(name) for name in class_names]
    found = tuple(number for number, name in enumerate(plain) if name in wanted)
    if not found or len(found) == len(class_names) or (said and len(found) != len(wanted)):
        raise WrongData(
            f"masks: of the classes {', '.join(class_names)}, {', '.join(said) or 'none'} as lung; name those that are lung, "
            "and leave one that is not"
        )
    return found


def learn(
    organs: Organs,
    settings: MaskSettings,
    lungs: tuple[int, ...],
    size: int,
    held_out: float,
    told: Callable[[int, float], None] = lambda _epoch, _loss: None,
) -> Learnt:
    """A network learnt from ``organs`` at ``size`` pixels, measured on about ``held_out`` of their patients.

    Args:
        organs: Slices and masks.
        settings: How to train; as many classes as the masks have.
        lungs: Which of them are lung.
        size: Pixels a side, 32 to 256, a multiple of 4.
        held_out: Share of the patients, 0 to 1.
        told: Called with epoch (from 1) and mean loss after each.

    Raises:
        BadSettings: The size is out of its range.
        TooFewImages: All slices are of one patient.
        WrongData, TrainingDiverged: As ``train_masks``.
    """
    if size not in SIZES:
        raise BadSettings(f"image size is {size}, expected {SIZES[0]} to {SIZES[-1]} in steps of {SIZES.step}")
    train, held = organs.at(size).split(held_out, settings.seed)
    network = train_masks(train.images, train.masks, settings, told)
    measured = scores(masks_of(network, held.images), held.masks, settings.classes)
    content = LungFile(
        class_names=organs.class_names,
        lungs=lungs,
        image_size=size,
        synthetic=organs.synthetic,
        slices=len(train),
        dice_ppm=tuple(None if share is None else round(share * 1_000_000) for share in measured.dice),
        layout=layout_digest(layout(network)),
        vector=flatten(network),
    )
    return Learnt(content, measured, len(held), held.patient_count)


def _spaced(name: str) -> str:
    return name.lower().replace("_", " ").replace("-", " ").strip()
