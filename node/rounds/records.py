"""The records a round puts into the blob store: manifests in dag-cbor.

Manifests follow the dag-cbor rules (canonical CBOR, text keys, links as tag 42), so an IPFS node can walk from a ledger
transaction through its manifest to every ciphertext chunk. A manifest stays below 256 KiB: its CID is `raw` and its
sha2-256 digest alone (what the chain stores) is enough to find it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self

from dag import codec
from dag.errors import MalformedIdentifier, MalformedTransaction
from dag.fields import (
    MAX_MEMBERS,
    U53,
    as_map,
    as_tuple,
    check_bytes,
    check_digest,
    check_integer,
    check_keys,
    check_tuple,
)
from dag.ids import blob_cid, blob_link
from node.errors import LyingPeer

FORMAT = 1
MAX_MANIFEST_BYTES = 256 * 1024
MAX_CHUNKS = 6000

_LINKED = frozenset({"chunks", "groups"})
_SIZES = {"consortium": 32, "issuer": 20, "parameter_set": 16, "layout": 32, "proposal": 32}


@dataclass(frozen=True)
class UpdateManifest:
    """What an update transaction points to: one hospital's sealed update."""

    consortium: bytes
    """Which consortium this is, 32 bytes."""
    epoch: int
    """Key epoch whose joint key encrypted the chunks."""
    round: int
    """Round the update was trained for."""
    issuer: bytes
    """Address (20 bytes) of the hospital; must be the transaction's issuer, so nobody re-posts another's update."""
    parameter_set: bytes
    """Id (16 bytes) of the encryption parameters."""
    layout: bytes
    """Digest (32 bytes) of the layout manifest: names, shapes and ranges of the tensors."""
    size: int
    """Number of model parameters."""
    clipped: int
    """How many coordinates lay outside the range and were clipped."""
    chunks: tuple[str, ...]
    """CID of every ciphertext chunk, in order."""

    def to_bytes(self) -> bytes:
        """Canonical dag-cbor bytes."""
        return _encode("update", self)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Parse, raising `LyingPeer` with the field that is wrong."""
        return cls(**_decode("update", cls, data))


@dataclass(frozen=True)
class SumManifest:
    """What a proposal names per group: the sum of the group's updates."""

    consortium: bytes
    """Which consortium this is, 32 bytes."""
    epoch: int
    """Key epoch of the ciphertexts."""
    round: int
    """Round of the sum."""
    updates: tuple[bytes, ...]
    """Transaction ids of the summed updates, in the order they were added."""
    chunks: tuple[str, ...]
    """CID of every ciphertext chunk of the sum, in order."""

    def to_bytes(self) -> bytes:
        """Canonical dag-cbor bytes."""
        return _encode("sum", self)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Parse, raising `LyingPeer` with the field that is wrong."""
        return cls(**_decode("sum", cls, data))


@dataclass(frozen=True)
class ShareManifest:
    """What a share transaction points to: one member's partial openings, sealed to the members."""

    consortium: bytes
    """Which consortium this is, 32 bytes."""
    epoch: int
    """Key epoch of the ciphertexts."""
    round: int
    """Round of the sums."""
    proposal: bytes
    """Transaction id of the proposal that asked for the opening."""
    member: int
    """Index of the member whose partial openings these are."""
    groups: tuple[tuple[str, ...], ...]
    """Per group, the CID of every sealed partial opening, one a chunk."""

    def to_bytes(self) -> bytes:
        """Canonical dag-cbor bytes."""
        return _encode("share", self)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Parse, raising `LyingPeer` with the field that is wrong."""
        return cls(**_decode("share", cls, data))


def _encode(kind: str, record: UpdateManifest | SumManifest | ShareManifest) -> bytes:
    body: dict[str, Any] = {"v": FORMAT, "kind": kind}
    for field in fields(record):
        value = getattr(record, field.name)
        body[field.name] = _links(value) if field.name in _LINKED else value
    data = codec.encode(body)
    if len(data) > MAX_MANIFEST_BYTES:
        raise LyingPeer(f"{kind} manifest of {len(data)} bytes exceeds {MAX_MANIFEST_BYTES}: too many chunks")
    return data


def _links(value: Any) -> Any:
    return [_links(item) for item in value] if isinstance(value, tuple) else codec.link(blob_link(value))


def _decode(kind: str, cls: type[Any], data: bytes) -> dict[str, Any]:
    names = [field.name for field in fields(cls)]
    try:
        body = as_map("manifest", codec.decode(data, MAX_MANIFEST_BYTES))
        check_keys("", body, frozenset({"v", "kind", *names}))
        _check_kind(kind, body)
        return {name: _checked(name, body[name]) for name in names}
    except (MalformedTransaction, MalformedIdentifier) as error:
        raise LyingPeer(f"{kind} manifest: {error}") from None


def _check_kind(kind: str, body: dict[str, object]) -> None:
    known = type(body["v"]) is int and body["v"] == FORMAT  # CBOR's simple value 1 equals 1 as well
    if not known or body["kind"] != kind:
        raise MalformedTransaction("kind", f"expected a {kind} manifest of format {FORMAT}")


def _checked(name: str, value: object) -> object:
    if name == "chunks":
        return _cids(name, value)
    if name == "groups":
        groups = as_tuple(name, value)
        check_tuple(name, groups, 1, MAX_MEMBERS)
        return tuple(_cids(f"{name}[{number}]", group) for number, group in enumerate(groups))
    if name == "updates":
        ids = as_tuple(name, value)
        check_tuple(name, ids, 1, MAX_MEMBERS)
        for number, tx_id in enumerate(ids):
            check_digest(f"{name}[{number}]", tx_id)
        return ids
    if name in _SIZES:
        check_bytes(name, value, _SIZES[name])
    else:
        check_integer(name, value, 0, U53)
    return value


def _cids(name: str, value: object) -> tuple[str, ...]:
    links = as_tuple(name, value)
    check_tuple(name, links, 1, MAX_CHUNKS)
    return tuple(blob_cid(codec.linked(f"{name}[{number}]", item)) for number, item in enumerate(links))
