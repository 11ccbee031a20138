"""The store a hospital's configuration asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from node.storage.files import FileStore
from node.storage.limited import LimitedStore

if TYPE_CHECKING:
    from pathlib import Path

    from node.config import Storage
    from node.storage.ipfs import IpfsStore
    from node.storage.store import BlobStore

__all__ = ["open_backend", "open_store"]

GIBIBYTE = 1 << 30


def open_backend(directory: Path, settings: Storage) -> FileStore | IpfsStore:
    """The back end itself, without its quota.

    Args:
        directory: Where files go.
        settings: `[storage]` of the configuration.

    Raises:
        StorageUnusable: Directory or IPFS node cannot be used.
    """
    if settings.backend == "ipfs":
        # Only here: its libraries take memory that a node with files has no use for.
        from node.storage.ipfs import IpfsStore

        return IpfsStore(settings.ipfs, elsewhere=settings.ipfs_elsewhere)
    return FileStore(directory)


def open_store(directory: Path, settings: Storage) -> BlobStore:
    """The store that the node works with.

    Args:
        directory: Where files go.
        settings: `[storage]` of the configuration.

    Raises:
        StorageUnusable: Directory or IPFS node cannot be used.
    """
    store = open_backend(directory, settings)
    return LimitedStore(store, int(settings.quota_gib * GIBIBYTE)) if settings.quota_gib else store
