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
from crypto.modular import Accumulator, Signed, Words, modulus
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
    return _read_header(data, params), _read_body(data, params)


def _read_header(data: bytes, params: ParameterSet) -> ChunkHeader:
    terms, parameters, epoch, index, values = unpack_header(data, _FORM, _MAGIC, "chunk")
    check_parameters(parameters, params, "chunk")
    want_int(terms, 1, params.max_members, "chunk.terms")
    want_int(epoch, 1, MAX_EPOCH, "chunk.epoch")
    want_int(index, 0, MAX_CHUNKS - 1, "chunk.index")
    want_int(values, 1, params.values_per_chunk, "chunk.values")
    return ChunkHeader(terms, parameters, epoch, index, values)


def _read_body(data: bytes, params: ParameterSet) -> Words:
    return read_polynomials(memoryview(data)[_FORM.size :], 2, params.chunk_primes, params.ring, "chunk")


def verify_chunk(data: bytes, params: ParameterSet, epoch: int) -> None:
    """Raise unless ``data`` is one fresh, canonical ciphertext chunk of this parameter set and epoch.

    Raises:
        MalformedBytes: or its subclasses WrongParameters and WrongEpoch.
    """
    header, _ = read_chunk(data, params)
    check_epoch(header.epoch, epoch, "chunk")
    want_int(header.terms, 1, 1, "chunk.terms")


def verify_chunk_of(data: bytes, params: ParameterSet, epoch: int, index: int, size: int) -> None:
    """Raise unless ``data`` is the fresh ciphertext chunk at one place of a vector.

    Args:
        data: the chunk.
        params: the parameter set.
        epoch: key epoch.
        index: its place, from 0.
        size: values of the whole vector.

    Raises:
        MalformedBytes: as :func:`verify_chunk`, or it says another place or number of values.
    """
    verify_chunk(data, params, epoch)
    header, values = _read_header(data, params), params.values_per_chunk
    want_int(header.index, index, index, "chunk.index")
    expected = min(values, size - index * values)
    want_int(header.values, expected, expected, "chunk.values")


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
        size = self._joint.params.values_per_chunk
        self._verify(ints)
        return (self.seal_chunk(index, ints[at : at + size]) for index, at in enumerate(range(0, ints.size, size)))

    def seal_chunk(self, index: int, ints: Signed) -> bytes:
        """One chunk of a vector; all but the last must be full. :mod:`crypto.streaming` cuts vectors for it.

        Args:
            index: position of the chunk, from 0.
            ints: int64 [1 … ``params.values_per_chunk``], each within ±``JointKey.value_limit``.

        Raises:
            ValueOutOfRange: a value could overflow the sum of N members, or index or length are out of bounds.
        """
        params = self._joint.params
        self._verify(ints)
        if not 0 <= index < MAX_CHUNKS or ints.size > params.values_per_chunk:
            raise ValueOutOfRange(f"{ints.size} values for chunk {index}: expected at most {params.values_per_chunk}")
        body = encrypt_zero(self._context, params).copy()
        body[0] = add_rows(body[0], scale_up(pack(ints, params)[0], params), params.chunk_primes)
        header = ChunkHeader(1, params.id, self._joint.epoch, index, ints.size)
        return bulk_record(header.to_bytes(), body)

    def _verify(self, ints: Signed) -> None:
        limit, params = self._joint.value_limit, self._joint.params
        if not 1 <= params.chunks(ints.size) <= MAX_CHUNKS:
            raise ValueOutOfRange(f"{ints.size} values: expected 1 to {MAX_CHUNKS * params.values_per_chunk}")
        if max(int(ints.max()), -int(ints.min())) > limit:
            raise ValueOutOfRange(
                f"a value exceeds ±{limit}, the room of one of {self._joint.members} members: quantise it"
            )


def scale_up(plain: Words, params: ParameterSet) -> Words:
    """round(q·m/t) of every coefficient, modulo each ciphertext prime: uint64 [n] to [L, n].

    Exactly SEAL's scaling (Kim, Polyakov and Zucca 2021). With r the centred remainder of q·m by t, the result is
    (q·m - r)/t, and because each prime divides q that is -r/t modulo the prime: numbers of 54 bits throughout.
    """
    t = params.plain_modulus
    rest = modulus(t).scale(plain.view(np.int64), params.chunk_modulus % t)
    rest -= np.rint(rest * (1 / t)).astype(np.int64) * t
    rest -= t * (rest > t // 2)
    rest += t * (rest < -(t // 2))
    scaled = np.empty((len(params.chunk_primes), plain.size), np.uint64)
    for row, prime in enumerate(params.chunk_primes):
        near = modulus(prime).scale(rest, -pow(t, -1, prime) % prime)
        scaled[row] = modulus(prime).reduce((near + 8 * prime).view(np.uint64))
    return scaled


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
    head = b""
    terms = 0
    for data in chunks:
        if first is not None and data[: _FORM.size] == head:  # as good as read already
            header, body = first, _read_body(data, params)
        else:
            header, body = read_chunk(data, params)
        terms += header.terms
        if terms > params.max_members:
            raise TooManyTerms(f"more than {params.max_members} updates in one sum: split the group")
        if first is None or total is None:
            first, head, total = header, data[: _FORM.size], Accumulator(body, params.chunk_primes)
            continue
        if header is not first and (header.epoch, header.index, header.values) != (
            first.epoch,
            first.index,
            first.values,
        ):
            raise MalformedBytes(
                "chunk.index", "the chunks of a sum must agree in epoch, position and number of values"
            )
        total.add(body)
    if first is None or total is None:
        raise MalformedBytes("chunk", "a sum needs at least one chunk")
    header = ChunkHeader(terms, params.id, first.epoch, first.index, first.values)
    return bulk_record(header.to_bytes(), total.total())
