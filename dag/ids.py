"""Names of things: transaction ids, addresses and content identifiers (CIDv1).

A transaction id is the 32-byte sha2-256 digest of its canonical bytes. People and IPFS see it as a CIDv1 with the
dag-cbor codec; blobs have CIDs with the raw or dag-pb codec. Every CID here uses base32 and sha2-256, so the binary
form always has 36 bytes: version 1, codec, 0x12 (sha2-256), 0x20 (32 bytes), digest.
Source: https://github.com/multiformats/cid, https://ipld.io/specs/codecs/dag-cbor/spec/#links
"""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from typing import Final

from dag.errors import MalformedIdentifier

ID_BYTES: Final = 32
ADDRESS_BYTES: Final = 20
NO_ISSUER: Final = bytes(ADDRESS_BYTES)

RAW: Final = 0x55
DAG_PB: Final = 0x70
DAG_CBOR: Final = 0x71
_CODECS: Final = frozenset({RAW, DAG_PB, DAG_CBOR})
_CID_BYTES: Final = 36
_CID_CHARS: Final = 59  # "b" and ceil(36 * 8 / 5) base32 digits
_BASE32: Final = "abcdefghijklmnopqrstuvwxyz234567"  # RFC 4648, in lower case as multibase wants it
_TO_INT_DIGITS: Final = str.maketrans(_BASE32, "0123456789abcdefghijklmnopqrstuv")


def sha256(data: bytes) -> bytes:
    """The sha2-256 digest (32 bytes) of `data`."""
    return hashlib.sha256(data).digest()


def cid_bytes(codec: int, digest: bytes) -> bytes:
    """The binary CIDv1 (36 bytes) of a sha2-256 digest.

    Raises:
        MalformedIdentifier: unknown codec, or a digest that is not 32 bytes long.
    """
    if codec not in _CODECS:
        raise MalformedIdentifier(f"codec {codec:#x} is none of raw 0x55, dag-pb 0x70, dag-cbor 0x71")
    if len(digest) != ID_BYTES:
        raise MalformedIdentifier(f"a sha2-256 digest has 32 bytes, not {len(digest)}")
    return bytes((1, codec, 0x12, 0x20)) + digest


def cid_text(binary: bytes) -> str:
    """The base32 text of a binary CIDv1.

    Raises:
        MalformedIdentifier: not 36 bytes of CIDv1 with sha2-256 and a known codec.
    """
    _check_binary(binary)
    return "b" + base64.b32encode(binary).decode("ascii").lower().rstrip("=")


def cid_of(tx_id: bytes) -> str:
    """The CIDv1 text (`bafyrei…`) of a transaction id (32 bytes).

    Raises:
        MalformedIdentifier: the id is not 32 bytes long.
    """
    return cid_text(cid_bytes(DAG_CBOR, tx_id))


def parse_cid(text: str) -> tuple[int, bytes]:
    """Codec and sha2-256 digest (32 bytes) of a CIDv1 text.

    Raises:
        MalformedIdentifier: anything but canonical base32 CIDv1 with sha2-256 and a known codec.
    """
    binary = _parse(text)
    return binary[1], binary[4:]


def tx_id_of(text: str) -> bytes:
    """The transaction id (32 bytes) that a dag-cbor CID names.

    Raises:
        MalformedIdentifier: no canonical CID, or one with another codec.
    """
    codec, digest = parse_cid(text)
    if codec != DAG_CBOR:
        raise MalformedIdentifier(f"CID {text} has codec {codec:#x}; a transaction's is dag-cbor 0x71")
    return digest


@lru_cache(maxsize=4096)
def blob_link(text: str) -> bytes:
    """The binary CID (36 bytes) of a blob's CID text; codec raw or dag-pb.

    Raises:
        MalformedIdentifier: no canonical CID, or one of a transaction.
    """
    binary = _parse(text)
    _check_blob(text, binary)
    return binary


def blob_cid(binary: bytes) -> str:
    """The CID text of a blob's binary CID (36 bytes); the inverse of `blob_link`.

    Raises:
        MalformedIdentifier: no CIDv1 of a blob.
    """
    text = cid_text(binary)
    _check_blob(text, binary)
    return text


def blob_leaf(text: str) -> bytes:
    """The Merkle leaf (32 bytes) that stands for a blob: sha2-256 of its binary CID, codec included.

    Raises:
        MalformedIdentifier: no canonical CID of a blob.
    """
    return sha256(blob_link(text))


def _parse(text: str) -> bytes:
    if not isinstance(text, str) or len(text) != _CID_CHARS or not text.isascii() or text[0] != "b":
        raise MalformedIdentifier(f"{str(text)[:80]!r} is not a base32 CIDv1 of {_CID_CHARS} characters")
    digits = text[1:]
    if digits.strip(_BASE32):
        raise MalformedIdentifier(f"{text!r} is not base32 (lower case)")
    value = int(digits.translate(_TO_INT_DIGITS), 32)  # 58 digits of 5 bits: 36 bytes and two spare bits
    if value & 3:
        raise MalformedIdentifier(f"{text!r} is not in canonical base32: its spare bits are not zero")
    binary = (value >> 2).to_bytes(_CID_BYTES, "big")
    _check_binary(binary)
    return binary


def _check_blob(text: str, binary: bytes) -> None:
    if binary[1] == DAG_CBOR:
        raise MalformedIdentifier(f"CID {text} names a dag-cbor block; a blob's codec is raw 0x55 or dag-pb 0x70")


def _check_binary(binary: bytes) -> None:
    if len(binary) != _CID_BYTES:
        raise MalformedIdentifier(f"a binary CIDv1 with sha2-256 has {_CID_BYTES} bytes, not {len(binary)}")
    if binary[0] != 1 or binary[2:4] != b"\x12\x20" or binary[1] not in _CODECS:
        raise MalformedIdentifier(f"CID header {binary[:4].hex()} is not version 1, known codec, sha2-256, 32 bytes")
