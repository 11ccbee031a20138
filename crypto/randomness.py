"""Randomness for secrets, masks and public constants; nothing here is drawn from numpy's or torch's generators.

A secret stream starts from 32 bytes of the operating system's generator and is expanded with ChaCha20 (the keystream
of the IETF ChaCha20-Poly1305 construction, RFC 8439, one nonce per draw). The public polynomial ``a`` comes from
SHAKE256 with rejection, so that anybody can recompute it (CRY-1).
"""

import hashlib
import secrets
from collections.abc import Callable
from typing import Final

import numpy as np
from nacl.bindings import crypto_aead_chacha20poly1305_ietf_encrypt

from crypto.modular import Signed, Words
from crypto.parameters import SMUDGE_TERMS, ParameterSet

SEED_BYTES: Final = 32
"""Length of every seed."""

ERROR_COINS: Final = 21
"""Centred binomial errors, 21 coins against 21: standard deviation sqrt(21/2) = 3.24, as SEAL draws them."""


def fresh_seed() -> bytes:
    """32 bytes from the operating system's cryptographic generator."""
    return secrets.token_bytes(SEED_BYTES)


def derive(seed: bytes, label: str, *context: bytes) -> bytes:
    """A 32-byte key for one purpose: keyed BLAKE2b over the label and length-prefixed context (RFC 7693)."""
    state = hashlib.blake2b(key=seed, digest_size=SEED_BYTES)
    for part in (label.encode(), *context):
        state.update(len(part).to_bytes(8, "big") + part)
    return state.digest()


class Stream:
    """An endless reproducible stream of bytes from one 32-byte seed; never share a seed between two purposes."""

    def __init__(self, seed: bytes) -> None:
        """Start at the beginning of the stream of ``seed`` (32 bytes)."""
        self._seed = seed
        self._draws = 0

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        return self._draw(count)[:count]

    def _draw(self, count: int) -> bytes:
        """The next ``count`` bytes, and behind them an authenticator of no use."""
        nonce = self._draws.to_bytes(12, "big")
        self._draws += 1
        return crypto_aead_chacha20poly1305_ietf_encrypt(bytes(count), None, nonce, self._seed)

    def words(self, count: int) -> Words:
        """``count`` uniform 64-bit words."""
        return np.frombuffer(self._draw(8 * count), "<u8", count).astype(np.uint64, copy=False)

    def uniform(self, prime: int, count: int) -> Words:
        """``count`` uniform residues modulo ``prime``, by rejection."""
        return _reject(self.words, prime, count)

    def ternary(self, count: int) -> Signed:
        """``count`` values uniform on {-1, 0, 1}, by rejection."""
        kept = np.empty(0, np.uint8)
        while len(kept) < count:
            drawn = np.frombuffer(self.take(count + 64), np.uint8)
            kept = np.concatenate((kept, drawn[drawn < 255] % np.uint8(3)))
        return kept[:count].astype(np.int64) - 1

    def errors(self, count: int) -> Signed:
        """``count`` centred binomial errors of standard deviation 3.24."""
        drawn = self.words(count)
        mask = np.uint64((1 << ERROR_COINS) - 1)
        heads = np.bitwise_count(drawn & mask).astype(np.int64)
        tails = np.bitwise_count(drawn >> np.uint64(32) & mask).astype(np.int64)
        result: Signed = heads - tails
        return result

    def smudging(self, bits: int, count: int) -> Signed:
        """``count`` sums of SMUDGE_TERMS terms, each uniform on [-2^(bits-1), 2^(bits-1))."""
        drawn = self.words(SMUDGE_TERMS * count) >> np.uint64(64 - bits)
        total: Signed = np.add.reduce(drawn.reshape(SMUDGE_TERMS, count).view(np.int64))
        return total - (SMUDGE_TERMS << (bits - 1))


def _reject(source: Callable[[int], Words], prime: int, count: int) -> Words:
    mask = np.uint64((1 << prime.bit_length()) - 1)
    drawn = source(count + 16) & mask
    if int(np.maximum.reduce(drawn[:count])) < prime:  # nothing to reject, which is the rule for primes below 2^B
        return drawn[:count]
    kept = drawn[drawn < np.uint64(prime)]
    while len(kept) < count:
        drawn = source(count + 16) & mask
        kept = np.concatenate((kept, drawn[drawn < np.uint64(prime)]))
    return kept[:count]


def common_polynomial(consortium: bytes, epoch: int, params: ParameterSet) -> Words:
    """The common random polynomial ``a`` of an epoch (CRY-1), uint64 [all primes, n].

    Args:
        consortium: 32-byte consortium id.
        epoch: key epoch number.
        params: the parameter set of the epoch.

    Anybody can recompute it: for each prime, SHAKE256 over a domain string, the parameter-set id, the consortium, the
    epoch and the prime's index gives little-endian 64-bit words; the upper bits are masked off and words not below the
    prime are skipped.
    """
    rows = []
    for index, prime in enumerate(params.primes):
        start = b"medweave/common polynomial/1" + params.id + consortium + epoch.to_bytes(8, "big") + bytes([index])
        words = np.frombuffer(hashlib.shake_256(start).digest(8 * (params.ring + 64)), "<u8").astype(np.uint64)
        words &= np.uint64((1 << prime.bit_length()) - 1)
        rows.append(words[words < np.uint64(prime)][: params.ring])
    return np.stack(rows)
