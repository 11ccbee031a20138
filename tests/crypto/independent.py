"""Encryption, partial opening and decoding once more: Python integers and the papers, no line shared with the package.

It follows the written formats alone: docs and README of ``crypto``, RFC 8439 (ChaCha20), RFC 7693 (BLAKE2b) and the
encryption of SEAL 4 (randomness from its generator, drawn as ``sample_poly_ternary`` and ``sample_poly_cbd`` draw it).
Polynomials are lists of n integers.
"""

import hashlib
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.crypto.reference import Poly, chinese, decode, fields, product

WORD = 0xFFFFFFFF


@dataclass(frozen=True)
class Sizes:
    """What a parameter set fixes; written out here and not taken from the package."""

    n: int
    primes: tuple[int, ...]
    t: int
    fields: int
    bits: int
    smudge: int
    id: bytes

    @property
    def below(self) -> list[int]:
        """The primes of a ciphertext."""
        return list(self.primes[:-1])

    @property
    def q(self) -> int:
        product_ = 1
        for prime in self.below:
            product_ *= prime
        return product_


MINIMAL = Sizes(
    4096,
    (0xFFFFBE001, 0xFFFFC4001, 0xFFFFEE001),
    0x3FFFE4001,
    2,
    17,
    30,
    bytes.fromhex("8b08e93f0921e5f6778d03af4b08cecc"),
)
STANDARD = Sizes(
    8192,
    (0xFFFFFFFFFFD8001, 0xFFFFFFFFFFE8001, 0xFFFFFFFFFFFC001),
    0x3FFFFFFFEF8001,
    3,
    18,
    58,
    bytes.fromhex("fd2beefb1e7816dfa3bb0eabb733a54e"),
)


# ---- randomness ------------------------------------------------------------------------------------------------------


