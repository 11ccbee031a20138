"""Shamir's secret sharing of ring elements, prime by prime (CRY-2; Mouchet, Bertrand and Hubaux 2022, section 4).

A secret polynomial s is hidden as the constant term of a random polynomial in Z of degree T-1 whose coefficients are
ring elements; member k's share is its value at Z = k + 1. Both the sharing and the reconstruction act on every
coefficient and prime alone, so one vectorised Horner scheme serves all members.

A dealer proves that its shares lie on polynomials of degree T-1 by the random combination of Chaum, Crépeau and Damgård
(1988), which Scrape (Cascudo and David 2017) and others use: CHECKS masking columns ride along with the secret's
columns; a challenge r that depends on all sealed shares gives each member one number a column of masks,
v_k = <r, share_k> + mask_k; the dealer publishes v_0 … v_{T-1}, which fix a polynomial of degree T-1, and every member
finds its own v_k on it or has proof against the dealer. Shares off such a polynomial pass with probability 1/p for each of
the CHECKS columns, 2^-120 in all at 60-bit primes; the masks are uniform, so the published values say nothing about the secret.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from crypto.modular import Words, modulus
from crypto.randomness import Stream

CHECKS: Final = 2
"""Masking columns beside a secret's columns."""


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


def masked(secret: Words, primes: Sequence[int], stream: Stream) -> Words:
    """The secret with its masking columns: uint64 [L, n] to [L, n + CHECKS]."""
    masks = np.stack([stream.uniform(prime, CHECKS) for prime in primes])
    return np.concatenate((secret, masks), axis=1)


def check_values(row: Words, primes: Sequence[int], challenge: bytes) -> Words:
    """What one member's share gives under a challenge.

    Args:
        row: a share with its masking columns, uint64 [L, n + CHECKS].
        primes: the L moduli.
        challenge: 32 bytes that depend on all shares.

    Returns:
        uint64 [L, CHECKS].
    """
    n = row.shape[1] - CHECKS
    stream = Stream(challenge)
    values = [
        [
            (_dot(row[index, :n], stream.uniform(prime, n), prime) + int(row[index, n + c])) % prime
            for c in range(CHECKS)
        ]
        for index, prime in enumerate(primes)
    ]
    return np.array(values, np.uint64)


def _dot(x: Words, y: Words, prime: int) -> int:
    products = modulus(prime).mul(x, y)
    high, low = products >> np.uint64(30), products & np.uint64((1 << 30) - 1)
    return (int(high.sum()) << 30) + int(low.sum())


def value_at(values: Words, member: int, primes: Sequence[int]) -> Words:
    """The value that members 0 … T-1 imply for any member.

    Args:
        values: uint64 [T, L, CHECKS].
        member: index of the member; -1 for the shared constant itself.
        primes: the L moduli.

    Returns:
        uint64 [L, CHECKS].
    """
    known = len(values)
    if 0 <= member < known:
        found: Words = values[member]
        return found
    result = np.empty(values.shape[1:], np.uint64)
    for index, prime in enumerate(primes):
        weights = [_weight(known, k, member, prime) for k in range(known)]
        for c in range(values.shape[2]):
            total = sum(w * int(v) for w, v in zip(weights, values[:, index, c], strict=True))
            result[index, c] = total % prime
    return result


def _weight(known: int, k: int, member: int, prime: int) -> int:
    """The Lagrange weight of point k + 1 among 1 … known, at member + 1."""
    numerator = denominator = 1
    for other in range(known):
        if other != k:
            numerator = numerator * (member - other) % prime
            denominator = denominator * (k - other) % prime
    return numerator * pow(denominator, -1, prime) % prime
