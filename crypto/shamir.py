"""Shamir's secret sharing of ring elements, prime by prime (CRY-2; Mouchet, Bertrand and Hubaux 2022, section 4).

A secret polynomial s is hidden as the constant term of a random polynomial in Z of degree T-1 whose coefficients are
ring elements; member k's share is its value at Z = k + 1. Both the sharing and the reconstruction act on every
coefficient and prime alone, so one vectorised Horner scheme serves all members.
"""

from collections.abc import Sequence

import numpy as np

from crypto.modular import Words, modulus
from crypto.randomness import Stream


def share(secret: Words, threshold: int, members: int, primes: Sequence[int], stream: Stream) -> Words:
    """Shares for members 0 … members-1.

    Args:
        secret: uint64 [L, n].
        threshold: T, how many shares recover the secret.
        members: N ≥ T, below 2^10.
        primes: the L moduli.
        stream: secret randomness of the T-1 blinding coefficients.

    Returns:
        uint64 [N, L, n].
    """
    points = np.arange(1, members + 1, dtype=np.uint64)[:, None]
    shares = np.empty((members, *secret.shape), np.uint64)
    for row, prime in enumerate(primes):
        m = modulus(prime)
        value = np.zeros((members, secret.shape[1]), np.uint64)
        for _ in range(threshold - 1):
            value = m.mul_small(m.add(value, stream.uniform(prime, secret.shape[1])), points)
        shares[:, row] = m.add(value, secret[row])
    return shares


def lagrange(openers: Sequence[int], member: int, prime: int) -> int:
    """λ of ``member`` among ``openers``: the weight of its share at Z = 0, modulo ``prime``."""
    numerator = denominator = 1
    for other in openers:
        if other != member:
            numerator = numerator * (other + 1) % prime
            denominator = denominator * (other - member) % prime
    return numerator * pow(denominator, -1, prime) % prime
