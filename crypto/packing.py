"""From float updates to plaintext coefficients and back (CRY-6).

float32 values --quantise--> small signed integers --pack--> coefficients modulo t, several values in each.
Quantisation rounds stochastically, so that its error has mean zero over the hospitals, and clips what exceeds the
limit; it counts the clipped values. Packing never clips and never wraps: it raises.
"""

import math
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from crypto.errors import OpeningFailed, ValueOutOfRange
from crypto.modular import Signed, Words
from crypto.parameters import ParameterSet
from crypto.randomness import Stream

Floats: TypeAlias = NDArray[np.float32] | NDArray[np.float64]
"""Real values, [D]."""

_BLOCK: Final = 1 << 20
"""Values quantised at a time: bounds the temporary memory."""


def quantise(values: Floats, step: float | Floats, limit: int, rng_seed: bytes) -> tuple[Signed, int]:
    """Round values to integer multiples of ``step``.

    x becomes floor(x/step + u) with u uniform on [0, 1), so the expectation is x/step (Gupta et al. 2015,
    "Deep learning with limited numerical precision", section 3); results beyond ±limit are set to ±limit.

    Args:
        values: [D], finite.
        step: size of one unit, > 0; one number, or one per value.
        limit: largest absolute integer, usually ``JointKey.value_limit``.
        rng_seed: 32 bytes; the same inputs and seed give the same integers on every machine.

    Returns:
        int64 [D], and how many values were clipped.

    Raises:
        ValueOutOfRange: a value or a step is not finite, or a step not positive.
    """
    steps = np.broadcast_to(np.asarray(step, np.float64), values.shape)
    broken = int(values.size - np.isfinite(values).sum())
    if broken:
        raise ValueOutOfRange(f"{broken} of {values.size} values are not finite: the training diverged, do not seal it")
    quantiser = Quantiser(values.size, limit, rng_seed)
    result = np.empty(values.shape, np.int64)
    for at in range(0, values.size, _BLOCK):
        result[at : at + _BLOCK] = quantiser.take(values[at : at + _BLOCK], steps[at : at + _BLOCK])
    return result, quantiser.clipped


class Quantiser:
    """:func:`quantise` for a vector that comes in pieces: the same integers, however it is cut."""

    def __init__(self, size: int, limit: int, rng_seed: bytes) -> None:
        """Expect D = ``size`` values in all; ``limit`` and ``rng_seed`` are those of :func:`quantise`."""
        self.clipped = 0
        """How many of the values so far lay beyond the limit."""
        self._limit = limit
        self._left = size
        self._stream = Stream(rng_seed)
        self._dice = np.empty(0, np.uint32)

    def take(self, values: Floats, steps: Floats) -> Signed:
        """The next values, float [B], as integers: int64 [B].

        Args:
            values: [B], finite.
            steps: size of one unit for each of them, [B], > 0.

        Raises:
            ValueOutOfRange: a value or a step is not finite, a step not positive, or more values come than announced.
        """
        if not bool(((steps > 0) & (steps < np.inf)).all()):
            raise ValueOutOfRange("every quantisation step must be finite and positive")
        scaled = values.astype(np.float64)
        if not bool(np.isfinite(scaled).all()):
            raise ValueOutOfRange("some values are not finite: the training diverged, do not seal it")
        scaled /= steps
        scaled += self._roll(values.size) * 2.0**-32
        np.floor(scaled, out=scaled)
        bounded = np.clip(scaled, -self._limit, self._limit)
        self.clipped += int(np.count_nonzero(bounded != scaled))
        return bounded.astype(np.int64)

    def _roll(self, count: int) -> NDArray[np.uint32]:
        """Uniform 32-bit words, the next ``count`` of the vector's; drawn in blocks of fixed positions."""
        if count > self._left + self._dice.size:
            raise ValueOutOfRange("more values than the vector was said to have")
        while self._dice.size < count:
            size = min(_BLOCK, self._left)
            drawn = np.frombuffer(self._stream.take(4 * size), "<u4").astype(np.uint32, copy=False)
            self._dice = np.concatenate((self._dice, drawn)) if self._dice.size else drawn
            self._left -= size
        found, self._dice = self._dice[:count], self._dice[count:]
        return found


def dequantise(ints: Signed, step: float | Floats) -> NDArray[np.float64]:
    """Integers, or sums of integers, back to reals: float64 [D]."""
    return ints.astype(np.float64) * step


def pack(ints: Signed, params: ParameterSet) -> Words:
    """Signed values side by side into coefficients modulo t.

    Args:
        ints: int64 [D], each within ±``params.field_limit``.
        params: the parameter set.

    Returns:
        uint64 [chunks, n]; the tail is filled with zeros.

    Raises:
        ValueOutOfRange: a value exceeds its field.
    """
    if ints.size and max(int(ints.max()), -int(ints.min())) > params.field_limit:
        raise ValueOutOfRange(f"a value exceeds ±{params.field_limit}, the field of parameter set {params.name}")
    padded = np.zeros(params.chunks(ints.size) * params.values_per_chunk, np.int64)
    padded[: ints.size] = ints
    fields = padded.reshape(-1, params.ring, params.fields)
    total = fields[..., 0].copy()
    for index in range(1, params.fields):
        total += fields[..., index] << (params.field_bits * index)
    return np.where(total < 0, total + params.plain_modulus, total).view(np.uint64)


def unpack(coefficients: Words, params: ParameterSet, count: int) -> Signed:
    """The inverse of :func:`pack`, also for sums of packed coefficients.

    Args:
        coefficients: uint64 [chunks, n], modulo t.
        params: the parameter set.
        count: how many values to return, at most chunks · ``values_per_chunk``.

    Raises:
        OpeningFailed: a coefficient is not a packing of in-range fields.
    """
    rest = coefficients.view(np.int64)
    rest = np.where(rest > params.plain_modulus // 2, rest - params.plain_modulus, rest)
    half = 1 << (params.field_bits - 1)
    fields = np.empty((*coefficients.shape, params.fields), np.int64)
    for index in range(params.fields):
        low = ((rest + half) & (2 * half - 1)) - half
        fields[..., index] = low
        rest = (rest - low) >> params.field_bits
    if rest.any():
        raise OpeningFailed("a coefficient holds more than its fields: some update was sealed out of range")
    return fields.reshape(math.prod(fields.shape))[:count].copy()
