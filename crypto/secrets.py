"""Secrets: types that refuse to be printed or pickled, and their protection at rest (CRY-8, CRY-9)."""

import struct
from dataclasses import dataclass
from typing import Final, NoReturn

import nacl.exceptions
from argon2.low_level import Type, hash_secret_raw
from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
    crypto_scalarmult_base,
)

from crypto.errors import MalformedBytes, WrongPassword
from crypto.randomness import derive, fresh_seed
from crypto.wire import unpack_header, want_bytes

_FORM: Final = struct.Struct("<4sBIIB16s24s")
_MAGIC: Final = b"MWPS"
_TAG: Final = 16

PROTECTED_LIMIT: Final = 1 << 26
"""Longest protected secret read, bytes."""

MEMORY_KIB, PASSES, LANES = 65536, 3, 4
"""Argon2id costs: RFC 9106 section 4, the second recommended option (64 MiB, 3 passes, 4 lanes)."""

_MAX_MEMORY_KIB, _MAX_PASSES, _MAX_LANES = 1 << 20, 16, 16


class Secret:
    """Base of everything that must not leave the process by accident.

    Its text forms show the type's name only, and it cannot be pickled or copied: write ``secret_bytes()`` through
    :func:`protect` instead, on purpose.
    """

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: secret>"

    __str__ = __repr__

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Refuse pickling and copying."""
        raise TypeError(
            f"a {type(self).__name__} is secret and cannot be pickled or copied: use protect(secret_bytes())"
        )


@dataclass(frozen=True, repr=False, eq=False)
class BoxKey(Secret):
    """An X25519 secret key of a member; dealers seal its shares to one made for each ceremony. Made on the member's own site."""

    private: bytes
    """32 bytes."""

    @classmethod
    def generate(cls) -> "BoxKey":
        """A fresh key from the operating system's generator."""
        return cls(fresh_seed())

    @classmethod
    def from_secret_bytes(cls, data: bytes) -> "BoxKey":
        """The key that :meth:`secret_bytes` wrote."""
        return cls(want_bytes(data, 32, "boxKey"))

    def secret_bytes(self) -> bytes:
        """32 bytes, for :func:`protect` only."""
        return self.private

    @property
    def public(self) -> bytes:
        """The 32-byte public key (registered on chain)."""
        return crypto_scalarmult_base(self.private)


@dataclass(frozen=True, repr=False, eq=False)
class ContentKey(Secret):
    """A symmetric key for :mod:`crypto.envelope`, 32 bytes."""

    key: bytes

    @classmethod
    def from_reveal(cls, reveal: bytes, issuer: bytes, round_number: int) -> "ContentKey":
        """The key that locks one member's update until its ``reveal`` is published.

        Locked chunks cannot be imitated or subtracted by a member that posts later (SECURITY.md, "late posters").

        Args:
            reveal: the 32-byte preimage of the update's commitment.
            issuer: 20-byte address of the member, so that a copied blob opens to nothing under another name.
            round_number: the round.
        """
        return cls(derive(want_bytes(reveal, 32, "reveal"), "update lock", issuer, round_number.to_bytes(8, "big")))


def protect(secret: bytes, password: str) -> bytes:
    """Encrypt a secret for the disk: Argon2id (RFC 9106) makes the key, XChaCha20-Poly1305 seals.

    The costs and salt travel in the authenticated header, so they can be raised later.
    """
    salt, nonce = fresh_seed()[:16], fresh_seed()[:24]
    header = _FORM.pack(_MAGIC, 1, MEMORY_KIB, PASSES, LANES, salt, nonce)
    key = _stretch(password, salt, MEMORY_KIB, PASSES, LANES)
    return header + crypto_aead_xchacha20poly1305_ietf_encrypt(secret, header, nonce, key)


def unprotect(data: bytes, password: str) -> bytes:
    """The secret that :func:`protect` encrypted.

    Raises:
        MalformedBytes: no protected secret, or costs beyond 1 GiB, 16 passes, 16 lanes.
        WrongPassword: wrong password or altered bytes; the two cannot be told apart.
    """
    memory, passes, lanes, salt, nonce = unpack_header(data, _FORM, _MAGIC, "protected")
    if not _FORM.size + _TAG <= len(data) <= PROTECTED_LIMIT:
        raise MalformedBytes(
            "protected.length", f"{len(data)} bytes, expected {_FORM.size + _TAG} to {PROTECTED_LIMIT}"
        )
    if not (1 <= passes <= _MAX_PASSES and 1 <= lanes <= _MAX_LANES and 8 * lanes <= memory <= _MAX_MEMORY_KIB):
        raise MalformedBytes("protected.costs", f"{memory} KiB, {passes} passes, {lanes} lanes are out of bounds")
    key = _stretch(password, salt, memory, passes, lanes)
    try:
        return crypto_aead_xchacha20poly1305_ietf_decrypt(data[_FORM.size :], data[: _FORM.size], nonce, key)
    except nacl.exceptions.CryptoError as error:
        raise WrongPassword("wrong password, or the file was altered: restore it from a backup") from error


def _stretch(password: str, salt: bytes, memory: int, passes: int, lanes: int) -> bytes:
    return hash_secret_raw(password.encode(), salt, passes, memory, lanes, 32, Type.ID)
