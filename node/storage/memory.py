"""Blobs in memory: for simulations and tests; nothing survives the process."""

import io
from collections.abc import Iterator
from types import TracebackType
from typing import BinaryIO, Self

from node.storage.cids import Buffer, CidHasher, parse_blob_cid
from node.storage.errors import BlobMismatch, BlobMissing, BlobTooLarge
from node.storage.store import OneByOne, Putting

__all__ = ["MemoryStore"]


class MemoryStore(Putting):
    """A `BlobStore` in a dictionary."""

    def __init__(self) -> None:
        """Start empty."""
        self._blobs: dict[str, bytes] = {}

    def incoming(self, *, expected: str | None = None, limit: int | None = None) -> "_IncomingBytes":
        """See `BlobStore.incoming`."""
        if expected is not None:
            parse_blob_cid(expected)
        return _IncomingBytes(self._blobs, expected, limit)

    def batch(self) -> OneByOne:
        """See `BlobStore.batch`."""
        return OneByOne(self)

    def get(self, cid: str) -> bytes:
        """See `BlobStore.get`."""
        parse_blob_cid(cid)
        try:
            return self._blobs[cid]
        except KeyError:
            raise BlobMissing(cid, "memory") from None

    def open(self, cid: str) -> BinaryIO:
        """See `BlobStore.open`."""
        return io.BytesIO(self.get(cid))

    def has(self, cid: str) -> bool:
        """See `BlobStore.has`."""
        parse_blob_cid(cid)
        return cid in self._blobs

    def size(self, cid: str) -> int:
        """See `BlobStore.size`."""
        return len(self.get(cid))

    def delete(self, cid: str) -> bool:
        """See `BlobStore.delete`."""
        parse_blob_cid(cid)
        return self._blobs.pop(cid, None) is not None

    def iterate(self) -> Iterator[str]:
        """See `BlobStore.iterate`."""
        yield from sorted(self._blobs)


class _IncomingBytes:
    """An `Incoming` that becomes an entry of the dictionary."""

    def __init__(self, blobs: dict[str, bytes], expected: str | None, limit: int | None) -> None:
        self._blobs = blobs
        self._expected = expected
        self._limit = limit
        self._hasher = CidHasher()
        self._data = bytearray()

    def write(self, piece: Buffer) -> None:
        """See `Incoming.write`."""
        size = self._hasher.size + memoryview(piece).nbytes
        if self._limit is not None and size > self._limit:
            raise BlobTooLarge(size, self._limit)
        self._data += piece
        self._hasher.update(piece)

    def commit(self) -> str:
        """See `Incoming.commit`."""
        cid = self._hasher.cid()
        if self._expected is not None and self._expected != cid:
            raise BlobMismatch(self._expected, cid)
        self._blobs[cid] = bytes(self._data)
        return cid

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drop what was not committed."""
        self._data.clear()
