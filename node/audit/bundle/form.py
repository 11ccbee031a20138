"""The file itself: a ZIP of stored entries, read without trust and written in one go (docs/spec/bundle.md)."""

from __future__ import annotations

import json
import os
import re
import zipfile
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from chain.deployment import Deployment
from chain.errors import ChainError
from node.audit.bundle.blocks import Block
from node.audit.errors import BadBundle, MalformedBlock
from node.audit.evidence import MAX_BLOB_BYTES, Damage, Sighting
from node.storage import BadCid, blob_cid, parse_blob_cid

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

FORMAT: Final = "medweave-bundle/1"
MANIFEST: Final = "bundle.json"
BLOCKS: Final = "chain/blocks.json"
BLOBS: Final = "blobs/"
ENVELOPES: Final = "envelopes/"
MODEL: Final = "model.bin"

MAX_BUNDLE_BYTES: Final = 64 * 1024**3
MAX_ENTRIES: Final = 2_000_000
MAX_MANIFEST_BYTES: Final = 64 * 1024
MAX_BLOCKS_BYTES: Final = 512 * 1024**2
MAX_ENVELOPE_BYTES: Final = 512 * 1024
MAX_MODEL_BYTES: Final = 512 * 1024**2

_TIME: Final = (1980, 1, 1, 0, 0, 0)
_ENVELOPE: Final = re.compile(r"envelopes/[1-9][0-9]{0,15}\.json", re.ASCII)
_HASH: Final = re.compile(r"0x[0-9a-f]{64}")
_KEYS: Final = {"format", "deployment", "head", "model", "software"}
_BLOCK_KEYS: Final = ({"header"}, {"header", "transactions", "receipts"})


