"""The last checkpoint of the training under way, sealed: a hospital's own model is as secret as its update.

One file, replaced after every epoch. It opens only with this hospital's keys and for the round it was made in. What
cannot be written or opened costs the epochs done so far in case of a crash, never the training: it is logged, and
training goes on or starts anew.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from crypto import envelope
from crypto.envelope import Binding
from crypto.errors import CryptoError
from node.home import write_private

if TYPE_CHECKING:
    from pathlib import Path

    from crypto.secrets import ContentKey

log = logging.getLogger("medweave.learning")


class SealedCheckpoint:
    """`CheckpointStore` of one round's training.

    Args:
        path: The file.
        key: This hospital's own, the same after every restart.
        number: The round.
    """

    def __init__(self, path: Path, key: ContentKey, number: int) -> None:
        self._path, self._key, self._number = path, key, number
        self._binding = Binding("training checkpoint", 0, number, b"")

    def load(self) -> bytes | None:
        """The checkpoint of this round's training, or None."""
        try:
            return envelope.open(self._key, self._binding, self._path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, CryptoError) as error:
            log.info("%s: no checkpoint of round %d (%s)", self._path, self._number, error)
            return None

    def save(self, data: bytes) -> None:
        """Replace it, durably and at once."""
        try:
            write_private(self._path, envelope.seal(self._key, self._binding, data))
        except OSError as error:
            log.warning("%s: the checkpoint of round %d cannot be written (%s)", self._path, self._number, error)
