"""A network as one float32 vector, in one order.

The order is that of ``named_parameters``, which is the order of construction in the network's source; the layout digest
pins it, so a change of the source that moved a tensor would be noticed and not silently mix two tensors up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from node.learning.errors import WrongVector
from node.learning.layouts import Layout, initial, layout_digest, layout_of, model_bytes, size_of, verify_model
from node.learning.modelfile import ModelFile, model_hash, parse_model, verify_vector

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

__all__ = [
    "Layout",
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
    "size_of",
    "verify_model",
    "verify_vector",
]


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
