"""Looking at this hospital's images for a change: their count and their card's digest, read anew only when the file was written."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from node.images.archive import load_saved
from node.images.card import data_card
from node.images.errors import BadCard, DataError
from node.images.shown import card_from_json

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger("medweave.plans")

CARDS = "card.json"
"""What `medweave data` writes beside the images."""


@dataclass(frozen=True)
class Holding:
    """What a hospital trains on."""

    images: int
    """How many."""
    digest: bytes
    """Of their data card, 32 bytes."""


class ImageWatch:
    """Call `look` as often as you like, from one thread at a time.

    Args:
        train: The images trained on.
    """

    def __init__(self, train: Path) -> None:
        self._train = train
        self._mark: tuple[int, int] | None = None
        self._found: Holding | None = None

    def look(self) -> Holding | None:
        """What is there now; None where there are no images that can be read."""
        try:
            status = self._train.stat()
        except OSError:
            return None
        mark = (status.st_mtime_ns, status.st_size)
        if mark != self._mark:
            self._found = self._of_card(status.st_mtime) or self._of_images()
            self._mark = mark
        return self._found

    def _of_card(self, written: float) -> Holding | None:
        """By the card that lies beside the images, if it was written with them."""
        try:
            card = self._train.with_name(CARDS)
            if card.stat().st_mtime < written:
                return None
            found = card_from_json(card.read_bytes(), self._train.stem)
        except (OSError, BadCard):
            return None
        return Holding(found.images, found.digest)

    def _of_images(self) -> Holding | None:
        try:
            card = data_card(load_saved(self._train))
        except DataError as error:
            log.warning("images cannot be read: %s", error)
            return None
        return Holding(card.images, card.digest)
