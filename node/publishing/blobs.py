"""The local blob store backed by the peers: what is not here, or is damaged here, is fetched, verified and kept."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from itertools import islice
from typing import TYPE_CHECKING, Self

from node.calling import Dialer
from node.storage import BlobCorrupt, BlobMissing, BlobStore, FetchLimits, StorageError, fetch_blob

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

    from node.storage.cids import Buffer
    from node.storage.peers import Receiver
    from node.storage.store import Incoming

LIMITS = FetchLimits(connect_seconds=2.0, read_seconds=10.0)
FETCHED_AT_ONCE = 4
"""Chunks of one update, or of one member's openings, on their way at a time: while one travels the next is read and checked."""


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
        return self._get(cid, first, self._store)

    def obtain_all(
        self, cids: Sequence[str], first: str | None = None, look: Callable[[bytes], None] | None = None
    ) -> None:
        """Have blobs here; see `node.storage.source.ManyBlobs`. Errors as `obtain`."""
        with self._store.batch() as batch:

            def one(cid: str) -> None:
                if look is None and self._store.has(cid):
                    return
                data = self._get(cid, first, batch)
                if look is not None:
                    look(data)

            problem = _first_problem(one, cids)
        if problem is not None:
            raise problem

    def stream(self, cids: Sequence[str], first: str | None = None) -> Iterator[bytes]:
        """The bytes of blobs in order; see `node.storage.source.ManyBlobs`. Errors as `obtain`."""
        problem: StorageError | None = None
        with self._store.batch() as batch, ThreadPoolExecutor(FETCHED_AT_ONCE, thread_name_prefix="fetch") as pool:
            left, begun = iter(cids), deque[Future[bytes]]()
            try:
                while problem is None:
                    begun.extend(
                        pool.submit(self._get, cid, first, batch) for cid in islice(left, FETCHED_AT_ONCE - len(begun))
                    )
                    if not begun:
                        return
                    try:
                        data = begun.popleft().result()
                    except StorageError as error:  # what came before it is kept for the next attempt
                        problem = error
                    else:
                        yield data
            except GeneratorExit:  # nobody takes the rest: what came is kept all the same
                return
            finally:
                for waiting in begun:
                    waiting.cancel()
        if problem is not None:
            raise problem

    def _get(self, cid: str, first: str | None, into: Receiver) -> bytes:
        try:
            return self._store.get(cid)
        except (BlobMissing, BlobCorrupt):
            return self._fetch(cid, first, into)

    def _fetch(self, cid: str, first: str | None, into: Receiver) -> bytes:
        peers = tuple(dict.fromkeys([*([first] if first else []), *self._peers()]))
        kept = _Kept(into)
        fetch_blob(kept, cid, peers, limits=LIMITS, client=self._http)
        return b"".join(kept.pieces)


def _first_problem(work: Callable[[str], None], cids: Sequence[str]) -> BaseException | None:
    """Work on every blob, several at a time; what went wrong first, after which nothing more is begun."""
    with ThreadPoolExecutor(FETCHED_AT_ONCE, thread_name_prefix="fetch") as pool:
        begun = [pool.submit(work, cid) for cid in cids]
        problem = next((error for done in as_completed(begun) if (error := done.exception()) is not None), None)
        for waiting in begun:
            waiting.cancel()
    return problem


class _Kept:
    """Hands a blob on to a store or batch, and keeps its bytes for who waits for them."""

    def __init__(self, into: Receiver) -> None:
        self._into = into
        self.pieces: list[bytes] = []

    def incoming(self, *, expected: str | None = None, limit: int | None = None) -> Incoming:
        """See `BlobStore.incoming`; what a peer before this one sent is forgotten."""
        self.pieces = []
        return _KeptIncoming(self._into.incoming(expected=expected, limit=limit), self.pieces)


class _KeptIncoming:
    """An `Incoming` that keeps what it hands on."""

    def __init__(self, blob: Incoming, pieces: list[bytes]) -> None:
        self._blob = blob
        self._pieces = pieces

    def write(self, piece: Buffer) -> None:
        """See `Incoming.write`."""
        self._blob.write(piece)
        self._pieces.append(bytes(piece))

    def commit(self) -> str:
        """See `Incoming.commit`."""
        return self._blob.commit()

    def __enter__(self) -> Self:
        """Return itself."""
        self._blob.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drop what was not committed."""
        self._blob.__exit__(kind, error, trace)
