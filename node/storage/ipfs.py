"""Blobs in an IPFS node, reached through its RPC: js-ipfs 0.66 and Kubo understand the same calls.

A blob is here if the node pins it; nothing is ever searched for in the IPFS network, for a missing blob comes from the
consortium's peers. The node is not trusted: every blob read is hashed against its CID, and every CID that the node
computes is compared with ours.

`ipfshttpclient` makes the calls it knows (`add`, `cat`, `pin`, `files/stat`, `refs`); httpx makes `block/rm`, which it does
not know ([ADR 10](../../docs/adr/0010-ipfs-through-two-clients.md)). Source: Kubo RPC API v0.
"""

from __future__ import annotations

import ipaddress
import re
import tempfile
import warnings
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Final, Self, cast

import httpx
import ipfshttpclient
from ipfshttpclient.exceptions import AddressError, CommunicationError, EncoderError, ErrorResponse
from multiaddr import Multiaddr
from multiaddr.exceptions import Error as MultiaddrError

from node.storage.cids import Buffer, CidHasher, parse_blob_cid
from node.storage.errors import (
    BadCid,
    BlobCorrupt,
    BlobMismatch,
    BlobMissing,
    BlobTooLarge,
    StorageFull,
    StorageUnusable,
)
from node.storage.store import OneByOne, Putting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

__all__ = ["IpfsStore"]

_ADD: Final = {"chunker": "size-262144", "raw_leaves": True, "cid_version": 1, "pin": True}
"""What makes the node compute the CIDs of `node.storage.cids`."""
_IN_MEMORY: Final = 8 << 20
"""Blobs above this many bytes wait on disk until they are committed or read."""
_READ_AT_ONCE: Final = 4 << 20
_FULL: Final = re.compile(r"no space left|ENOSPC|EDQUOT|disk quota|quota ?exceeded", re.IGNORECASE)
_NOT_PINNED: Final = "not pinned"

# ipfshttpclient passes urllib3 an argument that has had no effect since Python 3; said once a process, on people's screens.
warnings.filterwarnings("ignore", message="The 'strict' parameter", category=FutureWarning, module="urllib3")


