"""Where blobs come from: directories, read without writing anything into them, and nodes asked over HTTP.

A place is never believed: what it gives is hashed against the CID. In directories every copy of a blob is examined, so a
damaged one is found and its path named even where another place holds an intact one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import httpx

from node.audit.errors import NoEvidence
from node.calling.person import personal
from node.home import Home
from node.provenance.envelopes import noted
from node.rounds.dsse import MAX_ENVELOPE_BYTES
from node.storage import BadCid, BlobUnavailable, FetchLimits, MemoryStore, blob_cid, fetch_blob, parse_blob_cid

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from node.calling import Dialer
    from node.storage import Incoming

MAX_BLOB_BYTES: Final = 128 * 1024 * 1024
"""No blob an audit reads is larger: a ledger segment has at most 64 MiB, a ciphertext chunk less than 1 MiB."""

_ENVELOPE_SECONDS: Final = 10.0
_LIMITS: Final = FetchLimits(max_bytes=MAX_BLOB_BYTES, connect_seconds=3.0, read_seconds=15.0, peer_seconds=120.0)


@dataclass(frozen=True)
class Damage:
    """A copy of a blob that is not that blob."""

    cid: str
    """The blob asked for."""
    where: str
    """Path of the file, or address of the node, that holds or sent the wrong bytes."""
    problem: str
    """What is wrong with it, as one clause."""


@dataclass(frozen=True)
class Sighting:
    """What was found under one CID."""

    data: bytes | None
    """The blob, checked against its CID; None where no place has an intact copy."""
    damaged: tuple[Damage, ...] = ()
    """Copies that are not the blob."""
    absent: tuple[str, ...] = ()
    """Places that do not have it, each with the reason where one is known."""


class Evidence(Protocol):
    """A source of blobs that lets damage be seen."""

    def look(self, cid: str) -> Sighting:
        """What this source has under a CID; never raises for what it finds.

        Raises:
            BadCid: Not the CID of a blob.
        """

    def envelope(self, number: int) -> bytes | None:
        """The signed envelope of a round's statement, if this source has one; whether it is true is not looked at."""


class Directories:
    """Blob directories on this machine, opened for reading only.

    Args:
        roots: Directories laid out as `<xy>/<cid>`, as `node.storage.FileStore` writes them.
    """

    def __init__(self, roots: Sequence[Path]) -> None:
        self.roots = tuple(roots)

    def look(self, cid: str) -> Sighting:
        """See `Evidence.look`; every copy is examined."""
        parse_blob_cid(cid)
        data: bytes | None = None
        damaged, absent = [], []
        for root in self.roots:
            path = root / cid[-3:-1] / cid
            found, problem = _read(path, cid)
            if problem:
                damaged.append(Damage(cid, str(path), problem))
            elif found is None:
                absent.append(str(root))
            elif data is None:
                data = found
        return Sighting(data, tuple(damaged), tuple(absent))

    def envelope(self, number: int) -> bytes | None:
        """See `Evidence.envelope`: the one that a hospital's journal beside the blobs names."""
        for root in self.roots:
            for home in (root, *root.parents[:2]):
                cid = noted(Home(home).journal, number)
                seen = Sighting(None) if cid is None else self.look(cid)
                if seen.data is not None or seen.damaged:
                    return seen.data or b""  # a damaged copy is evidence of something: no envelope at all would not be
        return None


class Handed:
    """Blobs handed over with the question, such as a data card that a hospital shows.

    Args:
        blobs: Of at most 256 KiB each.
    """

    def __init__(self, blobs: Iterable[bytes]) -> None:
        self._blobs = {blob_cid(blob): blob for blob in blobs}

    def look(self, cid: str) -> Sighting:
        """See `Evidence.look`."""
        parse_blob_cid(cid)
        return Sighting(self._blobs.get(cid))

    def envelope(self, number: int) -> bytes | None:
        """See `Evidence.envelope`: none."""
        del number
        return None


