"""A training under way as bytes, after each of its epochs: whoever goes on from them ends with the same model, bit for bit.

A checkpoint holds parameters, AdamW's two moments, the states of the random generators, the losses so far and the best
model of early stopping. It is a hospital's own model before anyone else's was added, hence as secret as its update:
whoever stores it seals it (`node.daemon.checkpoints`). The form is canonical CBOR (RFC 8949, 4.2.1); values are
little-endian float32.

It names the run it belongs to by digest (base, images, settings): another run's is not taken up.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import cbor2
import numpy as np

from node.learning.errors import MalformedCheckpoint

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from node.images.record import Dataset
    from node.learning.settings import TrainingSettings

VERSION: Final = 1
MAX_EPOCHS: Final = 1000
MAX_GENERATOR_BYTES: Final = 64 * 1024


class CheckpointStore(Protocol):
    """Where one training keeps its last checkpoint."""

    def load(self) -> bytes | None:
        """The last one saved, or None."""

    def save(self, data: bytes) -> None:
        """Replace it, durably and at once: after a crash the old one or the new one is there, whole."""


@dataclass(frozen=True, slots=True, eq=False)
class Best:
    """The best epoch so far on the validation images."""

    epoch: int
    """From 1."""
    loss: float
    """On the validation images."""
    parameters: NDArray[np.float32]
    """After it, ``[D]``."""


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """Everything a training needs to go on."""

    run: bytes
    """Which training, 32 bytes; see :func:`run_digest`."""
    epochs: int
    """Epochs done, 1 to 1000."""
    parameters: NDArray[np.float32]
    """``[D]``, in the layout's order, as the two below."""
    mean: NDArray[np.float32]
    """AdamW's first moment, ``[D]``."""
    square: NDArray[np.float32]
    """AdamW's second moment, ``[D]``."""
    steps: int
    """Optimiser steps taken; with float16 fewer than batches."""
    losses: tuple[float, ...]
    """Mean training loss of each epoch."""
    order: bytes
    """State of the generator of batch order and augmentation."""
    noise: bytes
    """State of torch's generator on the processor, for what networks draw themselves (dropout)."""
    device_noise: bytes
    """The same on the GPU; empty on a processor."""
    scale: float
    """float16's loss scale, 1 without."""
    growth: int
    """Steps since that scale last changed."""
    best: Best | None
    """With early stopping."""
    seconds: float
    """Spent so far."""

    def to_bytes(self) -> bytes:
        """The canonical bytes."""
        fields = {name: _plain(getattr(self, name)) for name in _FIELDS if name != "best"}
        best = None if self.best is None else [self.best.epoch, self.best.loss, _plain(self.best.parameters)]
        return cbor2.dumps({"version": VERSION, "best": best, **fields}, canonical=True)

    @classmethod
    def from_bytes(cls, data: bytes, size: int) -> Checkpoint:
        """Parse the bytes of a checkpoint of a network with ``size`` parameters.

        Raises:
            MalformedCheckpoint: not canonical, a field missing, or of a wrong type, length or range.
        """
        fields = _decoded(data)
        wanted = {*_FIELDS, "version"}
        if set(fields) != wanted:
            raise MalformedCheckpoint(
                f"training checkpoint: fields {sorted(map(str, fields))}, expected {sorted(wanted)}"
            )
        if fields["version"] != VERSION:
            raise MalformedCheckpoint(f"training checkpoint: version {fields['version']!r}, expected {VERSION}")
        epochs = _whole(fields, "epochs", 1, MAX_EPOCHS)
        return cls(
            run=_octets(fields, "run", 32, 32),
            epochs=epochs,
            parameters=_vector(fields["parameters"], "parameters", size),
            mean=_vector(fields["mean"], "mean", size),
            square=_vector(fields["square"], "square", size),
            steps=_whole(fields, "steps", 0, 2**48),
            losses=_losses(fields["losses"], epochs),
            order=_octets(fields, "order", 1, MAX_GENERATOR_BYTES),
            noise=_octets(fields, "noise", 1, MAX_GENERATOR_BYTES),
            device_noise=_octets(fields, "device_noise", 0, MAX_GENERATOR_BYTES),
            scale=_real(fields["scale"], "scale"),
            growth=_whole(fields, "growth", 0, 2**31),
            best=_best(fields["best"], size, epochs),
            seconds=_real(fields["seconds"], "seconds"),
        )


_FIELDS: Final = tuple(Checkpoint.__dataclass_fields__)


def run_digest(
    base: NDArray[np.float32], dataset: Dataset, settings: TrainingSettings, validation: Dataset | None
) -> bytes:
    """Which training this is, 32 bytes: sha2-256 over settings, base and images with their labels and patients."""
    digest = hashlib.sha256(settings.digest + np.ascontiguousarray(base).tobytes())
    for each in (dataset, validation):
        if each is not None:
            digest.update(repr(each.images.shape).encode())
            digest.update(np.ascontiguousarray(each.images).tobytes() + each.labels.tobytes())
            digest.update("\0".join(each.patients.tolist()).encode())
    return digest.digest()


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.astype("<f4", copy=False).tobytes()
    return list(value) if isinstance(value, tuple) else value


def _decoded(data: bytes) -> dict[str, Any]:
    try:
        fields = cbor2.loads(data)
    except (cbor2.CBORDecodeError, RecursionError) as error:
        raise MalformedCheckpoint(f"training checkpoint: no CBOR ({error})") from None
    if not isinstance(fields, dict) or cbor2.dumps(fields, canonical=True) != data:
        raise MalformedCheckpoint("training checkpoint: not one canonical map")
    return fields


def _vector(value: Any, field: str, size: int) -> NDArray[np.float32]:
    if not isinstance(value, bytes) or len(value) != 4 * size:
        raise MalformedCheckpoint(f"training checkpoint: {field} is not {size} float32 values")
    found = np.frombuffer(value, "<f4").astype(np.float32)
    if not np.isfinite(found).all():
        raise MalformedCheckpoint(f"training checkpoint: {field} holds values that are no finite numbers")
    return found


def _octets(fields: dict[str, Any], field: str, least: int, most: int) -> bytes:
    value = fields[field]
    if not isinstance(value, bytes) or not least <= len(value) <= most:
        raise MalformedCheckpoint(f"training checkpoint: {field} is not {least} to {most} bytes")
    return value


def _whole(fields: dict[str, Any], field: str, least: int, most: int) -> int:
    value = fields[field]
    if type(value) is not int or not least <= value <= most:
        raise MalformedCheckpoint(f"training checkpoint: {field} is not a whole number from {least} to {most}")
    return value


def _real(value: Any, field: str) -> float:
    if type(value) is not float or not math.isfinite(value) or value < 0:
        raise MalformedCheckpoint(f"training checkpoint: {field} is not a finite number of at least 0")
    return value


def _losses(value: Any, epochs: int) -> tuple[float, ...]:
    if not isinstance(value, list) or len(value) != epochs:
        raise MalformedCheckpoint(f"training checkpoint: losses is not one number for each of {epochs} epochs")
    return tuple(_real(each, "losses") for each in value)


def _best(value: Any, size: int, epochs: int) -> Best | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 3 or type(value[0]) is not int or not 1 <= value[0] <= epochs:
        raise MalformedCheckpoint(
            f"training checkpoint: best is not an epoch of 1 to {epochs}, its loss and parameters"
        )
    return Best(value[0], _real(value[1], "best"), _vector(value[2], "best", size))
