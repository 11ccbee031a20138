"""Blobs wherever they are: the local store together with whatever can fill its gaps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from node.storage.store import BlobStore


class BlobSource(Protocol):
    """The local store and the peers behind it; may be used from several threads."""

    @property
    def store(self) -> BlobStore:
        """The local store."""

    def obtain(self, cid: str, first: str | None = None) -> bytes:
        """The bytes of a blob, from here or from a peer; what came from a peer is kept.

        Args:
            cid: The blob.
            first: Base URL of the peer to ask first, e.g. whoever made it.

        Raises:
            StorageError: It cannot be had.
        """
