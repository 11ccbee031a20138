"""Reading and writing byte strings that come from outside (CRY-8).

Two forms. Bulk records (ciphertext chunks, openings, keys) are a fixed little-endian header followed by coefficients as
64-bit words: their length follows from the parameter set alone and is checked before anything is looked at. Small
records (headers, layouts) are canonical dag-cbor: decoding must re-encode to the very same bytes.
"""

import struct
from collections.abc import Sequence
from typing import Any, Final

import cbor2
import numpy as np

from crypto.errors import MalformedBytes, WrongEpoch, WrongParameters
from crypto.modular import Words
from crypto.parameters import ParameterSet

VERSION: Final = 1
"""Version of every bulk record that names no other."""

_WORD: Final = np.dtype("<u8")

RECORD_LIMIT: Final = 1 << 16
"""Longest CBOR record read, bytes."""

MAX_EPOCH: Final = (1 << 63) - 1
"""Largest epoch or round number accepted."""


def unpack_header(
    data: bytes, form: struct.Struct, magic: bytes, record: str, expected: int = VERSION
) -> tuple[Any, ...]:
    """The header fields after magic and version.

    Raises:
        MalformedBytes: too short, or not this record, or not this version.
    """
    if len(data) < form.size:
        raise MalformedBytes(f"{record}.length", f"{len(data)} bytes are fewer than its {form.size}-byte header")
    found, version, *rest = form.unpack_from(data)
    if found != magic:
        raise MalformedBytes(f"{record}.magic", f"found {found!r}, expected {magic!r}: this is no {record}")
    if version != expected:
        raise MalformedBytes(f"{record}.version", f"found {version}, this software reads {expected}")
    if form.pack(found, version, *rest) != data[: form.size]:
        raise MalformedBytes(f"{record}.reserved", "reserved bytes must be zero")
    return tuple(rest)


def check_parameters(found: bytes, params: ParameterSet, record: str) -> None:
    """Raise WrongParameters unless ``found`` is the id of ``params``."""
    if found != params.id:
        raise WrongParameters(
            f"{record}.parameters", f"found {found.hex()}, expected {params.id.hex()} ({params.name})"
        )


def check_epoch(found: int, epoch: int, record: str) -> None:
    """Raise WrongEpoch unless the two epochs agree."""
    if found != epoch:
        raise WrongEpoch(f"{record}.epoch", f"found {found}, expected {epoch}")


def read_polynomials(body: memoryview, count: int, primes: Sequence[int], n: int, record: str) -> Words:
    """``count`` residue polynomials, uint64 [count, L, n], every coefficient proven below its prime.

    Raises:
        MalformedBytes: wrong length, or a coefficient that is not reduced.
    """
    expected = 8 * count * len(primes) * n
    if len(body) != expected:
        raise MalformedBytes(f"{record}.length", f"{len(body)} bytes of coefficients, expected {expected}")
    flat = np.frombuffer(body, _WORD)
    if not _WORD.isnative:
        flat = flat.astype(np.uint64)
    words = flat.reshape(count, len(primes), n)
    if int(np.maximum.reduce(flat)) >= min(primes):  # one cheap pass; residues between two primes are that rare
        _verify_reduced(words, primes, record)
    return words


def _verify_reduced(words: Words, primes: Sequence[int], record: str) -> None:
    for index, prime in enumerate(primes):
        if int(words[:, index].max()) >= prime:
            raise MalformedBytes(f"{record}.coefficients", f"a coefficient under prime {index} is not below {prime}")


def write_polynomials(poly: Words) -> bytes:
    """Residue polynomials as little-endian 64-bit words."""
    return poly.astype("<u8", copy=False).tobytes()


def bulk_record(header: bytes, poly: Words) -> bytes:
    """A header and the residue polynomials behind it, copied once."""
    return b"".join((header, np.ascontiguousarray(poly, "<u8").data))


def encode_record(record: object) -> bytes:
    """Canonical dag-cbor of a record of maps, lists, text, bytes and integers."""
    return cbor2.dumps(record, canonical=True)


def decode_record(data: bytes, keys: frozenset[str], name: str) -> dict[str, Any]:
    """A CBOR map with exactly ``keys``, in its one canonical form.

    Raises:
        MalformedBytes: too long, not CBOR, not canonical, or other keys.
    """
    if len(data) > RECORD_LIMIT:
        raise MalformedBytes(f"{name}.length", f"{len(data)} bytes, at most {RECORD_LIMIT} are read")
    try:
        value = cbor2.loads(data)
        canonical = encode_record(value)
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError, MemoryError) as error:
        raise MalformedBytes(name, f"not dag-cbor: {type(error).__name__}") from error
    if not isinstance(value, dict) or frozenset(value) != keys:
        raise MalformedBytes(name, f"expected a map with the keys {', '.join(sorted(keys))}")
    if canonical != data:
        raise MalformedBytes(name, "not in canonical form: encode it again with sorted keys and shortest integers")
    return value


def want_bytes(value: object, length: int, field: str) -> bytes:
    """``value`` if it is a byte string of this length, else MalformedBytes."""
    if not isinstance(value, bytes) or len(value) != length:
        raise MalformedBytes(field, f"expected {length} bytes")
    return value


def want_int(value: object, low: int, high: int, field: str) -> int:
    """``value`` if it is an integer within [low, high], else MalformedBytes."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise MalformedBytes(field, f"expected an integer from {low} to {high}")
    return value
