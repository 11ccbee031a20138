"""Fetching a blob this node lacks from the peers that hold it: `GET {peer}/v1/blobs/{cid}`.

A peer's answer is believed only after its bytes hash to the CID, so any peer will do and none has to be trusted; what a
peer can waste is bounded (`FetchLimits`). Peers are asked one after the other, in the order given.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol

import httpx

from node.storage.cids import parse_blob_cid
from node.storage.errors import Attempt, BlobMismatch, BlobTooLarge, BlobUnavailable
from node.storage.store import BlobStore, Incoming

__all__ = ["FetchLimits", "Fetched", "fetch_blob", "fetch_blob_async"]

# What is verified is what went over the wire; a compressed body could also unpack to any size.
_HEADERS: Final = {"Accept": "application/octet-stream", "Accept-Encoding": "identity"}


@dataclass(frozen=True)
class FetchLimits:
    """What one fetch may cost."""

    max_bytes: int = 1 << 30
    """Most bytes in a blob, 1 GiB: a model of 250 million float32 parameters."""
    connect_seconds: float = 3.0
    """Longest wait for a connection to one peer."""
    read_seconds: float = 15.0
    """Longest silence in the middle of an answer."""
    peer_seconds: float = 600.0
    """Longest time one peer may take in all, however steadily it trickles."""

    def timeout(self) -> httpx.Timeout:
        """Return httpx's form of the first two time limits."""
        return httpx.Timeout(self.read_seconds, connect=self.connect_seconds)


@dataclass(frozen=True)
class Fetched:
    """A blob that was fetched and stored."""

    cid: str
    """The blob's CID, which its bytes were checked against."""
    size: int
    """Its length in bytes."""
    peer: str
    """Base URL of the peer that delivered it."""
    failed: tuple[Attempt, ...] = field(default=())
    """The peers asked before in vain."""


class _Refused(Exception):  # noqa: N818  (a signal inside this module, never seen outside)
    """A peer did not deliver; the message is the reason. Never leaves this module."""


class Receiver(Protocol):
    """What a fetched blob goes to: a store, or a batch of one."""

    def incoming(self, *, expected: str | None = None, limit: int | None = None) -> Incoming:
        """See `BlobStore.incoming`."""


def fetch_blob(
    store: Receiver,
    cid: str,
    peers: Sequence[str],
    *,
    limits: FetchLimits | None = None,
    client: httpx.Client | None = None,
) -> Fetched:
    """Fetch the blob from the first of `peers` that delivers it, check it and put it into `store`.

    Args:
        store: Where the blob goes.
        cid: The blob's CID.
        peers: Base URLs (http or https), asked in this order.
        limits: What the fetch may cost; `FetchLimits()` by default.
        client: Reused where given (its TLS settings and credentials apply); otherwise one is made for this call.

    Raises:
        BadCid: `cid` is not the CID of a blob.
        BlobUnavailable: No peer delivered it; the error lists every peer's reason.
        StorageFull: No room; not the peers' fault, so no other is asked.
        StorageUnusable: The disk fails otherwise.
    """
    parse_blob_cid(cid)
    limits = limits or FetchLimits()
    failed: list[Attempt] = []
    with _client(client) as http:
        for peer in peers:
            try:
                return Fetched(cid, _take(store, cid, peer, limits, http), peer, tuple(failed))
            except _Refused as refusal:
                failed.append(Attempt(peer, str(refusal)))
    raise BlobUnavailable(cid, tuple(failed))


async def fetch_blob_async(
    store: BlobStore,
    cid: str,
    peers: Sequence[str],
    *,
    limits: FetchLimits | None = None,
    client: httpx.AsyncClient | None = None,
) -> Fetched:
    """Do as `fetch_blob` does without blocking the event loop; disk writes run in a thread."""
    parse_blob_cid(cid)
    limits = limits or FetchLimits()
    failed: list[Attempt] = []
    async with _async_client(client) as http:
        for peer in peers:
            try:
                return Fetched(cid, await _take_async(store, cid, peer, limits, http), peer, tuple(failed))
            except _Refused as refusal:
                failed.append(Attempt(peer, str(refusal)))
    raise BlobUnavailable(cid, tuple(failed))


