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
    if not (np.isfinite(steps).all() and bool((steps > 0).all())):
        raise ValueOutOfRange("every quantisation step must be finite and positive")
    broken = int(values.size - np.isfinite(values).sum())
    if broken:
        raise ValueOutOfRange(f"{broken} of {values.size} values are not finite: the training diverged, do not seal it")
    stream = Stream(rng_seed)
    result = np.empty(values.shape, np.int64)
    clipped = 0
    for at in range(0, values.size, _BLOCK):
        part = slice(at, at + _BLOCK)
        scaled = values[part].astype(np.float64) / steps[part]
        dice = np.frombuffer(stream.take(4 * scaled.size), "<u4") / 2.0**32
        rounded = np.floor(scaled + dice)
        clipped += int((np.abs(rounded) > limit).sum())
        result[part] = np.clip(rounded, -limit, limit)
    return result, clipped


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
