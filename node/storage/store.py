"""What every blob store offers, whatever lies behind it: local files, memory, an IPFS node."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import BinaryIO, Protocol, Self

from node.storage.cids import Buffer

__all__ = ["Batch", "BlobStore", "Incoming", "OneByOne", "Putting"]


class Incoming(Protocol):
    """A blob on its way into a store: write pieces, then commit. Left without a commit, it leaves nothing behind.

    Example:
        >>> from node.storage import MemoryStore
        >>> store = MemoryStore()
        >>> with store.incoming() as blob:
        ...     blob.write(b"hello world")
        ...     blob.commit()
        'bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e'
    """

    def write(self, piece: Buffer) -> None:
        """Take the next bytes.

        Raises:
            BlobTooLarge: The blob outgrows its limit.
            StorageFull: The disk does.
            StorageUnusable: The disk fails otherwise.
        """

    def commit(self) -> str:
        """Make the blob durable and visible under its CID, at once or not at all; return the CID.

        Raises:
            BlobMismatch: The bytes are not the blob that was expected.
            StorageFull: No room.
            StorageUnusable: The disk fails otherwise.
        """

    def __enter__(self) -> Self:
        """Return itself."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drop what was not committed."""


class Batch(Protocol):
    """Many blobs on their way into a store, durable together: a disk syncs a hundred at once as fast as one.

    When the block ends, all of them are durable and visible; when an error ends it, what was not visible yet is dropped. May be
    filled from several threads.

    Example:
        >>> from node.storage import MemoryStore
        >>> store = MemoryStore()
        >>> with store.batch() as batch:
        ...     cids = [batch.put(data) for data in (b"one", b"two")]
        >>> [store.get(cid) for cid in cids]
        [b'one', b'two']
    """

    def put(self, data: Buffer) -> str:
        """See `BlobStore.put`; durable and visible at the latest when the block ends."""

    def incoming(self, *, expected: str | None = None, limit: int | None = None) -> Incoming:
        """See `BlobStore.incoming`; what is committed is durable and visible at the latest when the block ends."""

    def __enter__(self) -> Self:
        """Return itself."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Make all durable and visible, or drop them.

        Raises:
            StorageFull: No room; what this batch had not made visible is dropped.
            StorageUnusable: The disk fails otherwise.
        """


class BlobStore(Protocol):
    """Content-addressed blobs: the name is the CID of the bytes, so a blob never changes and never lies.

    Every method that takes a CID raises `BadCid` for a text that is not a blob's CID. Every store may be used from
    several threads at once.
    """

    def put(self, data: Buffer) -> str:
        """Store `data` durably and return its CID; bytes already there are stored once, and a damaged copy is replaced.

        Raises:
            StorageFull: No room; everything stored before is intact.
            StorageUnusable: The disk fails otherwise.
        """

    def put_stream(self, pieces: Iterable[Buffer], *, expected: str | None = None, limit: int | None = None) -> str:
        """Store a blob given as pieces of any sizes, in bounded memory, and return its CID.

        Args:
            pieces: The bytes, in order.
            expected: The CID they must have.
            limit: Most bytes to accept.

        Raises:
            BlobMismatch: They have another CID; nothing is stored.
            BlobTooLarge: There are more than `limit`; nothing is stored.
            StorageFull: No room.
            StorageUnusable: The disk fails otherwise.
        """

    def incoming(self, *, expected: str | None = None, limit: int | None = None) -> Incoming:
        """Return a blob to write piece by piece; arguments and errors as for `put_stream`."""

    def batch(self) -> Batch:
        """Return an empty batch; use it as a context manager."""

    def get(self, cid: str) -> bytes:
        """Return the blob's bytes, checked against the CID.

        Raises:
            BlobMissing: It is not here.
            BlobCorrupt: The stored bytes are not that blob any more.
            StorageUnusable: They cannot be read.
        """

    def open(self, cid: str) -> BinaryIO:
        """Return the blob as a file at its start, checked against the CID before; the caller closes it.

        Raises:
            BlobMissing: It is not here.
            BlobCorrupt: The stored bytes are not that blob any more.
            StorageUnusable: They cannot be read.
        """

    def has(self, cid: str) -> bool:
        """Say whether the blob is here, without reading it."""

    def size(self, cid: str) -> int:
        """Return the blob's length in bytes, without reading it.

        Raises:
            BlobMissing: It is not here.
        """

    def delete(self, cid: str) -> bool:
        """Forget the blob; return whether it was here."""

    def iterate(self) -> Iterator[str]:
        """Yield the CIDs of all blobs; those put or deleted meanwhile may or may not be among them."""


class Putting(ABC):
    """`put` and `put_stream` of every store and batch, by its `incoming`."""

    @abstractmethod
    def incoming(self, *, expected: str | None = None, limit: int | None = None) -> Incoming:
        """See `BlobStore.incoming`; each store has its own."""

    def put(self, data: Buffer) -> str:
        """See `BlobStore.put`."""
        return self.put_stream([data])

    def put_stream(self, pieces: Iterable[Buffer], *, expected: str | None = None, limit: int | None = None) -> str:
        """See `BlobStore.put_stream`."""
        with self.incoming(expected=expected, limit=limit) as blob:
            for piece in pieces:
                blob.write(piece)
            return blob.commit()


class OneByOne(Putting):
    """A `Batch` of a store that gains nothing by taking blobs together: each is stored when it comes, and stays."""

    def __init__(self, store: BlobStore) -> None:
        """Start empty."""
        self._store = store

    def incoming(self, *, expected: str | None = None, limit: int | None = None) -> Incoming:
        """See `Batch.incoming`."""
        return self._store.incoming(expected=expected, limit=limit)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is left to do."""
