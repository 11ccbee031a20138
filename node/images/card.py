"""A data card: what one hospital's set holds, with no image and no patient in it; its digest is registered on chain.

Whoever shows the card later can be held to it: the digest commits to the counts and to every pixel and label. The order of the images does
not matter. Patients are counted, never named, and their identifiers are not part of any digest.

The digest needs no salt to hide the counts, which could be guessed: `content` is over every pixel, so nobody tries cards who has
not all the images. Who has them all, as of a public set, recognises it; so do two hospitals that hold the same.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import cbor2
import numpy as np

if TYPE_CHECKING:
    from node.images.record import Dataset

VERSION = 1


@dataclass(frozen=True, slots=True)
class DataCard:
    """Facts about one set."""

    classes: tuple[tuple[str, int], ...]
    """Class name and number of images, in the set's order."""
    patients: int
    """Distinct patients."""
    height: int
    """Pixels."""
    width: int
    """Pixels."""
    mean_ppm: int
    """Mean grey value, in millionths of white."""
    deviation_ppm: int
    """Standard deviation of the grey values, in millionths of white."""
    content: bytes
    """sha2-256 (32 bytes) over the sorted digests of the images, each with its class."""
    synthetic: bool
    """True for drawn phantoms."""
    cropped: str = ""
    """sha2-256 (hex) of the lung network that cut the slices to the lungs; empty: they are as they were."""
    version: int = VERSION

    @property
    def images(self) -> int:
        """Number of images."""
        return sum(count for _, count in self.classes)

    @property
    def digest(self) -> bytes:
        """sha2-256 (32 bytes) over `to_bytes`."""
        return hashlib.sha256(self.to_bytes()).digest()

    def to_bytes(self) -> bytes:
        """The canonical CBOR (RFC 8949, 4.2.1) of all fields; `cropped` only where slices are. `node.images.shown` reads it.

        So a card of slices as they were keeps the digest that versions without that field gave it.
        """
        fields = {name: value for name, value in asdict(self).items() if name != "cropped" or value}
        return cbor2.dumps(fields, canonical=True)

    def to_json(self) -> dict[str, Any]:
        """For people: the fields, with the digests in hex."""
        prepared = {"cropped": self.cropped} if self.cropped else {}
        return {
            "version": self.version,
            "images": self.images,
            "patients": self.patients,
            "classes": dict(self.classes),
            "size": [self.height, self.width],
            "mean": self.mean_ppm / 1e6,
            "deviation": self.deviation_ppm / 1e6,
            "synthetic": self.synthetic,
            **prepared,
            "content": self.content.hex(),
            "digest": self.digest.hex(),
        }


def data_card(dataset: Dataset) -> DataCard:
    """The card of a set; the same for any order of its images."""
    names = [name.encode() for name in dataset.class_names]
    each = sorted(
        hashlib.sha256(names[label] + b"\0" + image.tobytes()).digest()
        for image, label in zip(dataset.images, dataset.labels, strict=True)
    )
    # Whole numbers, summed exactly: the same on every machine and in every order.
    count = dataset.images.size
    total = int(dataset.images.sum(dtype=np.uint64))
    squares = sum(int(np.square(image, dtype=np.uint64).sum()) for image in dataset.images)
    variance = (squares * count - total * total) / (count * count)
    return DataCard(
        classes=tuple(zip(dataset.class_names, dataset.class_counts, strict=True)),
        patients=dataset.patient_count,
        height=int(dataset.images.shape[1]),
        width=int(dataset.images.shape[2]),
        mean_ppm=round(total * 1_000_000 / (255 * count)),
        deviation_ppm=round(variance**0.5 * 1_000_000 / 255),
        content=hashlib.sha256(b"".join(each)).digest(),
        synthetic=dataset.synthetic,
        cropped=dataset.cropped,
    )