@dataclass(frozen=True)
class Manifest:
    """What a bundle is about."""

    deployment: Deployment
    number: int
    """Number of the last block."""
    head: bytes
    """Its hash, 32 bytes."""
    model: bytes | None
    """Hash of the audited model; None for the newest one."""
    software: str
    """What wrote it."""

    def to_bytes(self) -> bytes:
        """The canonical JSON."""
        record = asdict(self.deployment) | {"consortium": f"0x{self.deployment.consortium.hex()}"}
        return canonical(
            {
                "format": FORMAT,
                "deployment": record,
                "head": {"number": self.number, "hash": f"0x{self.head.hex()}"},
                "model": None if self.model is None else self.model.hex(),
                "software": self.software,
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        """What `to_bytes` wrote.

        Raises:
            MalformedBlock: Naming the field that is wrong.
        """
        content = _parsed(data, MANIFEST)
        if not isinstance(content, dict) or set(content) != _KEYS or content["format"] != FORMAT:
            raise MalformedBlock(MANIFEST, f"expected the keys {sorted(_KEYS)}, and format {FORMAT}")
        head, model, software = content["head"], content["model"], content["software"]
        if not isinstance(head, dict) or set(head) != {"number", "hash"}:
            raise MalformedBlock(MANIFEST, "field head: expected number and hash")
        if type(head["number"]) is not int or not 0 <= head["number"] < 2**53:
            raise MalformedBlock(MANIFEST, "field head.number: expected a whole number")
        if not isinstance(head["hash"], str) or not _HASH.fullmatch(head["hash"]):
            raise MalformedBlock(MANIFEST, "field head.hash: expected 0x and 64 hex digits")
        if model is not None and (not isinstance(model, str) or not _HASH.fullmatch(f"0x{model}")):
            raise MalformedBlock(MANIFEST, "field model: expected 64 hex digits or null")
        if not isinstance(software, str) or len(software) > 80:
            raise MalformedBlock(MANIFEST, "field software: expected at most 80 characters")
        try:
            deployment = Deployment.from_json(json.dumps(content["deployment"]))
        except ChainError as error:
            raise MalformedBlock(MANIFEST, f"field deployment: {error}") from None
        wanted = None if model is None else bytes.fromhex(model)
        return cls(deployment, head["number"], bytes.fromhex(head["hash"][2:]), wanted, software)


class Bundle:
    """A bundle opened for reading; an `Evidence` of its blobs.

    Args:
        path: The file.

    Raises:
        BadBundle: It is no ZIP file, or its directory is not a bundle's.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            if path.stat().st_size > MAX_BUNDLE_BYTES:
                raise BadBundle(str(path), f"it is larger than {MAX_BUNDLE_BYTES} bytes")
            self._zip = zipfile.ZipFile(path)
        except OSError as error:
            raise BadBundle(str(path), error.strerror or str(error)) from None
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise BadBundle(str(path), f"it is no ZIP file: {error}") from None
        try:
            self._entries = self._directory()
        except BadBundle:
            self._zip.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._zip.close()

    def manifest(self) -> Manifest:
        """What it is about. Raises MalformedBlock."""
        return Manifest.from_bytes(self._needed(MANIFEST, MAX_MANIFEST_BYTES))

    def blocks(self) -> tuple[Block, ...]:
        """The chain in it; whether the blocks are true is not looked at. Raises MalformedBlock."""
        content = _parsed(self._needed(BLOCKS, MAX_BLOCKS_BYTES), BLOCKS)
        if not isinstance(content, list):
            raise MalformedBlock(BLOCKS, "expected an array")
        return tuple(_block(place, entry) for place, entry in enumerate(content))

    def model_file(self) -> bytes | None:
        """The model's file; None where there is none. Raises MalformedBlock."""
        return self._needed(MODEL, MAX_MODEL_BYTES) if MODEL in self._entries else None

    def look(self, cid: str) -> Sighting:
        """See `node.audit.evidence.Evidence.look`."""
        parse_blob_cid(cid)
        name, where = BLOBS + cid, f"{self.path}/{BLOBS}{cid}"
        if name not in self._entries:
            return Sighting(None, absent=(str(self.path),))
        try:
            data = self._read(name, MAX_BLOB_BYTES)
        except MalformedBlock as error:
            return Sighting(None, damaged=(Damage(cid, where, error.problem),))
        actual = blob_cid(data)
        if actual != cid:
            return Sighting(None, damaged=(Damage(cid, where, f"its bytes have CID {actual}"),))
        return Sighting(data)

    def envelope(self, number: int) -> bytes | None:
        """See `node.audit.evidence.Evidence.envelope`; a damaged entry is given as nothing that anybody signed."""
        name = f"{ENVELOPES}{number}.json"
        if name not in self._entries:
            return None
        try:
            return self._read(name, MAX_ENVELOPE_BYTES)
        except MalformedBlock as error:
            return error.problem.encode()

    def _directory(self) -> dict[str, zipfile.ZipInfo]:
        entries: dict[str, zipfile.ZipInfo] = {}
        infos = self._zip.infolist()
        if len(infos) > MAX_ENTRIES:
            raise BadBundle(str(self.path), f"it has {len(infos)} entries, at most {MAX_ENTRIES} are read")
        for info in infos:
            if info.filename in entries:
                raise BadBundle(str(self.path), f"entry {info.filename[:80]} is there twice")
            if not _is_known(info.filename):
                raise BadBundle(str(self.path), f"entry {info.filename[:80]!r} belongs into no bundle")
            if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
                raise BadBundle(str(self.path), f"entry {info.filename[:80]} is not stored as it is")
            entries[info.filename] = info
        return entries

    def _needed(self, name: str, limit: int) -> bytes:
        if name not in self._entries:
            raise MalformedBlock(name, "the bundle does not hold it")
        return self._read(name, limit)

    def _read(self, name: str, limit: int) -> bytes:
        info = self._entries[name]
        if info.file_size > limit:
            raise MalformedBlock(name, f"it has {info.file_size} bytes, at most {limit} are read")
        try:
            return self._zip.read(info)
        except (zipfile.BadZipFile, OSError, ValueError, EOFError, NotImplementedError) as error:
            raise MalformedBlock(name, f"its bytes are damaged: {error}") from None


class Writer:
    """A bundle being written; each entry at most once.

    Args:
        archive: Where to.
    """

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._zip = archive
        self._kept: set[str] = set()

    def put(self, name: str, data: bytes) -> None:
        """Add an entry."""
        info = zipfile.ZipInfo(name, _TIME)
        info.external_attr = 0o644 << 16
        self._zip.writestr(info, data, zipfile.ZIP_STORED)

    def put_once(self, name: str, data: bytes) -> None:
        """Add an entry, unless it is there already."""
        if name not in self._kept:
            self._kept.add(name)
            self.put(name, data)

    def put_blocks(self, blocks: Sequence[Block]) -> None:
        """Add the chain."""
        self.put(BLOCKS, canonical([_plain(block) for block in blocks]))

    @property
    def kept(self) -> int:
        """How many entries were added by `put_once`."""
        return len(self._kept)


@contextmanager
def writing(path: Path) -> Iterator[Writer]:
    """A bundle that appears under its name only when it is whole and on the disk.

    Raises:
        BadBundle: The file cannot be written.
    """
    partial = path.with_name(path.name + ".part")
    try:
        with partial.open("wb") as stream:
            with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
                yield Writer(archive)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except OSError as error:
        raise BadBundle(str(path), f"cannot be written: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)


def canonical(content: object) -> bytes:
    """Canonical JSON: sorted keys, no white space, UTF-8."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _parsed(data: bytes, name: str) -> Any:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise MalformedBlock(name, f"it is no JSON: {error}") from None
    try:
        same = canonical(content) == data
    except UnicodeEncodeError:
        same = False
    if not same:
        raise MalformedBlock(name, "it is not in canonical form")
    return content


def _block(place: int, entry: object) -> Block:
    if not isinstance(entry, dict) or set(entry) not in _BLOCK_KEYS:
        raise MalformedBlock(f"{BLOCKS}[{place}]", "expected a header, and transactions and receipts or neither")
    if len(entry) == 1:
        return Block(_hex(place, entry["header"]))
    lists = [entry[name] for name in ("transactions", "receipts")]
    if not all(isinstance(values, list) for values in lists) or len(lists[0]) != len(lists[1]):
        raise MalformedBlock(f"{BLOCKS}[{place}]", "expected as many transactions as receipts")
    transactions, receipts = (tuple(_hex(place, value) for value in values) for values in lists)
    return Block(_hex(place, entry["header"]), transactions, receipts)


def _hex(place: int, value: object) -> bytes:
    if not isinstance(value, str) or not re.fullmatch(r"0x(?:[0-9a-f]{2})+", value):
        raise MalformedBlock(f"{BLOCKS}[{place}]", "expected 0x and hex digits")
    return bytes.fromhex(value[2:])


def _plain(block: Block) -> dict[str, Any]:
    content: dict[str, Any] = {"header": f"0x{block.header_rlp.hex()}"}
    if block.transactions is not None and block.receipts is not None:
        content["transactions"] = [f"0x{raw.hex()}" for raw in block.transactions]
        content["receipts"] = [f"0x{raw.hex()}" for raw in block.receipts]
    return content


def _is_known(name: str) -> bool:
    if name in {MANIFEST, BLOCKS, MODEL} or _ENVELOPE.fullmatch(name):
        return True
    try:
        parse_blob_cid(name.removeprefix(BLOBS))
    except BadCid:
        return False
    return name.startswith(BLOBS)
