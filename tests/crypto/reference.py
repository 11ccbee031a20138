"""The scheme in plain Python integers, straight from the papers: slow, and no code shared with the package.

Polynomials are lists of n integers. Nothing here uses RNS, transforms or numpy.
"""

import struct

Poly = list[int]


def product(x: Poly, y: Poly, modulus: int) -> Poly:
    """X · y modulo X^n + 1 by Kronecker substitution: one product of two huge integers."""
    n, width = len(x), 8 * ((2 * modulus.bit_length() + len(x).bit_length() + 7) // 8 + 1)
    size = width // 8
    packed = [int.from_bytes(b"".join((v % modulus).to_bytes(size, "little") for v in p), "little") for p in (x, y)]
    raw = (packed[0] * packed[1]).to_bytes(2 * n * size, "little")
    full = [int.from_bytes(raw[i * size : (i + 1) * size], "little") for i in range(2 * n)]
    return [(full[i] - full[i + n]) % modulus for i in range(n)]


def chinese(residues: list[list[int]], primes: list[int]) -> Poly:
    """Residue rows to integers modulo the product of the primes."""
    total = 1
    for p in primes:
        total *= p
    weights = [total // p * pow(total // p, -1, p) for p in primes]
    return [sum(w * r for w, r in zip(weights, column, strict=True)) % total for column in zip(*residues, strict=True)]


def chunk(data: bytes, n: int, primes: list[int]) -> tuple[Poly, Poly, int]:
    """(c0, c1, number of values) of a chunk, from its documented bytes."""
    values = struct.unpack_from("<I", data, 36)[0]
    words = struct.unpack_from(f"<{2 * len(primes) * n}Q", data, 40)
    rows = [list(words[i * n : (i + 1) * n]) for i in range(2 * len(primes))]
    half = len(primes)
    return chinese(rows[:half], primes), chinese(rows[half:], primes), values


def decrypt(c0: Poly, c1: Poly, secret: Poly, q: int, t: int) -> tuple[Poly, int]:
    """Plaintext coefficients and the largest noise, BFV: round(t·(c0 + c1·s)/q) modulo t."""
    phase = [(a + b) % q for a, b in zip(c0, product(c1, secret, q), strict=True)]
    return decode(phase, q, t)


def decode(phase: Poly, q: int, t: int) -> tuple[Poly, int]:
    plain = [(2 * t * x + q) // (2 * q) % t for x in phase]
    noise = 0
    for x, m in zip(phase, plain, strict=True):
        error = (x - (q * m + t // 2) // t) % q
        noise = max(noise, min(error, q - error))
    return plain, noise


def fields(plain: Poly, t: int, count: int, bits: int) -> Poly:
    """Signed fields of each coefficient, lowest first."""
    out = []
    for value in plain:
        rest = value - t if value > t // 2 else value
        for _ in range(count):
            low = (rest + (1 << bits - 1)) % (1 << bits) - (1 << bits - 1)
            out.append(low)
            rest = (rest - low) >> bits
    return out


def interpolate(shares: dict[int, list[int]], prime: int) -> Poly:
    """The value at 0 of the polynomial through (k + 1, share), coefficient by coefficient."""
    total = [0] * len(next(iter(shares.values())))
    for k, row in shares.items():
        weight = 1
        for j in shares:
            if j != k:
                weight = weight * (j + 1) * pow(j - k, -1, prime) % prime
        total = [(a + weight * b) % prime for a, b in zip(total, row, strict=True)]
    return total
