"""Where chunks come from and go to, as far as sealing cares: anything with CIDs. `node.storage` has the real ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


class Chunks(Protocol):
    """Takes chunks."""

    def put(self, data: bytes) -> str:
        """Take a chunk; its CID."""


class ChunkStore(Protocol):
    """Stores chunks."""

    def batch(self) -> AbstractContextManager[Chunks]:
        """Takes chunks until the `with` block ends; then all of them are durable."""


class ChunkSource(Protocol):
    """Gives chunks and takes sums; may be used from several threads."""

    @property
    def store(self) -> ChunkStore:
        """Where new chunks go."""

    def obtain(self, cid: str) -> bytes:
        """A chunk by its CID, from here or from a peer."""
