"""Blobs as files of one directory: the default store.

    <root>/blobs/<xy>/<cid>     one file a blob; xy = the two characters before the CID's last one
    <root>/incoming/<random>    blobs being written

A blob is written beside its place, synced, and renamed into it, so that a crash at any moment leaves either the whole
blob or none. A batch syncs its files side by side while more are written, then renames them all. Reading checks the bytes against the name. Files and directories are readable by their owner alone. Several
processes may use one directory.
"""

import errno
import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from node.storage.cids import CHUNK_SIZE, Buffer, CidHasher, blob_cid, parse_blob_cid
from node.storage.errors import (
    BadCid,
    BlobCorrupt,
    BlobMismatch,
    BlobMissing,
    BlobTooLarge,
    StorageError,
    StorageFull,
    StorageUnusable,
)
from node.storage.store import Putting

__all__ = ["FileStore"]

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_STALE_SECONDS: Final = 24 * 3600
"""Age at which an unfinished file is one a crash left behind: no transfer lasts a day."""
_SYNC_THREADS: Final = 4
"""Files synced side by side: a disk's cache is flushed once for all of them. Four sync 22 chunks in 4 ms, one in 160 ms."""
_MOST_SYNCING: Final = 32
"""Files of a batch that are open at a time."""


class FileStore(Putting):
    """A `BlobStore` in a directory."""

    def __init__(self, root: Path) -> None:
        """Open the store in `root`, making the directory where there is none.

        Raises:
            StorageUnusable: The directory cannot be made or written.
            StorageFull: The disk has no room for a directory.
        """
        self.root = root
        self._blobs = root / "blobs"
        self._incoming = root / "incoming"
        self._syncing = ThreadPoolExecutor(_SYNC_THREADS, thread_name_prefix="sync")
        try:
            for directory in (self._blobs, self._incoming):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._drop_stale()
        except OSError as error:
            raise _explain(root, error) from error
        if not os.access(self._incoming, os.W_OK | os.X_OK):
            raise StorageUnusable(root, "it cannot be written")

    def __repr__(self) -> str:
        """Name the directory."""
        return f"FileStore({str(self.root)!r})"

    def incoming(self, *, expected: str | None = None, limit: int | None = None) -> "_IncomingFile":
        """See `BlobStore.incoming`."""
        if expected is not None:
            parse_blob_cid(expected)
        return _IncomingFile(self.root, self._incoming / secrets.token_hex(16), self._place, expected, limit)

    def batch(self) -> "_FileBatch":
        """See `BlobStore.batch`."""
        return _FileBatch(self.incoming, self._syncing)

    def get(self, cid: str) -> bytes:
        """See `BlobStore.get`."""
        path = self._place(cid)
        try:
            data = path.read_bytes()
        except FileNotFoundError as error:
            raise BlobMissing(cid, str(self.root)) from error
        except OSError as error:
            raise _explain(path, error) from error
        if (actual := blob_cid(data)) != cid:
            raise BlobCorrupt(cid, path, actual)
        return data

    def open(self, cid: str) -> BinaryIO:
        """See `BlobStore.open`."""
        path = self._place(cid)
        try:
            file = path.open("rb")
        except FileNotFoundError as error:
            raise BlobMissing(cid, str(self.root)) from error
        except OSError as error:
            raise _explain(path, error) from error
        try:
            actual = _file_cid(file)
            file.seek(0)
        except OSError as error:
            file.close()
            raise _explain(path, error) from error
        if actual != cid:
            file.close()
            raise BlobCorrupt(cid, path, actual)
        return file

    def has(self, cid: str) -> bool:
        """See `BlobStore.has`."""
        return self._place(cid).is_file()

    def size(self, cid: str) -> int:
        """See `BlobStore.size`."""
        try:
            return self._place(cid).stat().st_size
        except FileNotFoundError as error:
            raise BlobMissing(cid, str(self.root)) from error

    def delete(self, cid: str) -> bool:
        """See `BlobStore.delete`."""
        path = self._place(cid)
        try:
            path.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise _explain(path, error) from error
        return True

    def iterate(self) -> Iterator[str]:
        """Yield the CIDs of all blobs, in an order that stays the same; files that are no blobs are passed over."""
        for shard in sorted(self._blobs.iterdir()):
            for path in sorted(shard.iterdir()) if shard.is_dir() else ():
                with suppress(BadCid):
                    parse_blob_cid(path.name)
                    yield path.name

    def unfinished(self) -> tuple[Path, ...]:
        """Files of blobs on their way in, of this process or another, or left by a crash of the last day."""
        return tuple(sorted(self._incoming.iterdir()))

    def _place(self, cid: str) -> Path:
        """Return the path of a blob; a CID's first characters are all alike, its last one has few values."""
        parse_blob_cid(cid)
        return self._blobs / cid[-3:-1] / cid

    def _drop_stale(self) -> None:
        oldest = time.time() - _STALE_SECONDS
        for path in self._incoming.iterdir():
            with suppress(FileNotFoundError):  # another process opening the same store may be quicker
                if path.stat().st_mtime < oldest:
                    path.unlink()


