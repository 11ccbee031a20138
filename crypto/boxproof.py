"""Showing what was in a sealed box without giving away the key that opens all others (Chaum and Pedersen 1992).

A libsodium sealed box is an ephemeral public key E and a text under k = HSalsa20(X25519(s, E)), s the receiver's secret
key. Publishing X = s·E opens this one box; a proof that log_E X = log_B (s·B) shows that X is the right one, as in
EthDKG (Schindler et al. 2019). Then anybody can see that a dealer sealed a bad share, or that the receiver slanders it.

X25519 keys are u-coordinates; the proof runs on the birationally equivalent Edwards curve (RFC 7748, section 4.1), where a
u stands for two points ±P. Both bases are multiplied by the cofactor 8, so everything lies in the group of prime order: with
s = 8·m (X25519 secrets are multiples of 8), ±s·B = ±m·(8·B) and ±s·E = ±m·(8·E), and the sign does not change u.
"""

import hashlib
from typing import Final

import nacl.exceptions
from nacl.bindings import (
    crypto_core_ed25519_add,
    crypto_core_ed25519_is_valid_point,
    crypto_core_ed25519_scalar_add,
    crypto_core_ed25519_scalar_mul,
    crypto_core_ed25519_scalar_reduce,
    crypto_core_ed25519_sub,
    crypto_scalarmult_ed25519_base_noclamp,
    crypto_scalarmult_ed25519_noclamp,
    crypto_secretbox_open,
)

from crypto.errors import BadProof
from crypto.randomness import derive
from crypto.secrets import BoxKey

PROOF_BYTES: Final = 96
"""X as an Edwards point, challenge, response; 32 bytes each."""

_P: Final = 2**255 - 19
_ORDER: Final = 2**252 + 27742317777372353535851937790883648493
_SIGN: Final = 1 << 255
_SIGMA: Final = b"expand 32-byte k"
_SALSA_ROUNDS: Final = tuple(
    zip(
        (4, 8, 12, 0, 9, 13, 1, 5, 14, 2, 6, 10, 3, 7, 11, 15, 1, 2, 3, 0, 6, 7, 4, 5, 11, 8, 9, 10, 12, 13, 14, 15),
        (0, 4, 8, 12, 5, 9, 13, 1, 10, 14, 2, 6, 15, 3, 7, 11, 0, 1, 2, 3, 5, 6, 7, 4, 10, 11, 8, 9, 15, 12, 13, 14),
        (12, 0, 4, 8, 1, 5, 9, 13, 6, 10, 14, 2, 11, 15, 3, 7, 3, 0, 1, 2, 4, 5, 6, 7, 9, 10, 11, 8, 14, 15, 12, 13),
        (7, 9, 13, 18) * 8,
        strict=True,
    )
)
"""Salsa20's double round (Bernstein 2005): x[a] ^= (x[b] + x[c]) <<< shift, in order."""


