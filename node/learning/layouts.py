"""What a model's vector holds, without building the network: names, shapes and first values of every registered one.

``layouts.json`` lists each network's tensors in the vector's order; a size is a number, or ``[a, b]`` for a + b·J with J
classes. `python -m tools.layouts` writes it from the networks' source, and a test compares the two for every network: a
source that moves a tensor no longer fits the layouts that plans and model files commit to. Nothing here needs torch, so
daemons and auditors, who handle models as vectors, never load it.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

import cbor2
import numpy as np

from node.learning.errors import MalformedModel, UnknownArchitecture
from node.learning.modelfile import MAX_CLASSES, ModelFile, encode_model, verify_vector

if TYPE_CHECKING:
    from numpy.typing import NDArray

FILE: Final = "layouts.json"
MIN_CLASSES: Final = 2

Layout = tuple[tuple[str, tuple[int, ...]], ...]
"""Name and shape of each tensor, in the vector's order."""


def verify_network(architecture: str, classes: int) -> None:
    """The registry has such a network.

    Raises:
        UnknownArchitecture: no such name, or a number of classes out of 2 to 64.
    """
    if architecture not in _table():
        raise UnknownArchitecture(f"architecture {architecture!r} is not known; choose one of {', '.join(_table())}")
    if not MIN_CLASSES <= classes <= MAX_CLASSES:
        raise UnknownArchitecture(
            f"architecture {architecture}: {classes} classes, expected {MIN_CLASSES} to {MAX_CLASSES}"
        )


def layout_of(architecture: str, classes: int) -> Layout:
    """The layout of a registered network.

    Raises:
        UnknownArchitecture: the registry has no such network.
    """
    return tuple((name, shape) for name, shape, _ in _tensors(architecture, classes))


def size_of(tensors: Layout) -> int:
    """D, the number of values in a vector of this layout."""
    return sum(math.prod(shape) for _, shape in tensors)


def layout_digest(tensors: Layout) -> bytes:
    """sha2-256 of the layout's canonical CBOR (RFC 8949, section 4.2), a list of ``[name, [sizes]]``; 32 bytes."""
    listed = [[name, list(shape)] for name, shape in tensors]
    return hashlib.sha256(cbor2.dumps(listed, canonical=True)).digest()


def initial(name: str, classes: int, seed: int) -> NDArray[np.float32]:
    """The parameters a consortium starts from, ``[D]``: bit for bit the same for everyone who has the plan's ``seed``.

    Drawn uniformly with variance 1 / fan-in (LeCun et al. 1998, "Efficient backprop") by numpy's PCG64 and exactly rounded
    arithmetic only: torch's own normal draws may differ between processors in their last bit, and the model's hash with
    them. Gains start at 1, biases at 0.

    Raises:
        UnknownArchitecture: the registry has no such network.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    return np.concatenate([_drawn(*tensor, rng) for tensor in _tensors(name, classes)])


def model_bytes(vector: NDArray[np.float32], architecture: str, classes: int) -> bytes:
    """The canonical model file of a registered network's parameters.

    Raises:
        UnknownArchitecture: the registry has no such network.
        WrongVector: the vector is not that network's, or not finite.
    """
    tensors = layout_of(architecture, classes)
    verify_vector(vector, size_of(tensors))
    return encode_model(ModelFile(architecture, classes, layout_digest(tensors), vector))


def verify_model(model: ModelFile) -> None:
    """The file's layout is the one that this version's registry gives its architecture.

    Raises:
        UnknownArchitecture: the registry has no such network.
        MalformedModel: digest or count differ.
    """
    tensors = layout_of(model.architecture, model.classes)
    if layout_digest(tensors) != model.layout_digest or size_of(tensors) != model.vector.shape[0]:
        raise MalformedModel(
            f"model file: {model.architecture} with {model.classes} classes and {model.vector.shape[0]} parameters has "
            f"another layout than this version's ({size_of(tensors)} parameters); use the version that made it"
        )


def _drawn(name: str, shape: tuple[int, ...], fan_in: int, rng: np.random.Generator) -> NDArray[np.float32]:
    count = math.prod(shape)
    if len(shape) < 2:
        return np.full(count, float(name.endswith("gain")), dtype=np.float32)
    bound = math.sqrt(3 / fan_in)
    return ((2 * rng.random(count) - 1) * bound).astype(np.float32)


@functools.lru_cache(maxsize=32)
def _tensors(architecture: str, classes: int) -> tuple[tuple[str, tuple[int, ...], int], ...]:
    """Name, shape and fan-in of each tensor; a vector (bias, gain) has fan-in 0."""
    verify_network(architecture, classes)
    listed = _table()[architecture]
    return tuple(
        (name, tuple(_size(side, classes) for side in shape), _size(fan_in, classes)) for name, shape, fan_in in listed
    )


def _size(listed: int | list[int], classes: int) -> int:
    return listed if isinstance(listed, int) else listed[0] + listed[1] * classes


@functools.cache
def _table() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(resources.files(__package__).joinpath(FILE).read_text("utf-8"))
    return found
