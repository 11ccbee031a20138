# ruff: noqa: RUF001  (sigma is the papers' letter)
"""The two results of a key ceremony: the public joint key and a member's secret key. They never share a type."""

import hashlib
import struct
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from crypto.errors import MalformedBytes
from crypto.modular import Words
from crypto.parameters import ParameterSet, parameter_set
from crypto.randomness import common_polynomial
from crypto.secrets import ContentKey, Secret
from crypto.wire import MAX_EPOCH, VERSION, check_epoch, read_polynomials, unpack_header, want_int, write_polynomials

_JOINT: Final = struct.Struct("<4sBx2x16s32sQHH4x32s")
_JOINT_MAGIC: Final = b"MWJK"
_MEMBER: Final = struct.Struct("<4sBx2x16s32sQHHHH32s32s")
_MEMBER_MAGIC: Final = b"MWMK"

MAX_GENERATION: Final = (1 << 16) - 1
"""Most refreshes of one epoch's shares."""


@dataclass(frozen=True, eq=False)
class JointKey:
    """The public key of one epoch: anyone seals under it, nobody alone opens.

    It is b = Σ b_i of all members; the other half, ``a``, follows from the consortium and the epoch.
    """

    params: ParameterSet
    """The epoch's parameter set."""
    consortium: bytes
    """32-byte consortium id."""
    epoch: int
    """Key epoch number, as on chain."""
    members: int
    """N."""
    threshold: int
    """T: how many members open a sum together."""
    transcript: bytes
    """SHA-256 over the headers of all dealings: which ceremony made this key."""
    b: Words = field(repr=False)
    """uint64 [all primes, n], coefficient form."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JointKey) and self.to_bytes() == other.to_bytes()

    def __hash__(self) -> int:
        return hash(self.digest)

    def to_bytes(self) -> bytes:
        """The one canonical byte form."""
        return _JOINT.pack(
            _JOINT_MAGIC,
            VERSION,
            self.params.id,
            self.consortium,
            self.epoch,
            self.members,
            self.threshold,
            self.transcript,
        ) + write_polynomials(self.b)

    @classmethod
    def from_bytes(cls, data: bytes, *, allow_minimal: bool = False) -> "JointKey":
        """The key that :meth:`to_bytes` wrote.

        Raises:
            MalformedBytes: a field is out of bounds or a coefficient not reduced.
            UnknownParameters, InsecureParameters: see :func:`crypto.parameters.parameter_set`.
        """
        record = "jointKey"
        identity, consortium, epoch, members, threshold, transcript = unpack_header(data, _JOINT, _JOINT_MAGIC, record)
        params = parameter_set(identity, allow_minimal=allow_minimal)
        check_shape(params, epoch, members, threshold, record)
        b = read_polynomials(memoryview(data)[_JOINT.size :], 1, params.primes, params.ring, record)[0]
        key = cls(params, consortium, epoch, members, threshold, transcript, b)
        if key.to_bytes() != data:
            raise MalformedBytes(f"{record}.padding", "reserved bytes are not zero")
        return key

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of :meth:`to_bytes`; members confirm it on chain."""
        return hashlib.sha256(self.to_bytes()).digest()

    @cached_property
    def a(self) -> Words:
        """The common polynomial, uint64 [all primes, n]."""
        return common_polynomial(self.consortium, self.epoch, self.params)

    @property
    def value_limit(self) -> int:
        """Largest absolute value one member may seal so that N of them add up without overflow."""
        return self.params.value_limit(self.members)


@dataclass(frozen=True, repr=False, eq=False)
class MemberKey(Secret):
    """What one member keeps secret during an epoch. Nothing in it, and no T-1 of them, opens anything."""

    params: ParameterSet
    """The epoch's parameter set."""
    consortium: bytes
    """32-byte consortium id."""
    epoch: int
    """Key epoch number."""
    index: int
    """This member's index, 0 … N-1."""
    members: int
    """N."""
    threshold: int
    """T."""
    sigma: Words
    """σ_k = Σ_j share_{j,k}: this member's share of the joint secret, uint64 [L, n]."""
    content: ContentKey
    """The epoch's content key, the same for every member (CRY-9)."""
    smudge: bytes
    """Key of this member's smudging noise, 32 bytes."""
    pairs: tuple[bytes, ...]
    """For each member, a 32-byte key shared with it alone (opening masks); the own entry is zero."""
    generation: int = 0
    """How often the shares of this epoch were refreshed; only shares of one generation open together."""

    def secret_bytes(self) -> bytes:
        """Canonical bytes, for :func:`crypto.secrets.protect` only."""
        header = _MEMBER.pack(
            _MEMBER_MAGIC,
            VERSION,
            self.params.id,
            self.consortium,
            self.epoch,
            self.index,
            self.members,
            self.threshold,
            self.generation,
            self.content.key,
            self.smudge,
        )
        return header + b"".join(self.pairs) + write_polynomials(self.sigma)

    @classmethod
    def from_secret_bytes(cls, data: bytes, *, allow_minimal: bool = False) -> "MemberKey":
        """The key that :meth:`secret_bytes` wrote.

        Raises:
            MalformedBytes: a field is out of bounds.
            UnknownParameters, InsecureParameters: see :func:`crypto.parameters.parameter_set`.
        """
        record = "memberKey"
        identity, consortium, epoch, index, members, threshold, generation, content, smudge = unpack_header(
            data, _MEMBER, _MEMBER_MAGIC, record
        )
        params = parameter_set(identity, allow_minimal=allow_minimal)
        check_shape(params, epoch, members, threshold, record)
        want_int(index, 0, members - 1, f"{record}.index")
        start = _MEMBER.size
        pairs = tuple(data[start + 32 * j : start + 32 * (j + 1)] for j in range(members))
        body = memoryview(data)[start + 32 * members :]
        sigma = read_polynomials(body, 1, params.chunk_primes, params.ring, record)[0]
        return cls(
            params, consortium, epoch, index, members, threshold, sigma, ContentKey(content), smudge, pairs, generation
        )

    def verify_belongs(self, joint: JointKey) -> None:
        """Raise unless this secret and ``joint`` are of the same epoch, consortium and shape."""
        check_epoch(self.epoch, joint.epoch, "memberKey")
        mine = (self.params.id, self.consortium, self.members, self.threshold)
        if mine != (joint.params.id, joint.consortium, joint.members, joint.threshold):
            raise MalformedBytes("memberKey", "belongs to another consortium, parameter set or membership")


def check_shape(params: ParameterSet, epoch: int, members: int, threshold: int, record: str) -> None:
    """Raise MalformedBytes unless epoch, N and T are within bounds (1 ≤ T ≤ N ≤ max_members)."""
    want_int(epoch, 1, MAX_EPOCH, f"{record}.epoch")
    want_int(members, 1, params.max_members, f"{record}.members")
    want_int(threshold, 1, members, f"{record}.threshold")
