"""A model as bytes: one canonical form, so that equal models have equal hashes on every machine.

    offset  bytes  field
    0       8      magic ``MEDWEAVE``
    8       2      version, 1
    10      1      length A of the architecture's name, 1 to 32
    11      A      the architecture's name, lower-case ASCII letters, digits and ``-``
    11+A    2      classes, 2 to 64
    13+A    32     layout digest, see ``parameters.layout_digest``
    45+A    4      parameter count D, 1 to 100,000,000
    49+A    4 D    parameters, IEEE 754 binary32, all finite

Numbers are little-endian. There is nothing after the parameters. This module needs no torch: an auditor reads models
with it.
"""

from __future__ import annotations

import hashlib
import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from node.learning.errors import MalformedModel, WrongVector

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAGIC: Final = b"MEDWEAVE"
VERSION: Final = 1
MAX_NAME: Final = 32
MAX_PARAMETERS: Final = 100_000_000
MAX_CLASSES: Final = 64

_NAME = re.compile(rb"[a-z0-9-]{1,%d}" % MAX_NAME)
_FRONT = struct.Struct("<8sHB")
_BACK = struct.Struct("<H32sI")


@dataclass(frozen=True, slots=True, eq=False)
class ModelFile:
    """The content of a model file."""

    architecture: str
    """The registry's name of the network."""
    classes: int
    """How many classes it tells apart, 2 to 64."""
    layout_digest: bytes
    """32 bytes that fix the order, names and shapes of the tensors in ``vector``."""
    vector: NDArray[np.float32]
    """Every parameter, ``[D]``."""


def verify_vector(vector: NDArray[np.float32], size: int | None = None) -> None:
    """A parameter vector is one-dimensional, float32, finite, and of ``size`` entries where that is given.

    Raises:
        WrongVector: it is not; the message says which.
    """
    if vector.ndim != 1 or vector.dtype != np.float32:
        raise WrongVector(f"parameters must be float32 [D], got {vector.dtype} {list(vector.shape)}")
    if size is not None and vector.shape[0] != size:
        raise WrongVector(
            f"parameters: {vector.shape[0]} values, this network has {size}; is it another architecture's?"
        )
    if not np.isfinite(vector).all():
        first = int(np.flatnonzero(~np.isfinite(vector))[0])
        raise WrongVector(f"parameters: value {first} is {vector[first]}, expected finite numbers")


def encode_model(model: ModelFile) -> bytes:
    """The canonical bytes.

    Raises:
        WrongVector: the vector is not finite float32 ``[D]``, or D is out of range.
        MalformedModel: another field is out of range.
    """
    verify_vector(model.vector)
    name = model.architecture.encode("ascii", errors="replace")
    _verify_header(name, model.classes, len(model.layout_digest), model.vector.shape[0])
    front = _FRONT.pack(MAGIC, VERSION, len(name)) + name
    back = _BACK.pack(model.classes, model.layout_digest, model.vector.shape[0])
    return front + back + model.vector.astype("<f4", copy=False).tobytes()


def parse_model(data: bytes) -> ModelFile:
    """What the bytes hold; ``encode_model`` of it gives them back.

    Whether the layout is the one of the registry's network is for ``parameters.verify_model`` to say.

    Raises:
        MalformedModel: a field is out of range, or the length does not fit; the message names it.
    """
    if len(data) < _FRONT.size:
        raise MalformedModel(f"model file: {len(data)} bytes, shorter than its header")
    magic, version, name_length = _FRONT.unpack_from(data)
    if magic != MAGIC or version != VERSION:
        raise MalformedModel(f"model file: starts with {magic!r} version {version}, expected {MAGIC!r} {VERSION}")
    start = _FRONT.size + name_length
    if len(data) < start + _BACK.size:
        raise MalformedModel(f"model file: {len(data)} bytes, shorter than its header")
    name = data[_FRONT.size : start]
    classes, digest, count = _BACK.unpack_from(data, start)
    _verify_header(name, classes, len(digest), count)
    body = start + _BACK.size
    if len(data) != body + 4 * count:
        raise MalformedModel(f"model file: {len(data)} bytes, expected {body + 4 * count} for {count} parameters")
    vector = np.frombuffer(data, dtype="<f4", count=count, offset=body).astype(np.float32, copy=False)
    if not np.isfinite(vector).all():
        raise MalformedModel("model file: field parameters holds values that are no finite numbers")
    return ModelFile(name.decode("ascii"), classes, digest, vector)


def model_hash(data: bytes) -> bytes:
    """The model's identity on chain: sha2-256 (FIPS 180-4) of its bytes, 32 bytes."""
    return hashlib.sha256(data).digest()


def _verify_header(name: bytes, classes: int, digest_length: int, count: int) -> None:
    if not _NAME.fullmatch(name):
        raise MalformedModel(f"model file: field architecture is {name!r}, expected 1 to {MAX_NAME} of a-z, 0-9, -")
    if not 2 <= classes <= MAX_CLASSES:
        raise MalformedModel(f"model file: field classes is {classes}, expected 2 to {MAX_CLASSES}")
    if digest_length != 32:
        raise MalformedModel(f"model file: field layout digest has {digest_length} bytes, expected 32")
    if not 1 <= count <= MAX_PARAMETERS:
        raise MalformedModel(f"model file: field parameter count is {count}, expected 1 to {MAX_PARAMETERS}")
