"""Polynomials modulo X^n + 1 in residue (RNS) form: exact products, and the transform SEAL keeps keys in.

A polynomial is a uint64 array [L, n]: row l holds its coefficients modulo the l-th prime.

Products run through a float64 FFT and are nevertheless exact. Each coefficient is cut into signed digits of 15 bits
(|digit| ≤ 2^14). For two polynomials of at most four digits each, one output coefficient of one digit diagonal is a
sum of at most 4·n products, below 2^(2 + 13 + 28) = 2^43; the error of an FFT product is at most about
3·log₂(n)·2^-53·‖x‖₂·‖y‖₂ ≤ 39 · 2^-53 · 2^41 < 0.01 per pair (Higham, Accuracy and Stability of Numerical
Algorithms, 2nd ed., theorem 24.2), so rounding to the nearest integer recovers the exact value on every machine.

The FFT has n/2 complex points: folding the upper half of a polynomial into the imaginary part and twisting by the
powers of a 2n-th root evaluates it at one root of X^n + 1 of each conjugate pair.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from crypto.modular import Signed, Words, modulus

DIGIT: Final = 15
"""Bits of one signed digit."""

Complex: TypeAlias = NDArray[np.complex128]
"""Spectra: complex values at n/2 points."""


@dataclass(frozen=True)
class Spectrum:
    """A polynomial ready to be multiplied: the transforms of its digits.

    Attributes:
        values: complex128 [L or 1, digits, n/2]; a single row serves every prime (small integer polynomials).
    """

    values: Complex


@lru_cache(maxsize=8)
def _twist(n: int) -> Complex:
    twist: Complex = np.exp(-1j * np.pi * np.arange(n // 2) / n)
    return twist


def _transform(digits: NDArray[np.float64]) -> Complex:
    half = digits.shape[-1] // 2
    folded = (digits[..., :half] - 1j * digits[..., half:]) * _twist(2 * half)
    result: Complex = np.fft.fft(folded, axis=-1)
    return result


def _back(values: Complex) -> Signed:
    folded = np.fft.ifft(values, axis=-1) * _twist(2 * values.shape[-1]).conj()
    return np.rint(np.concatenate((folded.real, -folded.imag), axis=-1)).astype(np.int64)


def spectrum(poly: Words, primes: tuple[int, ...]) -> Spectrum:
    """The spectrum of a residue polynomial.

    Args:
        poly: uint64 [L, n], row l below ``primes[l]``.
        primes: the L moduli.
    """
    count = max(-(-p.bit_length() // DIGIT) for p in primes)
    offset = sum(1 << (DIGIT * j + DIGIT - 1) for j in range(count))
    centred = np.stack([modulus(p).centred(row) for p, row in zip(primes, poly, strict=True)])
    shifted = (centred + offset).view(np.uint64)
    mask = np.uint64((1 << DIGIT) - 1)
    digits = [shifted >> np.uint64(DIGIT * j) & mask for j in range(count - 1)]
    digits.append(shifted >> np.uint64(DIGIT * (count - 1)))
    real = np.stack(digits, axis=1).astype(np.float64) - float(1 << (DIGIT - 1))
    return Spectrum(_transform(real))


def small_spectrum(poly: Signed) -> Spectrum:
    """The spectrum of an integer polynomial [n] with coefficients of at most 14 bits (secrets, errors)."""
    return Spectrum(_transform(poly[None, None, :].astype(np.float64)))


def multiply(x: Spectrum, y: Spectrum, primes: tuple[int, ...]) -> Words:
    """The exact product modulo X^n + 1 and each prime, uint64 [L, n]."""
    a, b = x.values, y.values
    count = a.shape[1] + b.shape[1] - 1
    rows = max(a.shape[0], b.shape[0])
    diagonals = np.zeros((rows, count, a.shape[2]), np.complex128)
    for i in range(a.shape[1]):
        for j in range(b.shape[1]):
            diagonals[:, i + j] += a[:, i] * b[:, j]
    exact = _back(diagonals)
    return np.stack([_gather(exact[row % rows], p) for row, p in enumerate(primes)])


def _gather(diagonals: Signed, prime: int) -> Words:
    """Σ diagonals[j] · 2^(15 j) modulo the prime, two diagonals at a time (|pair| < 2^59)."""
    m = modulus(prime)
    pairs = [
        diagonals[j] + (diagonals[j + 1] << DIGIT) if j + 1 < len(diagonals) else diagonals[j]
        for j in range(0, len(diagonals), 2)
    ]
    lift = -(-(1 << 60) // prime) * prime  # a multiple of the prime that makes every pair positive
    total = m.from_signed(pairs[-1])
    for pair in reversed(pairs[:-1]):
        total = m.reduce(m.shift(total, 2 * DIGIT) + (pair + lift).view(np.uint64))
    return total


def add(x: Words, y: Words, primes: tuple[int, ...]) -> Words:
    """Sum x + y of [L, n] polynomials."""
    return np.stack([modulus(p).add(x[i], y[i]) for i, p in enumerate(primes)])


def residues(poly: Signed, primes: tuple[int, ...]) -> Words:
    """An integer polynomial [n] as residues [L, n]."""
    return np.stack([modulus(p).from_signed(poly) for p in primes])


def negate(x: Words, primes: tuple[int, ...]) -> Words:
    """-x for a [L, n] polynomial."""
    return np.stack([modulus(p).neg(x[i]) for i, p in enumerate(primes)])


@lru_cache(maxsize=16)
def _roots(n: int, prime: int) -> tuple[int, ...]:
    """Powers of the smallest primitive 2n-th root, in bit-reversed order, as SEAL numbers them."""
    exponent = (prime - 1) // (2 * n)
    base = next(g for g in range(2, prime) if pow(g, n * exponent, prime) == prime - 1)
    generator = pow(base, exponent, prime)
    square, power, root = generator * generator % prime, generator, generator
    for _ in range(n):
        root = min(root, power)
        power = power * square % prime
    bits = n.bit_length() - 1
    powers = [1]
    for _ in range(n - 1):
        powers.append(powers[-1] * root % prime)
    return tuple(powers[int(format(i, f"0{bits}b")[::-1], 2)] for i in range(n))


def ntt(poly: Words, primes: tuple[int, ...]) -> Words:
    """The number-theoretic transform in SEAL's order: output i is the value at root^(2·bitreverse(i) + 1).

    Used once per joint key, because SEAL keeps public keys transformed (Longa and Naehrig 2016, algorithm 1).
    """
    n = poly.shape[-1]
    return np.stack([_ntt_row(row, n, p) for p, row in zip(primes, poly, strict=True)])


def _ntt_row(row: Words, n: int, prime: int) -> Words:
    m, roots = modulus(prime), np.array(_roots(n, prime), np.uint64)
    blocks, values = 1, row
    while blocks < n:
        pairs = values.reshape(blocks, 2, -1)
        right = m.mul(pairs[:, 1], roots[blocks : 2 * blocks, None])
        values = np.stack((m.add(pairs[:, 0], right), m.sub(pairs[:, 0], right)), axis=1)
        blocks *= 2
    return values.reshape(n)
