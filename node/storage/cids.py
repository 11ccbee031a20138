"""Content identifiers of blobs, the same an IPFS node gives them, computed offline.

A blob is a UnixFS file (https://specs.ipfs.tech/unixfs/) with fixed parameters, those of
`ipfs add --cid-version=1 --raw-leaves --chunker=size-262144`: chunks of 256 KiB as raw leaves, a balanced tree of
dag-pb nodes with at most 174 links each, sha2-256 throughout. A blob of at most one chunk is its own leaf, so its CID
is of codec raw (0x55); a larger one is of codec dag-pb (0x70). CIDs are version 1 in lower-case base32 without padding.

Memory stays bounded by one chunk and 174 links a tree level, whatever the blob's size.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from node.storage.errors import BadCid, BlobMismatch

__all__ = [
    "CHUNK_SIZE",
    "CID_LENGTH",
    "DAG_PB",
    "RAW",
    "Buffer",
    "CidHasher",
    "blob_cid",
    "parse_blob_cid",
    "raw_cid",
    "stream_cid",
    "verify_blob",
]

Buffer: TypeAlias = bytes | bytearray | memoryview
"""Bytes to be read, in whatever holds them."""

CHUNK_SIZE: Final = 256 * 1024
"""Bytes in a leaf, the last one excepted."""
LINKS_PER_NODE: Final = 174
"""Most children of a tree node; IPFS's long-standing default."""
RAW: Final = 0x55
"""Codec of a blob of at most one chunk."""
DAG_PB: Final = 0x70
"""Codec of a blob of several chunks."""
CID_LENGTH: Final = 59
"""Characters in the text of a blob's CID: 'b' and the base32 of 36 bytes."""

_SHA2_256: Final = b"\x12\x20"  # multihash: function code, digest length
_UNIXFS_FILE: Final = b"\x08\x02"  # protobuf field 1 (Type), value 2 (File)


@dataclass(frozen=True, slots=True)
class _Link:
    """A child in the tree."""

    cid: bytes
    stored_size: int  # bytes of the child's block and all blocks below it (dag-pb's Tsize)
    file_size: int  # bytes of the file below it


