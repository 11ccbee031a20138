"""The records of a key ceremony: what is agreed on, and what a dealer publishes (CRY-1, CRY-2)."""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import nacl.exceptions
from nacl.bindings import crypto_box_beforenm

from crypto.errors import MalformedBytes
from crypto.keys import MAX_GENERATION, check_shape
from crypto.parameters import ParameterSet
from crypto.wire import decode_record, encode_record, want_bytes, want_int

_HEADER_KEYS: Final = frozenset({"check", "content", "dealer", "public", "shares", "terms", "version"})
_VERSION: Final = 2


def labelled_digest(label: str, *parts: bytes) -> bytes:
    """SHA-256 over a label and length-prefixed parts."""
    state = hashlib.sha256(b"medweave/" + label.encode() + b"/1")
    for part in parts:
        state.update(len(part).to_bytes(8, "big") + part)
    return state.digest()


def verify_box_key(key: bytes, field: str) -> None:
    """Raise unless ``key`` is an X25519 public key that something can be sealed to.

    Raises:
        MalformedBytes: not 32 bytes, or a point of low order; the error names ``field``.
    """
    want_bytes(key, 32, field)
    try:
        crypto_box_beforenm(key, bytes(31) + b"\x40")
    except (nacl.exceptions.CryptoError, nacl.exceptions.RuntimeError) as error:
        raise MalformedBytes(field, "no usable X25519 public key (low order)") from error


@dataclass(frozen=True)
class Terms:
    """What all members agree on before a ceremony starts; read from the chain."""

    params: ParameterSet
    """The epoch's parameter set."""
    consortium: bytes
    """32-byte consortium id."""
    epoch: int
    """Key epoch number, never used before."""
    threshold: int
    """T, 1 … N."""
    box_keys: tuple[bytes, ...]
    """X25519 public keys of the members 0 … N-1, distinct; each made for this ceremony alone and destroyed after it."""
    generation: int = 0
    """0 for the ceremony that makes a key; k for the k-th refresh of its shares (crypto.refresh)."""
    joint: bytes = b""
    """Digest of the joint key that is refreshed; empty in a ceremony."""

    def __post_init__(self) -> None:
        want_bytes(self.consortium, 32, "terms.consortium")
        want_int(self.generation, 0, MAX_GENERATION, "terms.generation")
        want_bytes(self.joint, 32 if self.generation else 0, "terms.joint")
        check_shape(self.params, self.epoch, self.members, self.threshold, "terms")
        if len(set(self.box_keys)) != len(self.box_keys):
            raise MalformedBytes("terms.boxKeys", "two members registered the same box key")
        for index, key in enumerate(self.box_keys):
            verify_box_key(key, f"terms.boxKeys[{index}]")

    @property
    def members(self) -> int:
        """N."""
        return len(self.box_keys)

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 over all terms; every dealing names it."""
        numbers = f"{self.epoch},{self.threshold},{self.members}".encode()
        refreshed = (self.joint, self.generation.to_bytes(2, "big")) if self.generation else ()
        return labelled_digest("terms", self.params.id, self.consortium, numbers, *self.box_keys, *refreshed)


@dataclass(frozen=True)
class DealingHeader:
    """The small public part of a dealing, at most 64 KiB, to which its dealer has committed."""

    terms: bytes
    """Digest of the agreed terms."""
    dealer: int
    """Index of the dealer."""
    public: bytes
    """SHA-256 of the public blob, the coefficients of b_i."""
    content: bytes
    """Commitment to the dealer's contribution to the content key: all receivers must get the same."""
    shares: tuple[bytes, ...]
    """SHA-256 of the sealed share of each receiver."""
    check: bytes
    """Proof that the shares lie on one polynomial (crypto.shamir): the values of members 0 … T-1, 64-bit words."""

    def to_bytes(self) -> bytes:
        """The one canonical byte form (dag-cbor)."""
        return encode_record(
            {
                "check": self.check,
                "content": self.content,
                "dealer": self.dealer,
                "public": self.public,
                "shares": list(self.shares),
                "terms": self.terms,
                "version": _VERSION,
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> "DealingHeader":
        """The header that :meth:`to_bytes` wrote.

        Raises:
            MalformedBytes: not canonical, or a field out of bounds.
        """
        record = decode_record(data, _HEADER_KEYS, "dealing")
        want_int(record["version"], _VERSION, _VERSION, "dealing.version")
        rows = record["shares"]
        if not isinstance(rows, list) or not 1 <= len(rows) <= 256:
            raise MalformedBytes("dealing.shares", "expected a list of 1 to 256 digests")
        check = record["check"]
        if not isinstance(check, bytes):
            raise MalformedBytes("dealing.check", "expected bytes")
        return cls(
            want_bytes(record["terms"], 32, "dealing.terms"),
            want_int(record["dealer"], 0, 255, "dealing.dealer"),
            want_bytes(record["public"], 32, "dealing.public"),
            want_bytes(record["content"], 32, "dealing.content"),
            tuple(want_bytes(row, 32, f"dealing.shares[{index}]") for index, row in enumerate(rows)),
            check,
        )

    @property
    def challenge(self) -> bytes:
        """32 bytes that depend on everything the dealer fixed before it computed :attr:`check`."""
        return labelled_digest("share check", replace(self, check=b"").to_bytes())

    @property
    def commitment(self) -> bytes:
        """The 32 bytes the dealer publishes before anyone reveals a header.

        b_i is pseudorandom and its digest is in the header, so the commitment hides as it stands.
        """
        return labelled_digest("commitment", self.to_bytes())


@dataclass(frozen=True)
class Dealing:
    """Everything one dealer publishes after all members have committed."""

    header: DealingHeader
    """What the commitment opens to."""
    public: bytes
    """b_i = -(a·s_i + e_i), coefficients modulo all primes; everyone fetches it."""
    shares: tuple[bytes, ...]
    """For each receiver, its Shamir share and content contribution in a sealed box; each fetches its own."""
