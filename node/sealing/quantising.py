"""From a trained update to small integers (step 3): layout by plan, weight by eq. 19, stochastic rounding."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from crypto.layout import Layout, TensorSpec
from crypto.packing import quantise
from node.learning.parameters import layout_of

if TYPE_CHECKING:
    from decimal import Decimal

    from numpy.typing import NDArray

    from crypto.parameters import ParameterSet

PPM = 1_000_000


@dataclass(frozen=True)
class Quantised:
    """An update as integers."""

    values: NDArray[np.int64]
    """round(ω·Δ / step), int64 [D], each within the limit of one member."""
    clipped: int
    """How many coordinates lay outside the range."""


@functools.lru_cache(maxsize=16)
def plan_layout(architecture: str, classes: int, value_range: Decimal) -> Layout:
    """The layout manifest a plan implies: the architecture's tensors, each with the plan's range.

    Args:
        architecture: Registry name.
        classes: Number of classes.
        value_range: Largest magnitude of one coordinate of a weighted update.
    """
    text = format(value_range.normalize(), "f")
    return Layout(tuple(TensorSpec(name, shape, text) for name, shape in layout_of(architecture, classes)))


def step_sizes(layout: Layout, params: ParameterSet, members: int) -> NDArray[np.float64]:
    """Size of one quantisation step per coordinate, float64 [D].

    The integers are as large as N of them may be and still add up without overflow, so fewer members get finer steps.
    """
    return layout.steps(params.value_limit(members))


def quantise_update(
    delta: NDArray[np.float32], weight_ppm: int, layout: Layout, params: ParameterSet, members: int, seed: bytes
) -> Quantised:
    """Weight and quantise an update.

    Args:
        delta: Clipped update, float32 [D].
        weight_ppm: ω of eq. 19, parts per million.
        layout: The plan's layout.
        params: Encryption parameters of the epoch.
        members: N.
        seed: 32 bytes that seed the stochastic rounding; secret, and never used for another update.
    """
    weighted = delta.astype(np.float64) * (weight_ppm / PPM)
    steps = step_sizes(layout, params, members)
    values, clipped = quantise(weighted, steps, params.value_limit(members), seed)
    return Quantised(values, clipped)
