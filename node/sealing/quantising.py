"""From a trained update to small integers (step 3): layout by plan, weight by eq. 19, stochastic rounding, piece by piece."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from crypto.feedback import Feedback
from crypto.layout import Layout, TensorSpec
from crypto.packing import Quantiser
from crypto.streaming import pieces, quantise_stream
from node.learning.layouts import layout_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from decimal import Decimal

    from numpy.typing import NDArray

    from crypto.packing import Floats
    from crypto.parameters import ParameterSet

PPM = 1_000_000


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


class QuantisedUpdate:
    """A trained update as integers, made while they are taken: round(ω·Δ / step), each within the limit of one member.

    Nothing of the update's length is made but what is carried over. Take it once, to the end; then `clipped` and `lost` are
    those of the whole update.

    Args:
        delta: Clipped update, float32 [D].
        weight_ppm: ω of eq. 19, parts per million.
        layout: The plan's layout.
        limit: Largest absolute integer, `params.value_limit(members)`.
        seed: 32 bytes that seed the stochastic rounding; secret, and never used for another update.
        carried: What earlier updates lost, in the units of ω·Δ, where the plan asks for error feedback.
    """

    def __init__(
        self,
        delta: NDArray[np.float32],
        weight_ppm: int,
        layout: Layout,
        limit: int,
        seed: bytes,
        carried: Feedback | None = None,
    ) -> None:
        self._delta = delta
        self._weight = weight_ppm / PPM
        self._layout = layout
        self._limit = limit
        self._quantiser = Quantiser(layout.size, limit, seed)
        self._carried = carried
        self._lost = None if carried is None else np.empty(delta.size, np.float32)

    @property
    def size(self) -> int:
        """D, the number of values."""
        return self._layout.size

    @property
    def clipped(self) -> int:
        """How many coordinates so far lay outside the range."""
        return self._quantiser.clipped

    @property
    def lost(self) -> Feedback | None:
        """What this update has lost, to be made up for by a later one; None without error feedback."""
        return None if self._lost is None else Feedback(self._lost)

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        """The integers, int64 [B] at a time."""
        corrected: list[NDArray[np.float64]] = []

        def blocks() -> Iterator[NDArray[np.float64]]:
            at = 0
            for piece in pieces(self._delta):
                corrected.append(self._corrected(piece, at))
                yield corrected[-1]
                at += piece.size

        at = 0
        for ints in quantise_stream(blocks(), self._layout, self._quantiser, self._limit):
            self._note_lost(corrected.pop(), ints, at)
            at += ints.size
            yield ints

    def _corrected(self, piece: Floats, at: int) -> NDArray[np.float64]:
        weighted = piece.astype(np.float64) * self._weight
        if self._carried is None:
            return weighted
        return Feedback(self._carried.lost[at : at + piece.size]).correct(weighted)

    def _note_lost(self, corrected: NDArray[np.float64], ints: NDArray[np.int64], at: int) -> None:
        if self._carried is None or self._lost is None:
            return
        end = at + ints.size
        steps = self._layout.steps_between(self._limit, at, end)
        self._lost[at:end] = self._carried.after(corrected, ints, steps, self._limit).lost