def chacha20(key: bytes, nonce: bytes, count: int) -> bytes:
    """The key stream behind block 0: what the AEAD of RFC 8439 encrypts with."""
    constants = struct.unpack("<4I", b"expand 32-byte k")
    words = (*constants, *struct.unpack("<8I", key))
    tail = struct.unpack("<3I", nonce)
    blocks = (_chacha_block([*words, counter, *tail]) for counter in range(1, -(-count // 64) + 1))
    return b"".join(blocks)[:count]


def _chacha_block(start: list[int]) -> bytes:
    x = list(start)
    for _ in range(10):
        for a, b, c, d in (
            (0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
            (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14),
        ):  # fmt: skip
            va, vb, vc, vd = x[a], x[b], x[c], x[d]
            va = (va + vb) & WORD
            vd ^= va
            vd = (vd << 16 | vd >> 16) & WORD
            vc = (vc + vd) & WORD
            vb ^= vc
            vb = (vb << 12 | vb >> 20) & WORD
            va = (va + vb) & WORD
            vd ^= va
            vd = (vd << 8 | vd >> 24) & WORD
            vc = (vc + vd) & WORD
            vb ^= vc
            vb = (vb << 7 | vb >> 25) & WORD
            x[a], x[b], x[c], x[d] = va, vb, vc, vd
    return struct.pack("<16I", *((a + b) & WORD for a, b in zip(x, start, strict=True)))


def derive(key: bytes, label: str, *context: bytes) -> bytes:
    parts = (label.encode(), *context)
    data = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    return hashlib.blake2b(data, key=key, digest_size=32).digest()


def words(data: bytes) -> list[int]:
    return list(struct.unpack(f"<{len(data) // 8}Q", data))


def uniform(key: bytes, sizes: Sizes) -> list[list[int]]:
    """One row of residues a prime: draw k of a stream has the nonce k."""
    rows = []
    draw = 0
    for prime in sizes.below:
        row: list[int] = []
        while len(row) < sizes.n:
            raw = chacha20(key, draw.to_bytes(12, "big"), 8 * (sizes.n + 16))
            mask = (1 << prime.bit_length()) - 1
            row += [w & mask for w in words(raw) if w & mask < prime]
            draw += 1
        rows.append(row[: sizes.n])
    return rows


def smudging(key: bytes, sizes: Sizes) -> Poly:
    drawn = [w >> (64 - sizes.smudge) for w in words(chacha20(key, bytes(12), 32 * sizes.n))]
    middle = 4 << (sizes.smudge - 1)
    return [sum(drawn[i + k * sizes.n] for k in range(4)) - middle for i in range(sizes.n)]


def common(consortium: bytes, epoch: int, sizes: Sizes) -> Poly:
    """The polynomial a, modulo the product of all primes."""
    rows = []
    for index, prime in enumerate(sizes.primes):
        start = b"medweave/common polynomial/1" + sizes.id + consortium + epoch.to_bytes(8, "big") + bytes([index])
        mask = (1 << prime.bit_length()) - 1
        drawn = [w & mask for w in words(hashlib.shake_256(start).digest(8 * (sizes.n + 64)))]
        rows.append([w for w in drawn if w < prime][: sizes.n])
    return chinese(rows, list(sizes.primes))


def seal_randomness(numbers: Iterator[int], n: int) -> tuple[Poly, Poly, Poly]:
    """(u, e0, e1) as SEAL draws them from its generator's 32-bit numbers.

    u is uniform on {-1, 0, 1}; an error is the number of ones in 21 bits less that in 21 others.
    """
    ternary = [_three(numbers) - 1 for _ in range(n)]
    stream = _octets(numbers)
    errors = []
    for _ in range(2 * n):
        x = [next(stream) for _ in range(6)]
        x[2] &= 0x1F
        x[5] &= 0x1F
        errors.append(sum(v.bit_count() for v in x[:3]) - sum(v.bit_count() for v in x[3:]))
    return ternary, errors[:n], errors[n:]


def _three(numbers: Iterator[int]) -> int:
    """``std::uniform_int_distribution(0, 2)`` of GNU's library over 32-bit numbers: by rejection of the last one."""
    part = WORD // 3
    while (drawn := next(numbers)) >= 3 * part:
        pass
    return drawn // part


def _octets(numbers: Iterator[int]) -> Iterator[int]:
    for number in numbers:
        yield from number.to_bytes(4, "little")


# ---- the scheme ------------------------------------------------------------------------------------------------------


def residue_bytes(poly: Poly, primes: Sequence[int]) -> bytes:
    return b"".join(struct.pack(f"<{len(poly)}Q", *(v % p for v in poly)) for p in primes)


def public_key(a: Poly, secret: Poly, error: Poly, sizes: Sizes) -> Poly:
    """The joint key: b = -(a·s + e) modulo all primes."""
    everything = sizes.q * sizes.primes[-1]
    return [-(x + e) % everything for x, e in zip(product(a, secret, everything), error, strict=True)]


def pack(ints: Sequence[int], sizes: Sizes) -> Poly:
    padded = [*ints, *[0] * (sizes.n * sizes.fields - len(ints))]
    groups = (padded[i : i + sizes.fields] for i in range(0, len(padded), sizes.fields))
    return [sum(v << (sizes.bits * k) for k, v in enumerate(group)) % sizes.t for group in groups]


def encrypt(key: tuple[Poly, Poly], drawn: tuple[Poly, Poly, Poly], plain: Poly, sizes: Sizes) -> tuple[Poly, Poly]:
    """(b, a)·u + (e0, e1) modulo all primes, divided by the last and rounded, plus q·m/t rounded: SEAL's BFV."""
    last = sizes.primes[-1]
    everything, u = sizes.q * last, drawn[0]
    parts = []
    for half, error in zip(key, drawn[1:], strict=True):
        raised = [(x + e) % everything for x, e in zip(product(half, u, everything), error, strict=True)]
        parts.append([(x + last // 2) // last % sizes.q for x in raised])
    scaled = [(2 * sizes.q * m + sizes.t) // (2 * sizes.t) for m in plain]
    return [(x + m) % sizes.q for x, m in zip(parts[0], scaled, strict=True)], parts[1]


def chunk_bytes(c: tuple[Poly, Poly], sizes: Sizes, terms: int, epoch: int, values: int) -> bytes:
    head = struct.pack("<4sBBH16sQII", b"MWCT", 1, 0, terms, sizes.id, epoch, 0, values)
    return head + residue_bytes(c[0], sizes.below) + residue_bytes(c[1], sizes.below)


def shares(secret: Poly, coefficients: Sequence[Poly], members: int, sizes: Sizes) -> list[Poly]:
    """Member k holds s + Σ coefficients[i]·(k+1)^(i+1), modulo q."""
    found = []
    for k in range(members):
        value = list(secret)
        for power, poly in enumerate(coefficients, 1):
            weight = (k + 1) ** power
            value = [(v + weight * c) % sizes.q for v, c in zip(value, poly, strict=True)]
        found.append([v % sizes.q for v in value])
    return found


def weight(openers: Sequence[int], member: int, q: int) -> int:
    """Lagrange's λ at 0, modulo q (its primes do not divide the differences)."""
    value = 1
    for other in openers:
        if other != member:
            value = value * (other + 1) * pow(other - member, -1, q) % q
    return value


@dataclass(frozen=True)
class Holder:
    """What one opener holds."""

    index: int
    sigma: Poly
    smudge: bytes
    pairs: dict[int, bytes]


def partial(holder: Holder, openers: Sequence[int], chunk: bytes, c1: Poly, epoch: int, sizes: Sizes) -> bytes:
    """The share times c1 and its weight, plus smudging, plus the masks shared with later members, less those with earlier ones."""
    q, bitmap = sizes.q, sum(1 << k for k in openers)
    digest = hashlib.sha256(chunk).digest()
    context = bitmap.to_bytes(8, "big")
    scaled = [weight(openers, holder.index, q) * v % q for v in holder.sigma]
    total = product(c1, scaled, q)
    noise = smudging(derive(holder.smudge, "smudging", digest, context), sizes)
    total = [(x + e) % q for x, e in zip(total, noise, strict=True)]
    for other in openers:
        if other != holder.index:
            mask = chinese(uniform(derive(holder.pairs[other], "opening mask", digest, context), sizes), sizes.below)
            sign = 1 if holder.index < other else -1
            total = [(x + sign * m) % q for x, m in zip(total, mask, strict=True)]
    head = struct.pack("<4sBBH16sQQ32s", b"MWPO", 2, holder.index, 0, sizes.id, epoch, bitmap, digest)
    return head + residue_bytes(total, sizes.below)


def opened(c0: Poly, partials: Sequence[bytes], values: int, sizes: Sizes) -> tuple[list[int], int]:
    """The values of a sum and the largest noise in it, from c0 and one complete set of partial openings."""
    phase = c0
    for data in partials:
        flat = words(data[72:])
        rows = [flat[i : i + sizes.n] for i in range(0, len(flat), sizes.n)]
        phase = [(x + d) % sizes.q for x, d in zip(phase, chinese(rows, sizes.below), strict=True)]
    plain, noise = decode(phase, sizes.q, sizes.t)
    return fields(plain, sizes.t, sizes.fields, sizes.bits)[:values], noise
