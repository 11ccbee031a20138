"""A quota for any blob store: what is stored stays, what would exceed the quota is refused whole."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, BinaryIO, Self

from node.storage.errors import StorageError, StorageFull
from node.storage.store import Putting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from node.storage.cids import Buffer
    from node.storage.store import Batch, BlobStore, Incoming

__all__ = ["LimitedStore"]


class LimitedStore(Putting):
    """A `BlobStore` that holds at most so many bytes of blobs.

    What the blobs take is added up once, when the store is opened, and kept count of from then on; what another process
    adds meanwhile is not counted until the next start.
    """

    def __init__(self, store: BlobStore, quota: int) -> None:
        """Count what is there.

        Args:
            store: Where the blobs are.
            quota: Most bytes of blobs, ≥ 1.

        Raises:
            StorageUnusable: The store cannot be read.
        """
        self.store = store
        self.quota = quota
        self._lock = threading.Lock()
        self._sizes = {cid: store.size(cid) for cid in store.iterate()}
        self._used = sum(self._sizes.values())

    @property
    def used(self) -> int:
        """Bytes of blobs held, and of those on their way in."""
        return self._used

    def incoming(self, *, expected: str | None = None, limit: int | None = None) -> _CountedIncoming:
        """See `BlobStore.incoming`; a blob that cannot fit is refused as soon as that is seen."""
        return _CountedIncoming(self, self.store.incoming(expected=expected, limit=limit), self.stored)

    def batch(self) -> _CountedBatch:
        """See `BlobStore.batch`."""
        return _CountedBatch(self, self.store.batch())

    def get(self, cid: str) -> bytes:
        """See `BlobStore.get`."""
        return self.store.get(cid)

    def open(self, cid: str) -> BinaryIO:
        """See `BlobStore.open`."""
        return self.store.open(cid)

    def has(self, cid: str) -> bool:
        """See `BlobStore.has`."""
        return self.store.has(cid)

    def size(self, cid: str) -> int:
        """See `BlobStore.size`."""
        return self.store.size(cid)

    def delete(self, cid: str) -> bool:
        """See `BlobStore.delete`."""
        gone = self.store.delete(cid)
        with self._lock:
            self._used -= self._sizes.pop(cid, 0)
        return gone

    def iterate(self) -> Iterator[str]:
        """See `BlobStore.iterate`."""
        return self.store.iterate()

    def reserve(self, size: int) -> None:
        """Take room for a blob on its way in.

        Raises:
            StorageFull: There is none.
        """
        with self._lock:
            if self._used + size > self.quota:
                raise StorageFull(
                    repr(self.store),
                    f"the quota of {self.quota} bytes is used up ({self._used} bytes held, at least {size} more asked for)",
                )
            self._used += size

    def release(self, size: int) -> None:
        """Give back room that was taken."""
        with self._lock:
            self._used -= size

    def stored(self, cid: str, size: int) -> None:
        """Note that the room taken holds this blob now; give it back where the blob was there before."""
        with self._lock:
            if cid in self._sizes:
                self._used -= size
            self._sizes[cid] = size


class _CountedIncoming:
    """An `Incoming` that takes its room piece by piece, and gives it back where nothing new was stored."""

    def __init__(self, store: LimitedStore, blob: Incoming, stored: Callable[[str, int], None]) -> None:
        self._store = store
        self._blob = blob
        self._stored = stored
        self._taken = 0

    def write(self, piece: Buffer) -> None:
        """See `Incoming.write`."""
        size = memoryview(piece).nbytes
        self._blob.write(piece)
        self._store.reserve(size)
        self._taken += size

    def commit(self) -> str:
        """See `Incoming.commit`."""
        cid = self._blob.commit()
        self._stored(cid, self._taken)
        self._taken = 0
        return cid

    def __enter__(self) -> Self:
        """Return itself."""
        self._blob.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drop what was not committed."""
        self._blob.__exit__(kind, error, trace)
        self._store.release(self._taken)


class _CountedBatch(Putting):
    """A `Batch` whose blobs hold their room from their first byte on, and keep it once they are stored."""

    def __init__(self, store: LimitedStore, batch: Batch) -> None:
        self._store = store
        self._batch = batch
        self._held: list[tuple[str, int]] = []

    def incoming(self, *, expected: str | None = None, limit: int | None = None) -> _CountedIncoming:
        """See `Batch.incoming`."""
        return _CountedIncoming(self._store, self._batch.incoming(expected=expected, limit=limit), self._hold)

    def __enter__(self) -> Self:
        """Return itself."""
        self._batch.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Count what is there now; give back the room of the rest."""
        dropped = True
        try:
            self._batch.__exit__(kind, error, trace)
            dropped = kind is not None
        finally:
            for cid, size in self._held:
                if dropped and not self._is_there(cid):
                    self._store.release(size)
                else:
                    self._store.stored(cid, size)

    def _is_there(self, cid: str) -> bool:
        """Whether a blob was stored before the error that ended the batch; counted until the next start where it cannot be told."""
        try:
            return self._store.has(cid)
        except StorageError:
            return True

    def _hold(self, cid: str, size: int) -> None:
        self._held.append((cid, size))
