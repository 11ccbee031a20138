"""The local blob store backed by the peers: what is not here, or is damaged here, is fetched, verified and kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from node.calling import Dialer
from node.storage import BlobCorrupt, BlobMissing, BlobStore, FetchLimits, fetch_blob

if TYPE_CHECKING:
    from collections.abc import Callable

LIMITS = FetchLimits(connect_seconds=2.0, read_seconds=10.0)


class PeerBlobs:
    """`Blobs` of `node.rounds.ports` over HTTP; safe to use from several threads.

    Args:
        store: The local store.
        peers: The other members' base URLs, newest knowledge at each call.
        dialer: Makes the client that asks them; says who asks.
    """

    def __init__(self, store: BlobStore, peers: Callable[[], tuple[str, ...]], dialer: Dialer | None = None) -> None:
        self._store = store
        self._peers = peers
        self._http = (dialer or Dialer()).client(LIMITS.timeout())  # thread-safe; keeps connections open

    @property
    def store(self) -> BlobStore:
        """The local store."""
        return self._store

    def obtain(self, cid: str, first: str | None = None) -> bytes:
        """The bytes of a blob, from here or from a peer.

        Args:
            cid: The blob.
            first: Base URL of the peer to ask first, e.g. whoever announced it.

        Raises:
            BadCid: Not the CID of a blob.
            BlobUnavailable: No peer delivers it; the error lists what each answered.
            StorageFull: No room for it.
        """
        try:
            return self._store.get(cid)
        except (BlobMissing, BlobCorrupt):
            pass
        peers = tuple(dict.fromkeys([*([first] if first else []), *self._peers()]))
        fetch_blob(self._store, cid, peers, limits=LIMITS, client=self._http)
        return self._store.get(cid)