def _varint(value: int) -> bytes:
    """Encode an unsigned LEB128 integer (https://github.com/multiformats/unsigned-varint; protobuf's varint)."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _cid_bytes(codec: int, digest: bytes) -> bytes:
    return b"\x01" + _varint(codec) + _SHA2_256 + digest


def _cid_text(cid: bytes) -> str:
    return "b" + base64.b32encode(cid).decode("ascii").lower().rstrip("=")


def _leaf(chunk: Buffer) -> _Link:
    size = memoryview(chunk).nbytes
    return _Link(_cid_bytes(RAW, hashlib.sha256(chunk).digest()), size, size)


def _node(children: list[_Link]) -> _Link:
    """Make the dag-pb node over `children` (https://ipld.io/specs/codecs/dag-pb/spec/: links come before data)."""
    file_size = sum(child.file_size for child in children)
    block = bytearray()
    for child in children:
        # PBLink: 1 Hash, 2 Name (empty), 3 Tsize
        link = b"\x0a" + _varint(len(child.cid)) + child.cid + b"\x12\x00\x18" + _varint(child.stored_size)
        block += b"\x12" + _varint(len(link)) + link
    # UnixFS Data: 1 Type, 3 filesize, 4 blocksizes
    sizes = b"".join(b"\x20" + _varint(child.file_size) for child in children)
    data = _UNIXFS_FILE + b"\x18" + _varint(file_size) + sizes
    block += b"\x0a" + _varint(len(data)) + data
    stored = len(block) + sum(child.stored_size for child in children)
    return _Link(_cid_bytes(DAG_PB, hashlib.sha256(block).digest()), stored, file_size)


@dataclass(slots=True)
class CidHasher:
    """Computes a blob's CID from pieces of any sizes, as `hashlib` objects do for digests.

    Example:
        >>> hasher = CidHasher()
        >>> hasher.update(b"hello ")
        >>> hasher.update(b"world")
        >>> hasher.cid()
        'bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e'
    """

    size: int = 0
    """Bytes seen so far."""
    _rest: bytearray = field(default_factory=bytearray)  # the unfinished chunk, shorter than CHUNK_SIZE
    _levels: list[list[_Link]] = field(default_factory=lambda: [[]])  # unfinished nodes, leaves' parents first

    def update(self, piece: Buffer) -> None:
        """Take the next bytes of the blob."""
        view = memoryview(piece).cast("B")
        self.size += len(view)
        start = 0
        if self._rest:
            start = min(CHUNK_SIZE - len(self._rest), len(view))
            self._rest += view[:start]
            if len(self._rest) < CHUNK_SIZE:
                return
            _push(self._levels, _leaf(self._rest))
            self._rest.clear()
        while len(view) - start >= CHUNK_SIZE:
            _push(self._levels, _leaf(view[start : start + CHUNK_SIZE]))
            start += CHUNK_SIZE
        self._rest += view[start:]

    def cid(self) -> str:
        """Return the CID of the bytes seen so far; more may follow."""
        levels = [list(level) for level in self._levels]
        if self._rest or not self.size:
            _push(levels, _leaf(self._rest))
        index = 0
        while index < len(levels) - 1 or len(levels[index]) > 1:
            if levels[index]:
                _close(levels, index)
            index += 1
        return _cid_text(levels[index][0].cid)


def _push(levels: list[list[_Link]], link: _Link, index: int = 0) -> None:
    """Add `link` at level `index`, first closing that level's node where it is full."""
    if len(levels[index]) == LINKS_PER_NODE:
        _close(levels, index)
    levels[index].append(link)


def _close(levels: list[list[_Link]], index: int) -> None:
    """Turn the links at level `index` into one node a level up."""
    node = _node(levels[index])
    levels[index] = []
    if index + 1 == len(levels):
        levels.append([])
    _push(levels, node, index + 1)


def blob_cid(data: Buffer) -> str:
    """Return the CID of a blob held in memory."""
    hasher = CidHasher()
    hasher.update(data)
    return hasher.cid()


def stream_cid(pieces: Iterable[Buffer]) -> str:
    """Return the CID of a blob given as pieces of any sizes, in bounded memory."""
    hasher = CidHasher()
    for piece in pieces:
        hasher.update(piece)
    return hasher.cid()


def raw_cid(digest: bytes) -> str:
    """Return the CID of a blob of at most one chunk (256 KiB), given its sha2-256 digest (32 bytes).

    Raises:
        BadCid: The digest has another length.
    """
    if len(digest) != 32:
        raise BadCid(digest.hex(), f"a sha2-256 digest has 32 bytes, not {len(digest)}")
    return _cid_text(_cid_bytes(RAW, digest))


def parse_blob_cid(text: str) -> tuple[int, bytes]:
    """Return codec (`RAW` or `DAG_PB`) and sha2-256 digest (32 bytes) of a blob's CID.

    Only the one canonical text of each CID is accepted, so that a CID may name a file or a URL path.

    Raises:
        BadCid: `text` is anything else.
    """
    if len(text) != CID_LENGTH:
        raise BadCid(text, f"it has {len(text)} characters")
    try:
        cid = base64.b32decode(text[1:].upper() + "======")
    except (binascii.Error, ValueError) as error:
        raise BadCid(text, "it has characters outside base32") from error
    if _cid_text(cid) != text:
        raise BadCid(text, "it is not lower-case base32 in its one canonical form")
    version, codec, multihash, digest = cid[0], cid[1], cid[2:4], cid[4:]
    if version != 1:
        raise BadCid(text, f"it is of CID version {version}, not 1")
    if codec not in {RAW, DAG_PB}:
        raise BadCid(text, f"its codec is {codec:#x}, neither raw (0x55) nor dag-pb (0x70)")
    if multihash != _SHA2_256:
        raise BadCid(text, "its hash is not sha2-256")
    return codec, digest


def verify_blob(cid: str, data: Buffer) -> None:
    """Check that `data` is the blob named `cid`.

    Raises:
        BadCid: `cid` is not the CID of a blob.
        BlobMismatch: `data` has another CID.
    """
    parse_blob_cid(cid)
    actual = blob_cid(data)
    if actual != cid:
        raise BlobMismatch(cid, actual)
