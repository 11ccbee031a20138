"""Exact arithmetic modulo primes just below a power of two, on numpy arrays of uint64.

Every modulus of a parameter set is q = 2^B - δ with B ≤ 60 and δ < 2^24 (SEAL takes the largest primes that are 1
modulo 2n), so 2^B ≡ δ and a number is reduced by folding its upper bits. That keeps everything in 64-bit integers:
no long double (its width differs between machines) and no Python integers in a loop.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Words: TypeAlias = NDArray[np.uint64]
"""An array of residues, each below its modulus."""

Signed: TypeAlias = NDArray[np.int64]
"""An array of signed integers."""

HALF: Final = np.uint64(30)
HALF_MASK: Final = np.uint64((1 << 30) - 1)


@dataclass(frozen=True)
class Modulus:
    """A modulus q = 2^bits - delta. All operands are below q and all results too."""

    value: int

    def __post_init__(self) -> None:
        if self.value < 1 << 18 or self.bits > 60 or self.delta >= 1 << 24:
            raise ValueError(f"modulus {self.value} is not within 2^24 below a power of two of at most 60 bits")

    @cached_property
    def bits(self) -> int:
        """B, the length of q in bits."""
        return self.value.bit_length()

    @cached_property
    def delta(self) -> int:
        """δ = 2^B - q."""
        return (1 << self.bits) - self.value

    @cached_property
    def _folds(self) -> int:
        largest, count = (1 << 64) - 1, 0
        while largest >= 2 * self.value:
            largest = (largest >> self.bits) * self.delta + (1 << self.bits) - 1
            count += 1
        return count

    def reduce(self, x: Words) -> Words:
        """Any uint64 values to residues."""
        q, bits = np.uint64(self.value), np.uint64(self.bits)
        for _ in range(self._folds):
            x = x - (x >> bits) * q  # upper·2^B + lower becomes upper·δ + lower
        result: Words = np.minimum(x, x - q)  # the difference wraps far above x when x < q
        return result

    def settle(self, x: Words) -> None:
        """:meth:`reduce` in place."""
        q, bits = np.uint64(self.value), np.uint64(self.bits)
        spare = np.empty_like(x)
        for _ in range(self._folds):
            np.right_shift(x, bits, out=spare)
            spare *= q
            x -= spare
        np.subtract(x, q, out=spare)
        np.minimum(x, spare, out=x)

    def from_signed(self, x: Signed) -> Words:
        """Signed values of any size to residues."""
        magnitude = self.reduce(np.abs(x).view(np.uint64))
        return np.where(x < 0, self.neg(magnitude), magnitude)

    def centred(self, x: Words) -> Signed:
        """Residues to their representatives in (-q/2, q/2]."""
        signed = x.view(np.int64)
        return np.where(x > np.uint64(self.value // 2), signed - self.value, signed)

    def add(self, x: Words, y: Words) -> Words:
        """Sum of x and y."""
        total = x + y
        result: Words = np.minimum(total, total - np.uint64(self.value))
        return result

    def sub(self, x: Words, y: Words) -> Words:
        """Difference of x and y."""
        total = x - y
        result: Words = np.minimum(total, total + np.uint64(self.value))
        return result

    def neg(self, x: Words) -> Words:
        """-x."""
        return np.where(x == 0, x, np.uint64(self.value) - x)

    def shift(self, x: Words, by: int) -> Words:
        """Product x · 2^by for x < 2^(B+10) and by ≤ 30, by ≤ B: congruent, below 2^61 but not reduced."""
        high, low = x >> np.uint64(self.bits - by), x & np.uint64((1 << (self.bits - by)) - 1)
        return high * np.uint64(self.delta) + (low << np.uint64(by))

    def mul(self, x: Words, y: Words | int) -> Words:
        """Product x · y; an integer y is reduced first."""
        other = np.uint64(y % self.value) if isinstance(y, int) else y
        x1, x0 = x >> HALF, x & HALF_MASK
        y1, y0 = other >> HALF, other & HALF_MASK
        high = self.reduce(x1 * y1)
        middle = self.reduce(self.shift(high, 30) + self.reduce(x0 * y1 + x1 * y0))
        return self.reduce(self.shift(middle, 30) + self.reduce(x0 * y0))

    def mul_small(self, x: Words, y: Words) -> Words:
        """Product x · y for y < 2^10: a third of the work of :meth:`mul`."""
        return self.reduce(self.shift((x >> HALF) * y, 30) + (x & HALF_MASK) * y)

    def scale(self, x: Signed, y: int) -> Signed:
        """Product x · y for |x| < 2^54 and 0 ≤ y < q: congruent and within ±7·q, for q < 2^60.

        The quotient by q is taken in double precision and the remainder in integers modulo 2^64. Conversion, factor and
        product each err by at most 2^-53 of a quotient below 2^54, together with the rounding by less than 7, and
        remainders of 7·q < 2^63 are unharmed by the wrapping. IEEE 754 makes the quotient the same everywhere.
        """
        quotient = np.rint(x * (y / self.value)).astype(np.int64)
        quotient *= self.value
        result: Signed = x * y
        result -= quotient
        return result

    def divide(self, high: Words, low: Words) -> tuple[Words, Words]:
        """Quotient and remainder of high · 2^60 + low by q, for high < 2^B and low < 2^60.

        From x = H·2^B + L follows x = H·q + H·δ + L; a second round leaves a remainder of a few bits above B.
        """
        first, rest = self._split(high, low)
        second, tail = self._split(*wide_product(first, self.delta))
        last = second * np.uint64(self.delta) + tail + rest
        quotient = last // np.uint64(self.value)
        return first + second + quotient, last - quotient * np.uint64(self.value)

    def _split(self, high: Words, low: Words) -> tuple[Words, Words]:
        bits = np.uint64(self.bits)
        return (high << np.uint64(60 - self.bits)) | (low >> bits), low & np.uint64((1 << self.bits) - 1)


def wide_product(x: Words, y: int) -> tuple[Words, Words]:
    """(high, low) with x · y = high · 2^60 + low, for x, y < 2^60."""
    y1, y0 = np.uint64(y >> 30), np.uint64(y & ((1 << 30) - 1))
    x1, x0 = x >> HALF, x & HALF_MASK
    middle = x0 * y1 + x1 * y0
    low = x0 * y0 + ((middle & HALF_MASK) << HALF)
    high = x1 * y1 + (middle >> HALF) + (low >> np.uint64(60))
    return high, low & np.uint64((1 << 60) - 1)


class Accumulator:
    """A running sum of residue polynomials, reduced only when its 64-bit words have no more room.

    With 60-bit primes sixteen summands fit, so most additions are one plain pass over memory.
    """

    def __init__(self, start: Words, primes: Sequence[int]) -> None:
        """Begin with ``start``: uint64 [..., L, n], row l below ``primes[l]``. It is never written to."""
        self._start = start
        self._sum: Words | None = None  # made by the first addition: one pass less than copying first
        self._primes = primes
        self._room = self._limit = ((1 << 64) - 1) // (max(primes) - 1) - 1

    def add(self, summand: Words) -> None:
        """Add residues of the same shape."""
        if self._sum is None:
            self._sum = self._start + summand
        else:
            if not self._room:
                self._settle(self._sum)
            np.add(self._sum, summand, out=self._sum)
        self._room -= 1

    def total(self) -> Words:
        """The sum so far, as residues: the accumulator's own array."""
        if self._sum is None:
            self._sum = self._start.copy()
        elif self._room < self._limit:
            self._settle(self._sum)
        return self._sum

    def _settle(self, words: Words) -> None:
        for row, prime in enumerate(self._primes):
            modulus(prime).settle(words[..., row, :])
        self._room = self._limit


@lru_cache(maxsize=32)
def modulus(value: int) -> Modulus:
    """The (shared) modulus of this value."""
    return Modulus(value)
