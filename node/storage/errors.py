# ruff: noqa: N818  (an error is named after what is wrong)
"""What can go wrong in the blob store.

    StorageError (a MedweaveError)
    ├── BadCid            3   a text is not the CID of a blob
    ├── BlobMissing       1   no such blob here
    ├── BlobCorrupt       1   a stored blob's bytes no longer match its CID
    ├── BlobMismatch      1   bytes offered under a CID are other bytes
    ├── BlobTooLarge      1   more bytes than the caller allows
    ├── BlobUnavailable   5   no peer delivered the blob
    ├── StorageFull       4   the disk, quota or file size limit is exhausted
    └── StorageUnusable   4   the directory cannot be made, read or written

The numbers are exit codes (`node.errors`). Every error keeps what it knows as attributes, so that a caller decides on
values and never on message texts.
"""

from dataclasses import dataclass
from pathlib import Path

from node.errors import BadEnvironment, BadInput, MedweaveError, PeerProblem

__all__ = [
    "Attempt",
    "BadCid",
    "BlobCorrupt",
    "BlobMismatch",
    "BlobMissing",
    "BlobTooLarge",
    "BlobUnavailable",
    "StorageError",
    "StorageFull",
    "StorageUnusable",
]


class StorageError(MedweaveError):
    """Base of every error of `node.storage`."""


class BadCid(StorageError, BadInput):
    """A text is not the CID of a blob: CIDv1, lower-case base32, codec raw or dag-pb, sha2-256."""

    def __init__(self, text: str, reason: str) -> None:
        """Keep the offending `text` (shown shortened) and the `reason`."""
        shown = text if len(text) <= 80 else f"{text[:77]}..."
        super().__init__(f"{shown!r} is not the CID of a blob: {reason}; expected 'b' and 58 base32 characters")
        self.text = text
        self.reason = reason


class BlobMissing(StorageError):
    """The blob is not in this store; fetch it from a peer (`node.storage.peers`)."""

    def __init__(self, cid: str, where: str) -> None:
        """Keep the `cid` and the store it was looked for in (`where`)."""
        super().__init__(f"blob {cid} is not in {where}; fetch it from a peer")
        self.cid = cid
        self.where = where


class BlobCorrupt(StorageError):
    """A stored blob's bytes no longer match its CID: a damaged disk, or a file changed by hand."""

    def __init__(self, cid: str, path: Path | str, actual: str) -> None:
        """Keep the `cid` asked for, the `path` that holds the bad bytes, and the CID they really have (`actual`)."""
        super().__init__(
            f"blob {cid} in {path} is damaged: its bytes have CID {actual}; "
            "put the right bytes or fetch the blob from a peer again: either replaces the file"
        )
        self.cid = cid
        self.path = path
        self.actual = actual


class BlobMismatch(StorageError):
    """Bytes offered under a CID have another one; nothing was stored."""

    def __init__(self, expected: str, actual: str) -> None:
        """Keep the CID `expected` and the one the bytes have (`actual`)."""
        super().__init__(f"the bytes offered as blob {expected} have CID {actual}; nothing was stored")
        self.expected = expected
        self.actual = actual


class BlobTooLarge(StorageError):
    """A blob has more bytes than the caller allows; nothing was stored."""

    def __init__(self, size: int, limit: int) -> None:
        """Keep the `size` seen so far or announced, and the `limit`, both in bytes."""
        super().__init__(f"the blob has at least {size} bytes where {limit} are allowed; nothing was stored")
        self.size = size
        self.limit = limit


@dataclass(frozen=True)
class Attempt:
    """One peer asked for a blob, and why it did not deliver."""

    peer: str
    """Base URL of the peer."""
    reason: str
    """One clause for people: what happened."""


class BlobUnavailable(StorageError, PeerProblem):
    """No peer delivered the blob."""

    def __init__(self, cid: str, attempts: tuple[Attempt, ...]) -> None:
        """Keep the `cid` and one `Attempt` for every peer asked, in order."""
        tried = "; ".join(f"{attempt.peer}: {attempt.reason}" for attempt in attempts) or "no peer is known"
        super().__init__(f"no peer delivered blob {cid} ({tried}); try again when one that holds it is up")
        self.cid = cid
        self.attempts = attempts


class StorageFull(StorageError, BadEnvironment):
    """The disk, quota or file size limit is exhausted; what was stored before is intact and readable."""

    def __init__(self, path: Path | str, reason: str) -> None:
        """Keep the `path` of the store and the system's `reason`."""
        super().__init__(
            f"cannot write to {path}: {reason}; free some space and repeat, everything stored before is intact"
        )
        self.path = path
        self.reason = reason


class StorageUnusable(StorageError, BadEnvironment):
    """The store's directory cannot be made, read or written."""

    def __init__(self, path: Path | str, reason: str) -> None:
        """Keep the `path` and the system's `reason`."""
        super().__init__(f"cannot use {path} as a blob store: {reason}; check the path and its permissions")
        self.path = path
        self.reason = reason
