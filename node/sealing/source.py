"""Where chunks come from and go to, as far as sealing cares: anything with CIDs. `node.storage` has the real ones."""

from __future__ import annotations

from typing import Protocol


class ChunkStore(Protocol):
    """Takes chunks."""

    def put(self, data: bytes) -> str:
        """Store a chunk durably; its CID."""


class ChunkSource(Protocol):
    """Gives chunks and takes sums; may be used from several threads."""

    @property
    def store(self) -> ChunkStore:
        """Where new chunks go."""

    def obtain(self, cid: str) -> bytes:
        """A chunk by its CID, from here or from a peer."""