class _IncomingFile:
    """An `Incoming` that becomes a file."""

    def __init__(
        self, root: Path, path: Path, place: Callable[[str], Path], expected: str | None, limit: int | None
    ) -> None:
        self._root = root
        self._path = self._target = path
        self._place = place
        self._expected = expected
        self._limit = limit
        self._hasher = CidHasher()
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600)
        except OSError as error:
            raise _explain(root, error) from error
        self._file = os.fdopen(descriptor, "wb")

    def write(self, piece: Buffer) -> None:
        """See `Incoming.write`."""
        size = self._hasher.size + memoryview(piece).nbytes
        if self._limit is not None and size > self._limit:
            raise BlobTooLarge(size, self._limit)
        try:
            self._file.write(piece)
        except OSError as error:
            raise _explain(self._root, error) from error
        self._hasher.update(piece)

    def commit(self) -> str:
        """See `Incoming.commit`."""
        cid = self.finish()
        self.sync()
        for directory in self.place():
            _sync_directory(directory)
        return cid

    def finish(self) -> str:
        """Hand the last bytes to the system; the CID.

        Raises:
            BlobMismatch: The bytes are not the blob that was expected.
            StorageFull: No room.
            StorageUnusable: The disk fails otherwise.
        """
        cid = self._hasher.cid()
        if self._expected is not None and self._expected != cid:
            raise BlobMismatch(self._expected, cid)
        self._target = self._place(cid)
        try:
            self._file.flush()
        except OSError as error:
            raise _explain(self._root, error) from error
        return cid

    def sync(self) -> None:
        """Make the bytes durable, under the name they have meanwhile; errors as `finish`."""
        try:
            os.fsync(self._file.fileno())
            self._file.close()
        except OSError as error:
            raise _explain(self._root, error) from error

    def place(self) -> list[Path]:
        """Give the synced file its name; the directories that must be synced to keep it. Errors as `finish`."""
        home, changed = self._target.parent, [self._target.parent]
        try:
            if not home.is_dir():
                home.mkdir(mode=0o700, exist_ok=True)
                changed.append(home.parent)
            self._path.replace(self._target)
        except OSError as error:
            raise _explain(self._root, error) from error
        return changed

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drop what was not committed."""
        with suppress(OSError):  # closing flushes, which a full disk refuses; the descriptor is closed all the same
            self._file.close()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


class _FileBatch(Putting):
    """A `Batch` of files."""

    def __init__(self, incoming: Callable[..., _IncomingFile], pool: ThreadPoolExecutor) -> None:
        self._open = incoming
        self._pool = pool
        self._lock = threading.Lock()
        self._files: list[_IncomingFile] = []
        self._syncs: deque[Future[None]] = deque()

    def incoming(self, *, expected: str | None = None, limit: int | None = None) -> "_BatchedFile":
        """See `Batch.incoming`."""
        return _BatchedFile(self._open(expected=expected, limit=limit), self._take)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Sync the rest, then give every file its name; or drop them all."""
        try:
            if kind is None:
                self._finish()
        finally:
            wait(self._syncs)
            for file in self._files:
                file.__exit__(kind, error, trace)

    def _take(self, file: _IncomingFile) -> None:
        with self._lock:
            self._files.append(file)
            self._syncs.append(self._pool.submit(file.sync))
            oldest = self._syncs.popleft() if len(self._syncs) > _MOST_SYNCING else None
        if oldest is not None:
            oldest.result()

    def _finish(self) -> None:
        for done in self._syncs:
            done.result()
        changed = {directory for file in self._files for directory in file.place()}
        list(self._pool.map(_sync_directory, changed))


class _BatchedFile:
    """An `Incoming` that becomes one of a batch's files."""

    def __init__(self, file: _IncomingFile, take: Callable[[_IncomingFile], None]) -> None:
        self._file = file
        self._take = take
        self._taken = False

    def write(self, piece: Buffer) -> None:
        """See `Incoming.write`."""
        self._file.write(piece)

    def commit(self) -> str:
        """See `Incoming.commit`; the batch syncs it."""
        cid = self._file.finish()
        self._taken = True
        self._take(self._file)
        return cid

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drop what was not committed."""
        if not self._taken:
            self._file.__exit__(kind, error, trace)


def _explain(path: Path, error: OSError) -> StorageError:
    reason = error.strerror or str(error)
    return StorageFull(path, reason) if error.errno in _FULL else StorageUnusable(path, reason)


def _file_cid(file: BinaryIO) -> str:
    hasher = CidHasher()
    while piece := file.read(CHUNK_SIZE):
        hasher.update(piece)
    return hasher.cid()


def _sync_directory(path: Path) -> None:
    """Make a rename inside `path` survive a power cut."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _explain(path, error) from error