class IpfsStore(Putting):
    """A `BlobStore` in an IPFS node.

    Example:
        >>> store = IpfsStore("/ip4/127.0.0.1/tcp/5001")  # doctest: +SKIP
        >>> store.put(b"hello world")  # doctest: +SKIP
        'bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e'
    """

    def __init__(self, address: str, *, seconds: float = 60.0, elsewhere: bool = False) -> None:
        """Ask the node at `address` for its version.

        Args:
            address: Multiaddress of its RPC, such as ``/ip4/127.0.0.1/tcp/5001``.
            seconds: Longest silence in the middle of an answer.
            elsewhere: Whether the node may be on another machine. The RPC knows no password and no encryption: whoever
                reaches it may delete every blob.

        Raises:
            StorageUnusable: The address is none, leads elsewhere without leave, or nothing answers there.
        """
        self.address = address
        try:
            host, port, scheme = _endpoint(address)
            self._client = ipfshttpclient.Client(address, timeout=seconds)
        except (AddressError, MultiaddrError, LookupError, ValueError):
            raise self._unusable("it is not the address of an RPC; expected such as /ip4/127.0.0.1/tcp/5001") from None
        if not elsewhere and not _is_here(host):
            raise self._unusable(
                "it leads to another machine, and an IPFS node's RPC has no password; use a node on this machine, "
                "or set ipfs_elsewhere = true where the network between is private"
            )
        shown = f"[{host}]" if ":" in host else host
        self._rpc = httpx.Client(
            base_url=f"{scheme}://{shown}:{port}/api/v0", timeout=seconds, trust_env=not _is_here(host)
        )
        with self._form():
            self.version = str(self._answer(self._client.version)["Version"])

    def __repr__(self) -> str:
        """Name the node."""
        return f"IpfsStore({self.address!r})"

    def incoming(self, *, expected: str | None = None, limit: int | None = None) -> _IncomingPin:
        """See `BlobStore.incoming`; the bytes reach the node when they are committed."""
        if expected is not None:
            parse_blob_cid(expected)
        return _IncomingPin(self._add, expected, limit)

    def batch(self) -> OneByOne:
        """See `BlobStore.batch`."""
        return OneByOne(self)

    def get(self, cid: str) -> bytes:
        """See `BlobStore.get`."""
        with self.open(cid) as file:
            return file.read()

    def open(self, cid: str) -> BinaryIO:
        """See `BlobStore.open`; a large blob is copied to a temporary file first."""
        left = self.size(cid)
        hasher = CidHasher()
        file = cast("BinaryIO", tempfile.SpooledTemporaryFile(_IN_MEMORY))  # noqa: SIM115  (the caller closes it)
        try:
            while hasher.size < left and (
                piece := self._read(cid, hasher.size, min(_READ_AT_ONCE, left - hasher.size))
            ):
                hasher.update(piece)
                with _disk():
                    file.write(piece)
            self._compare(cid, hasher.cid())
        except BaseException:
            file.close()
            raise
        file.seek(0)
        return file

    def has(self, cid: str) -> bool:
        """See `BlobStore.has`."""
        parse_blob_cid(cid)
        try:
            self._call(self._client.pin.ls, cid, type="recursive")
        except _Refused as refusal:
            if _NOT_PINNED in str(refusal):
                return False
            raise self._unusable(str(refusal)) from None
        return True

    def size(self, cid: str) -> int:
        """See `BlobStore.size`."""
        if not self.has(cid):
            raise BlobMissing(cid, self.address)
        with self._form():
            return int(self._answer(self._client.files.stat, f"/ipfs/{cid}")["Size"])

    def delete(self, cid: str) -> bool:
        """See `BlobStore.delete`; the node frees the room at its next garbage collection (`collect`)."""
        parse_blob_cid(cid)
        try:
            self._call(self._client.pin.rm, cid)
        except _Refused as refusal:
            if _NOT_PINNED in str(refusal):
                return False
            raise self._unusable(str(refusal)) from None
        return True

    def iterate(self) -> Iterator[str]:
        """Yield the CIDs of all blobs, sorted; pins that are no blob's are passed over."""
        answer = self._answer(self._client.pin.ls, type="recursive", opts={"cid-base": "base32"})
        with self._form():
            cids = sorted(answer["Keys"])
        for cid in cids:
            with suppress(BadCid):
                parse_blob_cid(cid)
                yield cid

    def collect(self) -> int:
        """Have the node free the room of what nobody pins; return how many blocks went."""
        return len(self._answer(self._client.repo.gc))

    # ---- inside ---------------------------------------------------------------------------------------------------

    def _add(self, file: IO[bytes], cid: str) -> None:
        if self.has(cid):
            if self._is_intact(cid):
                return
            self._drop_blocks(cid)  # the node would keep its damaged block: it does not write one that it has
        answer = self._answer(self._client.add, _Nameless(file), **_ADD, opts={"cid-base": "base32"})
        with self._form():
            actual = answer["Hash"]
        if actual != cid:
            raise self._unusable(f"it computes CID {actual!r:.80} for the blob {cid}: is it a js-ipfs or Kubo?")

    def _is_intact(self, cid: str) -> bool:
        try:
            self.open(cid).close()
        except (BlobCorrupt, StorageUnusable):
            return False
        return True

    def _drop_blocks(self, cid: str) -> None:
        """Removes a blob block by block, so that the next `add` writes every one of them."""
        blocks = [cid]
        with suppress(StorageUnusable):  # a damaged node of the tree has no children to name; its own removal suffices
            found = self._answer(self._client.unstable.refs, cid, opts={"recursive": True, "cid-base": "base32"})
            with self._form():
                blocks += [str(entry["Ref"]) for entry in found if entry.get("Ref")]
        self.delete(cid)
        for block in blocks:
            try:
                self._rpc.post("/block/rm", params={"arg": block, "force": "true"})
            except httpx.HTTPError as error:
                raise self._unusable(f"{type(error).__name__}: {error}") from error

    def _compare(self, cid: str, actual: str) -> None:
        if actual != cid:
            raise BlobCorrupt(cid, self.address, actual)

    def _read(self, cid: str, offset: int, length: int) -> bytes:
        return bytes(self._answer(self._client.cat, cid, offset=offset, length=length))

    def _answer(self, ask: Callable[..., Any], *args: object, **options: object) -> Any:
        """A call whose refusal by the node is never a plain answer."""
        try:
            return self._call(ask, *args, **options)
        except _Refused as refusal:
            if _FULL.search(str(refusal)):
                raise StorageFull(self.address, str(refusal)) from None
            raise self._unusable(str(refusal)) from None

    def _call(self, ask: Callable[..., Any], *args: object, **options: object) -> Any:
        try:
            return ask(*args, **options)
        except ErrorResponse as error:
            raise _Refused(str(error)) from error
        except (
            CommunicationError,
            EncoderError,
            AssertionError,
        ) as error:  # the last: ipfshttpclient's own checks of form
            raise self._unusable(str(error)) from error

    @contextmanager
    def _form(self) -> Iterator[None]:
        """Reading an answer that may be of any form."""
        try:
            yield
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise self._unusable(f"its answer is not an IPFS node's ({type(error).__name__}: {error})") from error

    def _unusable(self, reason: str) -> StorageUnusable:
        return StorageUnusable(self.address, reason)


class _Refused(Exception):  # noqa: N818  (a signal inside this module, never seen outside)
    """The node answered that it will not; the message is its reason."""


class _Nameless:
    """A file without a `name`: ipfshttpclient sends names, and takes that of a temporary file in memory for a text."""

    def __init__(self, file: IO[bytes]) -> None:
        self.read = file.read


class _IncomingPin:
    """An `Incoming` that becomes a pin."""

    def __init__(self, add: Callable[[IO[bytes], str], None], expected: str | None, limit: int | None) -> None:
        self._add = add
        self._expected = expected
        self._limit = limit
        self._hasher = CidHasher()
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115  (closed in __exit__)

    def write(self, piece: Buffer) -> None:
        """See `Incoming.write`."""
        size = self._hasher.size + memoryview(piece).nbytes
        if self._limit is not None and size > self._limit:
            raise BlobTooLarge(size, self._limit)
        with _disk():
            self._file.write(piece)
        self._hasher.update(piece)

    def commit(self) -> str:
        """See `Incoming.commit`."""
        cid = self._hasher.cid()
        if self._expected is not None and self._expected != cid:
            raise BlobMismatch(self._expected, cid)
        with _disk():
            self._file.seek(0)
        self._add(self._file, cid)
        return cid

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drop what was not committed."""
        self._file.close()


@contextmanager
def _disk() -> Iterator[None]:
    """Says of our own disk, where a large blob waits, what `FileStore` says of its own."""
    try:
        yield
    except OSError as error:
        raise StorageFull(tempfile.gettempdir(), error.strerror or str(error)) from error


def _endpoint(address: str) -> tuple[str, int, str]:
    parts = {protocol.name: value for protocol, value in Multiaddr(address).items()}
    hosts = [str(parts[name]) for name in ("ip4", "ip6", "dns", "dns4", "dns6") if name in parts]
    return hosts[0], int(parts["tcp"]), "https" if "https" in parts else "http"


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
