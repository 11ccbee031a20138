"""Looking after a store: every blob read again and hashed, and what is damaged or missing had from somebody who holds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from node.storage.errors import BlobCorrupt, BlobMissing, BlobUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from node.storage.store import BlobStore

__all__ = ["Finding", "examine", "repair"]


@dataclass(frozen=True)
class Finding:
    """A blob that is not as it should be."""

    cid: str
    """The blob."""
    problem: str
    """`damaged` or `missing`."""
    detail: str
    """One clause for people: where, and what was found."""


def examine(
    store: BlobStore, wanted: Iterable[str] = (), progress: Callable[[int, int], None] | None = None
) -> tuple[Finding, ...]:
    """Read every blob and compare it with its CID; look for the ones that ought to be there.

    Args:
        store: The store; only read.
        wanted: CIDs that must be in it.
        progress: Called with the number of blobs read and of all, after each.

    Returns:
        What is wrong, in the store's order, the missing last.

    Raises:
        StorageUnusable: The store cannot be read at all.
    """
    held = list(store.iterate())
    found = []
    for count, cid in enumerate(held, 1):
        try:
            store.open(cid).close()
        except BlobCorrupt as error:
            found.append(Finding(cid, "damaged", f"its bytes in {error.path} have CID {error.actual}"))
        except BlobMissing:
            pass  # deleted since it was listed
        if progress:
            progress(count, len(held))
    found += [Finding(cid, "missing", "no such blob here") for cid in wanted if not store.has(cid)]
    return tuple(found)


def repair(findings: Iterable[Finding], fetch: Callable[[str], object]) -> tuple[Finding, ...]:
    """Have each blob fetched and stored again; what nobody delivers stays a finding.

    Args:
        findings: As `examine` found them.
        fetch: Fetches one blob into the store, checked; raises `BlobUnavailable` where nobody delivers it.

    Raises:
        StorageFull: No room.
        StorageUnusable: The store cannot be written.
    """
    left = []
    for finding in findings:
        try:
            fetch(finding.cid)
        except BlobUnavailable as error:
            left.append(Finding(finding.cid, finding.problem, str(error)))
    return tuple(left)