def prove(box: BoxKey, blob: bytes, context: bytes) -> bytes:
    """Open one sealed box to everybody.

    Args:
        box: the receiver's key.
        blob: a sealed box to it.
        context: what the proof is for; it verifies under the same context only.

    Returns:
        PROOF_BYTES bytes; the same inputs give the same bytes.

    Raises:
        BadProof: the box's ephemeral key is no point of the curve's large subgroup: the box shows that by itself.
    """
    base = ephemeral(blob)
    clamped = int.from_bytes(box.private, "little") & (_SIGN // 2 - 8) | _SIGN // 2
    secret = clamped // 8 % _ORDER
    if _eight_base(_scalar(secret))[31] & 128:
        secret = _ORDER - secret
    m = _scalar(secret)
    shared = crypto_scalarmult_ed25519_noclamp(m, base)
    nonce = _reduce(derive(box.private, "box proof", context, blob[:32]))
    challenge = _challenge(
        context, box.public, base, shared, _eight_base(nonce), crypto_scalarmult_ed25519_noclamp(nonce, base)
    )
    return shared + challenge + crypto_core_ed25519_scalar_add(nonce, crypto_core_ed25519_scalar_mul(challenge, m))


def reveal(proof: bytes, receiver: bytes, blob: bytes, context: bytes) -> bytes | None:
    """What the box held, once its receiver has proved it.

    Args:
        proof: what :func:`prove` gave.
        receiver: the receiver's X25519 public key.
        blob: the sealed box.
        context: as given to :func:`prove`.

    Returns:
        The plaintext; None if the box holds no authentic one.

    Raises:
        BadProof: the proof does not verify.
    """
    if len(proof) != PROOF_BYTES:
        raise BadProof(f"a proof has {PROOF_BYTES} bytes, not {len(proof)}")
    shared, challenge, response = proof[:32], proof[32:64], proof[64:]
    base = ephemeral(blob)
    public = _lift(receiver)
    try:
        if not (crypto_core_ed25519_is_valid_point(public) and crypto_core_ed25519_is_valid_point(shared)):
            raise BadProof("a point of the proof is not in the group of prime order")
        first = crypto_core_ed25519_sub(_eight_base(response), crypto_scalarmult_ed25519_noclamp(challenge, public))
        second = crypto_core_ed25519_sub(
            crypto_scalarmult_ed25519_noclamp(response, base), crypto_scalarmult_ed25519_noclamp(challenge, shared)
        )
    except (nacl.exceptions.CryptoError, nacl.exceptions.RuntimeError) as error:
        raise BadProof("a point or scalar of the proof is not usable") from error
    if _challenge(context, receiver, base, shared, first, second) != challenge:
        raise BadProof("the revealed key is not proved to be the one this box was sealed with")
    return _open(_u(shared), receiver, blob)


def ephemeral(blob: bytes) -> bytes:
    """8·E, E the box's ephemeral key as an Edwards point.

    Raises:
        BadProof: there is no such point, or it has small order: no honest dealer makes such a box.
    """
    try:
        point = _lift(blob[:32])
        for _ in range(3):
            point = crypto_core_ed25519_add(point, point)
        valid = crypto_core_ed25519_is_valid_point(point)
    except (nacl.exceptions.CryptoError, nacl.exceptions.RuntimeError) as error:
        raise BadProof("the box's ephemeral key is no point of the curve") from error
    if not valid:
        raise BadProof("the box's ephemeral key has small order")
    return point


def _lift(u: bytes) -> bytes:
    """The Edwards point with an even x for a u-coordinate: y = (u - 1)/(u + 1); its existence is checked by its user."""
    if len(u) != 32:
        raise BadProof(f"a public key has 32 bytes, not {len(u)}")
    value = int.from_bytes(u, "little") % _SIGN
    return ((value - 1) * pow(value + 1, _P - 2, _P) % _P).to_bytes(32, "little")


def _u(point: bytes) -> bytes:
    """The u-coordinate of an Edwards point: u = (1 + y)/(1 - y)."""
    y = int.from_bytes(point, "little") % _SIGN
    return ((1 + y) * pow(1 - y, _P - 2, _P) % _P).to_bytes(32, "little")


def _eight_base(scalar: bytes) -> bytes:
    return crypto_scalarmult_ed25519_base_noclamp(crypto_core_ed25519_scalar_mul(_scalar(8), scalar))


def _scalar(value: int) -> bytes:
    return value.to_bytes(32, "little")


def _reduce(seed: bytes) -> bytes:
    return crypto_core_ed25519_scalar_reduce(hashlib.sha512(seed).digest())


def _challenge(context: bytes, *points: bytes) -> bytes:
    state = hashlib.sha512(b"medweave/box proof/1" + hashlib.sha512(context).digest())
    for point in points:
        state.update(point)
    return crypto_core_ed25519_scalar_reduce(state.digest())


def _open(shared: bytes, receiver: bytes, blob: bytes) -> bytes | None:
    """Libsodium's crypto_box_seal_open, from the Diffie-Hellman result on."""
    nonce = hashlib.blake2b(blob[:32] + receiver, digest_size=24).digest()
    try:
        return crypto_secretbox_open(blob[32:], nonce, _hsalsa20(shared))
    except (nacl.exceptions.CryptoError, nacl.exceptions.ValueError):
        return None


def _hsalsa20(key: bytes) -> bytes:
    """HSalsa20 of a key and 16 zero bytes (Bernstein, Extending the Salsa20 nonce, 2011), as crypto_box_beforenm uses."""
    block = _SIGMA[:4] + key[:16] + _SIGMA[4:8] + bytes(16) + _SIGMA[8:12] + key[16:] + _SIGMA[12:]
    x = [int.from_bytes(block[i : i + 4], "little") for i in range(0, 64, 4)]
    for _ in range(10):
        for at, left, right, shift in _SALSA_ROUNDS:
            total = x[left] + x[right] & 0xFFFFFFFF
            x[at] ^= (total << shift | total >> (32 - shift)) & 0xFFFFFFFF
    return b"".join(x[i].to_bytes(4, "little") for i in (0, 5, 10, 15, 6, 7, 8, 9))
