"""Sealing values under the joint key, and adding sealed values without any key (CRY-6, CRY-7).

A sealed vector is a sequence of chunks, each one ciphertext: a 40-byte header and the coefficients of (c0, c1) below
their primes. SEAL encrypts zero under the joint key; the packed values are added to c0 as round(q·m/t), the scaling
SEAL itself uses. Values sit in coefficients, not in batching slots: sums need no slots, and neither sealing nor
opening then needs a transform modulo t.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from crypto.errors import MalformedBytes, TooManyTerms, ValueOutOfRange
from crypto.keys import JointKey
from crypto.modular import Accumulator, Signed, Words, modulus, wide_product
from crypto.packing import pack
from crypto.parameters import ParameterSet
from crypto.ring import add as add_rows
from crypto.ring import ntt
from crypto.seal_bytes import encrypt_zero, sealing_context
from crypto.wire import (
    MAX_EPOCH,
    VERSION,
    bulk_record,
    check_epoch,
    check_parameters,
    read_polynomials,
    unpack_header,
    want_int,
)

_FORM: Final = struct.Struct("<4sBxH16sQII")
_MAGIC: Final = b"MWCT"
MAX_CHUNKS: Final = 1 << 20
"""Most chunks of one sealed vector."""


@dataclass(frozen=True)
class ChunkHeader:
    """The first 40 bytes of a chunk."""

    terms: int
    """How many fresh ciphertexts were added up: 1 for a sealed update."""
    parameters: bytes
    """16-byte parameter-set id."""
    epoch: int
    """Key epoch it was sealed in."""
    index: int
    """Position of the chunk in its vector, from 0."""
    values: int
    """Values it carries; below ``values_per_chunk`` only in the last chunk."""

    def to_bytes(self) -> bytes:
        """The canonical 40 bytes."""
        return _FORM.pack(_MAGIC, VERSION, self.terms, self.parameters, self.epoch, self.index, self.values)


def chunk_bytes(params: ParameterSet) -> int:
    """Length of every chunk of this parameter set, bytes."""
    return _FORM.size + 16 * len(params.chunk_primes) * params.ring


def read_chunk(data: bytes, params: ParameterSet) -> tuple[ChunkHeader, Words]:
    """Header and coefficients uint64 [2, L, n] of a chunk.

    Raises:
        MalformedBytes: not a canonical chunk of this parameter set; the field is named.
    """
    terms, parameters, epoch, index, values = unpack_header(data, _FORM, _MAGIC, "chunk")
    check_parameters(parameters, params, "chunk")
    want_int(terms, 1, params.max_members, "chunk.terms")
    want_int(epoch, 1, MAX_EPOCH, "chunk.epoch")
    want_int(index, 0, MAX_CHUNKS - 1, "chunk.index")
    want_int(values, 1, params.values_per_chunk, "chunk.values")
    if data[5] != 0:
        raise MalformedBytes("chunk.reserved", "must be zero")
    body = read_polynomials(memoryview(data)[_FORM.size :], 2, params.chunk_primes, params.ring, "chunk")
    return ChunkHeader(terms, parameters, epoch, index, values), body


def verify_chunk(data: bytes, params: ParameterSet, epoch: int) -> None:
    """Raise unless ``data`` is one fresh, canonical ciphertext chunk of this parameter set and epoch.

    Raises:
        MalformedBytes: or its subclasses WrongParameters and WrongEpoch.
    """
    header, _ = read_chunk(data, params)
    check_epoch(header.epoch, epoch, "chunk")
    want_int(header.terms, 1, 1, "chunk.terms")


class Sealer:
    """Seals vectors under one joint key. Building it transforms the key once, 10 to 50 ms; it holds no secret."""

    def __init__(self, joint: JointKey) -> None:
        """Prepare the joint key for SEAL."""
        primes = joint.params.primes
        self._joint = joint
        key = np.stack((ntt(joint.b, primes), ntt(joint.a, primes)))
        self._context: Any = sealing_context(joint.params, key)

    def seal(self, ints: Signed) -> Iterator[bytes]:
        """The chunks of a vector, made one at a time.

        Args:
            ints: int64 [D], D ≥ 1, each within ±``JointKey.value_limit``.

        Yields:
            ``params.chunks(D)`` chunks of ``chunk_bytes`` bytes.

        Raises:
            ValueOutOfRange: a value could overflow the sum of N members, or D is out of bounds.
        """
        limit, params = self._joint.value_limit, self._joint.params
        if not 1 <= params.chunks(ints.size) <= MAX_CHUNKS:
            raise ValueOutOfRange(f"{ints.size} values: expected 1 to {MAX_CHUNKS * params.values_per_chunk}")
        if max(int(ints.max()), -int(ints.min())) > limit:
            raise ValueOutOfRange(
                f"a value exceeds ±{limit}, the room of one of {self._joint.members} members: quantise it"
            )
        return self._chunks(ints)

    def _chunks(self, ints: Signed) -> Iterator[bytes]:
        params, size = self._joint.params, self._joint.params.values_per_chunk
        for index, at in enumerate(range(0, ints.size, size)):
            part = ints[at : at + size]
            body = encrypt_zero(self._context, params).copy()
            body[0] = add_rows(body[0], scale_up(pack(part, params)[0], params), params.chunk_primes)
            header = ChunkHeader(1, params.id, self._joint.epoch, index, part.size)
            yield bulk_record(header.to_bytes(), body)


def scale_up(plain: Words, params: ParameterSet) -> Words:
    """round(q·m/t) of every coefficient, modulo each ciphertext prime: uint64 [n] to [L, n].

    Exactly SEAL's scaling (Kim, Polyakov and Zucca 2021): floor(q/t)·m + floor(((q mod t)·m + (t+1)/2) / t).
    """
    delta, rest = divmod(params.chunk_modulus, params.plain_modulus)
    high, low = wide_product(plain, rest)
    low += np.uint64((params.plain_modulus + 1) // 2)
    high, low = high + (low >> np.uint64(60)), low & np.uint64((1 << 60) - 1)
    carry, _ = modulus(params.plain_modulus).divide(high, low)
    return np.stack([modulus(p).reduce(modulus(p).mul(plain, delta) + carry) for p in params.chunk_primes])


def add(chunks: Iterable[bytes], params: ParameterSet) -> bytes:
    """The sum of chunks at one position: coefficient-wise modular addition, no key needed (CRY-7).

    Addition is commutative and exact, so everybody who adds the same chunks gets the same bytes.

    Args:
        chunks: canonical chunks that agree in epoch, index and number of values; at least one.
        params: their parameter set.

    Returns:
        A canonical chunk whose ``terms`` is the total.

    Raises:
        MalformedBytes: a chunk is malformed or does not match the first.
        TooManyTerms: more than ``params.max_members`` fresh ciphertexts.
    """
    total: Accumulator | None = None
    first: ChunkHeader | None = None
    terms = 0
    for data in chunks:
        header, body = read_chunk(data, params)
        terms += header.terms
        if terms > params.max_members:
            raise TooManyTerms(f"more than {params.max_members} updates in one sum: split the group")
        if first is None or total is None:
            first, total = header, Accumulator(body, params.chunk_primes)
            continue
        if (header.epoch, header.index, header.values) != (first.epoch, first.index, first.values):
            raise MalformedBytes(
                "chunk.index", "the chunks of a sum must agree in epoch, position and number of values"
            )
        total.add(body)
    if first is None or total is None:
        raise MalformedBytes("chunk", "a sum needs at least one chunk")
    header = ChunkHeader(terms, params.id, first.epoch, first.index, first.values)
    return bulk_record(header.to_bytes(), total.total())
