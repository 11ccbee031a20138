"""Envelopes for what only members may read: XChaCha20-Poly1305 under the epoch's content key (CRY-9).

The nonce is synthetic (in the manner of SIV, Rogaway and Shrimpton 2006): keyed BLAKE2b over the associated data and
the plaintext. Every member that encloses the same plaintext for the same purpose therefore makes the same bytes and
the same CID. What that gives away: whoever sees two envelopes learns whether purpose and content are both equal, and
nothing else. The length of the plaintext is visible.
"""

import struct
from dataclasses import dataclass
from typing import Final

import nacl.exceptions
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_decrypt, crypto_aead_xchacha20poly1305_ietf_encrypt

from crypto.errors import BadEnvelope, MalformedBytes
from crypto.randomness import derive
from crypto.secrets import ContentKey
from crypto.wire import MAX_EPOCH, encode_record, unpack_header, want_int

_FORM: Final = struct.Struct("<4sB24s")
_MAGIC: Final = b"MWEN"
OVERHEAD: Final = _FORM.size + 16
"""Bytes an envelope adds to its content."""


@dataclass(frozen=True)
class Binding:
    """What an envelope is for; it opens only under exactly the same binding."""

    kind: str
    """Kind of content, 1 … 64 characters, for instance ``"share"`` or ``"model"``."""
    epoch: int
    """Key epoch."""
    round: int
    """Round number, 0 outside rounds."""
    issuer: bytes
    """20-byte address of the member it is attributed to, or empty where all members make the same envelope."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.kind) <= 64:
            raise MalformedBytes("binding.kind", "expected 1 to 64 characters")
        if len(self.issuer) not in {0, 20}:
            raise MalformedBytes("binding.issuer", "expected 20 bytes, or none")
        want_int(self.epoch, 0, MAX_EPOCH, "binding.epoch")
        want_int(self.round, 0, MAX_EPOCH, "binding.round")

    def to_bytes(self) -> bytes:
        """The canonical associated data (dag-cbor)."""
        return encode_record({"epoch": self.epoch, "issuer": self.issuer, "kind": self.kind, "round": self.round})


def seal(key: ContentKey, binding: Binding, plaintext: bytes) -> bytes:
    """Enclose ``plaintext``; the same inputs always give the same bytes."""
    nonce = derive(key.key, "envelope nonce", binding.to_bytes(), plaintext)[:24]
    header = _FORM.pack(_MAGIC, 1, nonce)
    return header + _encrypt(plaintext, header + binding.to_bytes(), nonce, derive(key.key, "envelope key"))


def open(key: ContentKey, binding: Binding, data: bytes) -> bytes:  # noqa: A001 - the counterpart of seal
    """The plaintext of an envelope.

    Raises:
        MalformedBytes: no envelope at all.
        BadEnvelope: altered, or another key or binding.
    """
    nonce = _nonce_of(data)
    associated = data[: _FORM.size] + binding.to_bytes()
    try:
        return crypto_aead_xchacha20poly1305_ietf_decrypt(
            data[_FORM.size :], associated, nonce, derive(key.key, "envelope key")
        )
    except nacl.exceptions.CryptoError as error:
        raise BadEnvelope(
            f"envelope {binding.kind!r} of epoch {binding.epoch}, round {binding.round} does not open: "
            "it was altered, or key or purpose differ; fetch it again from another member"
        ) from error


def verify_form(data: bytes) -> None:
    """Raise unless the bytes have the form of an envelope; whether it opens, only its key tells.

    Raises:
        MalformedBytes: no envelope at all.
    """
    _nonce_of(data)


def _nonce_of(data: bytes) -> bytes:
    nonce: bytes
    (nonce,) = unpack_header(data, _FORM, _MAGIC, "envelope")
    if len(data) < OVERHEAD:
        raise MalformedBytes("envelope.length", f"{len(data)} bytes, expected at least {OVERHEAD}")
    return nonce


def _encrypt(plaintext: bytes, associated: bytes, nonce: bytes, key: bytes) -> bytes:
    return crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, associated, nonce, key)