class NodeUrl:
    """A node's blobs over HTTP: `GET {url}/v1/blobs/{cid}`.

    Args:
        url: The node's base address.
        dialer: Makes the client that asks it; by default with the token that the person holds for it.
    """

    def __init__(self, url: str, dialer: Dialer | None = None) -> None:
        self.url = url
        self._http = (dialer or personal(url)).client(_LIMITS.timeout())

    def look(self, cid: str) -> Sighting:
        """See `Evidence.look`; one bounded request."""
        tray = _Tray()
        try:
            fetch_blob(tray, cid, [self.url], limits=_LIMITS, client=self._http)
        except BlobUnavailable as error:
            reasons = "; ".join(attempt.reason for attempt in error.attempts)
            return Sighting(None, absent=(f"{self.url} ({reasons})",))
        sent = next(tray.iterate())
        if sent != cid:
            return Sighting(None, damaged=(Damage(cid, self.url, f"the bytes sent have CID {sent}"),))
        return Sighting(tray.get(cid))

    def envelope(self, number: int) -> bytes | None:
        """See `Evidence.envelope`; one bounded request."""
        try:
            url = f"{self.url}/v1/rounds/{number}/envelope"
            with self._http.stream("GET", url, timeout=_ENVELOPE_SECONDS) as response:
                return _bounded(response) if response.status_code == httpx.codes.OK else None
        except (httpx.HTTPError, httpx.InvalidURL):
            return None


class Several:
    """Several sources as one; a later one is asked only for what those before it lack.

    Args:
        sources: Asked in this order.
    """

    def __init__(self, sources: Iterable[Evidence]) -> None:
        self.sources = tuple(sources)

    def look(self, cid: str) -> Sighting:
        """See `Evidence.look`."""
        damaged: tuple[Damage, ...] = ()
        absent: tuple[str, ...] = ()
        for source in self.sources:
            seen = source.look(cid)
            damaged, absent = damaged + seen.damaged, absent + seen.absent
            if seen.data is not None:
                return Sighting(seen.data, damaged, absent)
        return Sighting(None, damaged, absent)

    def envelope(self, number: int) -> bytes | None:
        """See `Evidence.envelope`."""
        found = (source.envelope(number) for source in self.sources)
        return next((data for data in found if data is not None), None)


def open_evidence(places: Sequence[str | Path]) -> Evidence:
    """The evidence in the places a person named.

    Args:
        places: Blob directories, hospitals' homes (with `blobs/`), run directories (with `hospitals/*/blobs/`) and
            nodes' http(s) addresses. All directories are searched before any node is asked.

    Raises:
        NoEvidence: A place is none of these; the error names it.
    """
    roots: list[Path] = []
    nodes: list[Evidence] = []
    for place in places:
        if str(place).startswith(("http://", "https://")):
            nodes.append(NodeUrl(str(place)))
        else:
            roots += blob_directories(Path(place))
    if not roots and not nodes:
        raise NoEvidence("evidence", "no place was named")
    return Several([*([Directories(tuple(dict.fromkeys(roots)))] if roots else []), *nodes])


def blob_directories(place: Path) -> list[Path]:
    """The blob directories in a place on this machine.

    Raises:
        NoEvidence: There is none.
    """
    try:
        if not place.is_dir():
            raise NoEvidence(str(place), "no such directory")
        homes = sorted(place.glob("hospitals/*")) or [place]
        found = [directory for home in homes for directory in _within(home)]
    except OSError as error:
        raise NoEvidence(str(place), error.strerror or str(error)) from error
    if not found:
        raise NoEvidence(str(place), "there are no blobs in it")
    return found


def _within(home: Path) -> list[Path]:
    """The directories in and below a home that are sharded as a store's are."""
    candidates = (home, home / "blobs", home / "blobs" / "blobs")
    return [place for place in candidates if place.is_dir() and any(map(_is_shard, place.iterdir()))]


def _is_shard(path: Path) -> bool:
    return len(path.name) == 2 and path.is_dir() and any(_is_cid(file.name) for file in path.iterdir())


def _is_cid(name: str) -> bool:
    try:
        parse_blob_cid(name)
    except BadCid:
        return False
    return True


def _read(path: Path, cid: str) -> tuple[bytes | None, str]:
    """The blob in a file and what is wrong with it; (None, "") where there is no such file."""
    try:
        size = path.stat().st_size
        if size > MAX_BLOB_BYTES:
            return None, f"it has {size} bytes, no blob of an audit has more than {MAX_BLOB_BYTES}"
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None, ""
    except OSError as error:
        return None, f"it cannot be read: {error.strerror or error}"
    actual = blob_cid(data)
    return (data, "") if actual == cid else (None, f"its bytes have CID {actual}")


def _bounded(response: httpx.Response) -> bytes | None:
    """The body; None where it is longer than any envelope."""
    data = bytearray()
    for part in response.iter_bytes():
        data += part
        if len(data) > MAX_ENVELOPE_BYTES:
            return None
    return bytes(data)


class _Tray(MemoryStore):
    """Takes whatever bytes a node sends, so that wrong ones can be told from none."""

    def incoming(self, *, expected: str | None = None, limit: int | None = None) -> Incoming:  # type: ignore[override]
        """See `BlobStore.incoming`; what is expected is left for the caller to check."""
        del expected
        return super().incoming(limit=limit)
