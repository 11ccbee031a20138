"""Blobs wherever they are: the local store together with whatever can fill its gaps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

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


class ManyBlobs(BlobSource, Protocol):
    """Blobs wherever they are, many at a time."""

    def obtain_all(
        self, cids: Sequence[str], first: str | None = None, look: Callable[[bytes], None] | None = None
    ) -> None:
        """Have blobs in the local store, several fetched at a time; what came before an error is kept for the next attempt.

        Args:
            cids: The blobs.
            first: Base URL of the peer to ask first.
            look: Called with the bytes of each, from several threads; what it raises ends the fetching. Without it, blobs
                that are here are not read.

        Raises:
            StorageError: One cannot be had.
        """

    def stream(self, cids: Sequence[str], first: str | None = None) -> Iterator[bytes]:
        """The bytes of blobs in order; the next few are fetched while one is used. What comes from peers is kept.

        Args:
            cids: The blobs.
            first: Base URL of the peer to ask first.

        Raises:
            StorageError: One cannot be had.
        """
