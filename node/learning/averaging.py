"""Federated averaging in the clear (McMahan et al. 2017; eq. 4-5 of Kumar et al. 2021).

    w  =  w_base + sum_i omega_i d_i,   sum_i omega_i = 1

The network itself adds sealed updates; this is what the sum must equal, and what a simulation without sealing uses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from node.learning.errors import WrongVector
from node.learning.modelfile import verify_vector

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def average(
    base: NDArray[np.float32], updates: Sequence[NDArray[np.float32]], weights: Sequence[float]
) -> NDArray[np.float32]:
    """The next global model ``[D]``: the base plus the weighted mean of the updates, summed in float64.

    Args:
        base: the round's base model, ``[D]``.
        updates: trained minus base parameters of each hospital, ``[D]`` each, at least one.
        weights: of each update, positive; divided by their sum here. Sample counts give FedAvg.

    Raises:
        WrongVector: lengths differ, or a weight is not positive.
    """
    if not updates or len(updates) != len(weights):
        raise WrongVector(
            f"averaging: {len(updates)} updates with {len(weights)} weights, expected as many, at least one"
        )
    total = float(sum(weights))
    mean = np.zeros(base.shape, dtype=np.float64)
    for update, weight in zip(updates, weights, strict=True):
        if not weight > 0:
            raise WrongVector(f"averaging: weight {weight}, expected more than 0")
        verify_vector(update, base.shape[0])
        mean += update * (weight / total)
    return (base + mean).astype(np.float32)
