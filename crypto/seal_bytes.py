"""The bytes of TenSEAL and SEAL objects, read and written where their Python interfaces do not reach.

TenSEAL speaks protobuf around SEAL's own containers. We need two things from it: an encryption context that holds
*our* joint public key, and the coefficients of a ciphertext it has just made. Only bytes made in this process ever
reach SEAL; what comes from peers is parsed by :mod:`crypto.wire` and never shown to it, because SEAL may abort or
over-allocate on hostile input.

SEAL container: 16-byte header (magic 0xA15E, header size, version major and minor, compression 0 none or 2 zstd,
reserved, total size), then the object. A ciphertext or public key object starts with 97 bytes: parameters id 32,
transform flag 1, polynomials, degree, primes, scale, correction factor (8 each), array header 16, word count 8.
"""

import struct
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import tenseal
import zstandard
from tenseal import sealapi

from crypto.errors import CryptoError
from crypto.modular import Words
from crypto.parameters import ParameterSet

HEADER: Final = struct.Struct("<HBBBBHQ")
MAGIC: Final = 0xA15E
OBJECT_HEAD: Final = 97
VARINT, WIRE_64, WIRE_BYTES = 0, 1, 2


Bytes: TypeAlias = bytes | memoryview


class Field(NamedTuple):
    """One protobuf field: its number, its wire type, and its integer or byte value."""

    number: int
    wire: int
    value: int | Bytes


def _read_varint(data: Bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 64:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
    raise CryptoError("TenSEAL gave an unreadable protobuf message: is the pinned version installed?")


def _write_varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_message(data: Bytes) -> list[Field]:
    """The fields of a protobuf message, in order; of a memoryview, its parts are views too."""
    fields, at = [], 0
    while at < len(data):
        key, at = _read_varint(data, at)
        value: int | Bytes
        if key & 7 == VARINT:
            value, at = _read_varint(data, at)
        else:
            length = 8
            if key & 7 == WIRE_BYTES:
                length, at = _read_varint(data, at)
            value, at = data[at : at + length], at + length
        fields.append(Field(key >> 3, key & 7, value))
    return fields


def write_message(fields: list[Field]) -> bytes:
    """The protobuf message with these fields."""
    out = bytearray()
    for number, wire, value in fields:
        out += _write_varint(number << 3 | wire)
        if isinstance(value, int):
            out += _write_varint(value)
        else:
            out += (_write_varint(len(value)) if wire == WIRE_BYTES else b"") + bytes(value)
    return bytes(out)


def read_container(data: Bytes) -> bytes:
    """The object inside a SEAL container, decompressed."""
    magic, size, _, _, compression, _, total = HEADER.unpack_from(data)
    if magic != MAGIC or size != HEADER.size or total != len(data) or compression not in {0, 2}:
        raise CryptoError("SEAL gave a container of an unknown form: is the pinned TenSEAL installed?")
    body = data[HEADER.size :]
    return zstandard.ZstdDecompressor().decompressobj().decompress(body) if compression else bytes(body)


def write_container(body: bytes) -> bytes:
    """An uncompressed SEAL 4 container around ``body``."""
    return HEADER.pack(MAGIC, HEADER.size, 4, 3, 0, 0, HEADER.size + len(body)) + body


def _only(fields: list[Field], number: int) -> Bytes:
    found = [f.value for f in fields if f.number == number and f.wire == WIRE_BYTES]
    if len(found) != 1 or isinstance(found[0], int):
        raise CryptoError(f"TenSEAL gave a message without field {number}: is the pinned version installed?")
    return found[0]


@lru_cache(maxsize=4)
def _template(params: ParameterSet) -> tuple[bytes, tuple[Field, ...], bytes]:
    """Serialized parameters, the fields around a public key, and the 97 bytes in front of its coefficients."""
    bits = [p.bit_length() for p in params.primes]
    ours = (list(params.primes), params.plain_modulus)
    theirs = [m.value() for m in sealapi.CoeffModulus.Create(params.ring, bits)]
    plain = sealapi.PlainModulus.Batching(params.ring, params.plain_modulus.bit_length()).value()
    if (theirs, plain) != ours:
        raise CryptoError(
            f"this SEAL chooses other primes than parameter set {params.name}: install the pinned TenSEAL"
        )
    context = tenseal.context(
        tenseal.SCHEME_TYPE.BFV,
        poly_modulus_degree=params.ring,
        plain_modulus=params.plain_modulus,
        coeff_mod_bit_sizes=bits,
    )
    message = read_message(context.serialize(True, False, False, False))
    public = read_message(_only(message, 2))
    head = read_container(_only(public, 1))[:OBJECT_HEAD]
    return bytes(_only(message, 1)), tuple(f for f in public if f.number != 1), head


def sealing_context(params: ParameterSet, key: Words) -> Any:
    """A TenSEAL context that can only encrypt, under this public key.

    Args:
        params: the parameter set.
        key: uint64 [2, all primes, n], (b, a) transformed by :func:`crypto.ring.ntt`.
    """
    parameters, rest, head = _template(params)
    container = write_container(head + key.astype("<u8", copy=False).tobytes())
    public = write_message([Field(1, WIRE_BYTES, container), *rest])
    message = write_message([Field(1, WIRE_BYTES, parameters), Field(2, WIRE_BYTES, public)])
    return tenseal.context_from(message)


def encrypt_zero(context: Any, params: ParameterSet) -> Words:
    """A fresh encryption of zero by SEAL, uint64 [2, L, n] in coefficient form.

    SEAL draws its randomness from the operating system (BLAKE2Xb seeded from std::random_device).
    """
    message = memoryview(tenseal.bfv_vector(context, [0]).serialize())
    body = read_container(_only(read_message(message), 2))
    shape = (2, len(params.chunk_primes), params.ring)
    words = 2 * len(params.chunk_primes) * params.ring
    if len(body) != OBJECT_HEAD + 8 * words or struct.unpack_from("<?QQQ", body, 32) != (
        False,
        2,
        params.ring,
        shape[1],
    ):
        raise CryptoError("SEAL gave a ciphertext of an unexpected shape: is the pinned TenSEAL installed?")
    return np.frombuffer(body, "<u8", words, OBJECT_HEAD).astype(np.uint64, copy=False).reshape(shape)