def _take(store: Receiver, cid: str, peer: str, limits: FetchLimits, http: httpx.Client) -> int:
    size = 0
    with (
        _refusals(),
        http.stream(
            "GET", _url(peer, cid), headers=_HEADERS, timeout=limits.timeout(), follow_redirects=False
        ) as response,
        store.incoming(expected=cid, limit=limits.max_bytes) as blob,
    ):
        _check_head(response, limits)
        deadline = _Deadline(limits)
        for piece in response.iter_raw():
            deadline.check()
            blob.write(piece)
            size += len(piece)
        blob.commit()
    return size


async def _take_async(store: BlobStore, cid: str, peer: str, limits: FetchLimits, http: httpx.AsyncClient) -> int:
    size = 0
    with _refusals():
        request = http.stream(
            "GET", _url(peer, cid), headers=_HEADERS, timeout=limits.timeout(), follow_redirects=False
        )
        async with request as response:
            with store.incoming(expected=cid, limit=limits.max_bytes) as blob:
                _check_head(response, limits)
                deadline = _Deadline(limits)
                async for piece in response.aiter_raw():
                    deadline.check()
                    await asyncio.to_thread(blob.write, piece)
                    size += len(piece)
                await asyncio.to_thread(blob.commit)
    return size


class _Deadline:
    """The time one peer has."""

    def __init__(self, limits: FetchLimits) -> None:
        self._seconds = limits.peer_seconds
        self._end = time.monotonic() + limits.peer_seconds

    def check(self) -> None:
        """Raise `_Refused` once the time is over."""
        if time.monotonic() > self._end:
            raise _Refused(f"not done after {self._seconds:g} s")


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn everything that is the peer's fault into `_Refused`; errors of our own disk pass."""
    try:
        yield
    except httpx.TimeoutException as error:
        raise _Refused("no answer in time") from error
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:  # the last: addresses IDNA cannot encode
        raise _Refused(f"{type(error).__name__}: {error}") from error
    except BlobTooLarge as error:
        raise _Refused(f"it sends more than the {error.limit} bytes allowed") from error
    except BlobMismatch as error:
        raise _Refused(f"it sent other bytes, of CID {error.actual}") from error


def _url(peer: str, cid: str) -> httpx.URL:
    url = httpx.URL(peer)
    if url.scheme not in {"http", "https"} or not url.host:
        raise _Refused("its address is not an http or https URL")
    return url.copy_with(path=f"{url.path.rstrip('/')}/v1/blobs/{cid}", query=None, fragment=None)


def _check_head(response: httpx.Response, limits: FetchLimits) -> None:
    if response.status_code != httpx.codes.OK:
        phrase = httpx.codes.get_reason_phrase(response.status_code)  # not the peer's own words
        raise _Refused(f"it answered {response.status_code} {phrase}".rstrip())
    announced = response.headers.get("Content-Length", "0")
    if announced.isdecimal() and int(announced) > limits.max_bytes:
        raise _Refused(f"it announces {announced} bytes where {limits.max_bytes} are allowed")


def _direct() -> dict[str, None]:
    """Name the hosts never asked through a proxy: nodes on this machine, as in the demo."""
    return {"all://127.0.0.1": None, "all://localhost": None, "all://[::1]": None}


@contextmanager
def _client(given: httpx.Client | None) -> Iterator[httpx.Client]:
    if given is not None:
        yield given
        return
    with httpx.Client(mounts=_direct()) as http:
        yield http


@asynccontextmanager
async def _async_client(given: httpx.AsyncClient | None) -> AsyncIterator[httpx.AsyncClient]:
    if given is not None:
        yield given
        return
    async with httpx.AsyncClient(mounts=_direct()) as http:
        yield http
