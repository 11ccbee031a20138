"""A network as one float32 vector, in one order.

The order is that of ``named_parameters``, which is the order of construction in the network's source; the layout digest
pins it, so a change of the source that moved a tensor would be noticed and not silently mix two tensors up.
"""

from __future__ import annotations

import functools
import hashlib
import math
from typing import TYPE_CHECKING

import cbor2
import numpy as np
import torch

from node.learning.errors import MalformedModel, WrongVector
from node.learning.modelfile import ModelFile, encode_model, model_hash, parse_model, verify_vector
from node.learning.registry import build

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    from node.learning.classifier import Classifier

__all__ = [
    "ModelFile",
    "flatten",
    "initial",
    "layout",
    "layout_digest",
    "layout_of",
    "load",
    "model_bytes",
    "model_hash",
    "parse_model",
    "verify_model",
    "verify_vector",
]

Layout = tuple[tuple[str, tuple[int, ...]], ...]
"""Name and shape of each tensor, in the vector's order."""


def layout(model: nn.Module) -> Layout:
    """Name and shape of each of the network's tensors, in the vector's order.

    Raises:
        WrongVector: the network has buffers, or parameters that are not float32: a vector would not hold all of it.
    """
    buffers = [name for name, _ in model.named_buffers()]
    if buffers:
        raise WrongVector(f"network has buffers {buffers[:3]} that averaging would miss; use normalisation.BatchNorm")
    other = [name for name, tensor in model.named_parameters() if tensor.dtype != torch.float32]
    if other:
        raise WrongVector(f"network parameter {other[0]} is not float32")
    return tuple((name, tuple(tensor.shape)) for name, tensor in model.named_parameters())


@functools.lru_cache(maxsize=32)
def layout_of(architecture: str, classes: int) -> Layout:
    """The layout of a registered network, without drawing its parameters.

    Raises:
        UnknownArchitecture: the registry has no such network.
    """
    with torch.device("meta"):
        return layout(build(architecture, classes))


def size_of(tensors: Layout) -> int:
    """D, the number of values in a vector of this layout."""
    return sum(math.prod(shape) for _, shape in tensors)


def layout_digest(tensors: Layout) -> bytes:
    """sha2-256 of the layout's canonical CBOR (RFC 8949, section 4.2), a list of ``[name, [sizes]]``; 32 bytes."""
    listed = [[name, list(shape)] for name, shape in tensors]
    return hashlib.sha256(cbor2.dumps(listed, canonical=True)).digest()


def flatten(model: nn.Module) -> NDArray[np.float32]:
    """Every parameter of the network as a new vector ``[D]``."""
    layout(model)
    parts = [tensor.detach().cpu().numpy().reshape(-1) for tensor in model.parameters()]
    return np.concatenate(parts).astype(np.float32, copy=False)


def load(model: nn.Module, vector: NDArray[np.float32]) -> None:
    """Copy ``vector [D]`` into the network's parameters.

    Raises:
        WrongVector: its length, type or values are wrong; the network is then unchanged.
    """
    tensors = layout(model)
    verify_vector(vector, size_of(tensors))
    at = 0
    with torch.no_grad():
        for tensor in model.parameters():
            count = tensor.numel()
            part = np.array(vector[at : at + count])
            tensor.copy_(torch.from_numpy(part).view(tensor.shape))
            at += count


def initial(name: str, classes: int, seed: int) -> NDArray[np.float32]:
    """The parameters a consortium starts from, ``[D]``: bit for bit the same for everyone who has the plan's ``seed``.

    Drawn uniformly with variance 1 / fan-in (LeCun et al. 1998, "Efficient backprop") by numpy's PCG64 and exactly rounded
    arithmetic only: torch's own normal draws may differ between processors in their last bit, and the model's hash with
    them. Gains start at 1, biases at 0.

    Raises:
        UnknownArchitecture: the registry has no such network.
    """
    with torch.device("meta"):
        model = build(name, classes)
    rng = np.random.Generator(np.random.PCG64(seed))
    return np.concatenate([_drawn(model, tensor, shape, rng) for tensor, shape in layout(model)])


def _drawn(model: Classifier, name: str, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    count = math.prod(shape)
    if len(shape) < 2:
        return np.full(count, float(name.endswith("gain")), dtype=np.float32)
    bound = math.sqrt(3 / model.fan_in(name, shape))
    return ((2 * rng.random(count) - 1) * bound).astype(np.float32)


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
