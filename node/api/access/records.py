"""Reading and checking an access log (`node.api.access.book` writes it)."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import coincurve

from node.api.access.errors import BrokenLog
from node.calling.signatures import address_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

ZERO: Final = bytes(32)
MAX_LINE_BYTES: Final = 64 * 1024
_DOMAIN: Final = b"medweave/access-head/1\x00"
_SEGMENT: Final = re.compile(r"[0-9]{6,9}\.jsonl")


@dataclass(frozen=True)
class Place:
    """A line and where it stands."""

    segment: str
    """The file's name."""
    row: int
    """Its line in the file, from 1."""
    raw: bytes
    """Its bytes, with the newline."""
    content: dict[str, Any]
    """What it says."""


@dataclass(frozen=True)
class Checked:
    """What a log that holds amounts to."""

    lines: int
    """How many were read."""
    first: int
    """Number of the first one: above 1 where older files were taken away."""
    heads: int
    """Signed heads among them."""
    head: str
    """Number and `prev` of the newest head, as `N:HEX`; keep it elsewhere. Empty where nothing was signed."""
    unsigned: int
    """Lines after it: whoever holds the disk can still change those unnoticed."""


def segments(directory: Path) -> list[Path]:
    """The log's files, oldest first."""
    if not directory.is_dir():
        return []
    found = [path for path in directory.iterdir() if _SEGMENT.fullmatch(path.name)]
    return sorted(found, key=lambda path: int(path.stem))


def last_line(files: list[Path]) -> tuple[bytes | None, int]:
    """The last whole line of a log, and how many bytes of an unfinished one follow it."""
    torn = 0
    for position, path in enumerate(reversed(files)):
        data = path.read_bytes()
        end = data.rfind(b"\n") + 1
        torn += len(data) - end if position == 0 else 0
        if end:
            return data[data.rfind(b"\n", 0, end - 1) + 1 : end], torn
    return None, torn


def read_lines(directory: Path) -> Iterator[Place]:
    """Every line of a log, oldest first; only their form is checked. An unfinished one at the end is just being written.

    Raises:
        BrokenLog: A line is no JSON object of at most 64 KiB.
    """
    files = segments(directory)
    for path in files:
        with path.open("rb") as file:
            row = 0
            while raw := file.readline(MAX_LINE_BYTES + 1):
                if path == files[-1] and len(raw) <= MAX_LINE_BYTES and not raw.endswith(b"\n"):
                    return
                row += 1
                yield Place(path.name, row, raw, _content(path.name, row, raw))


def check(directory: Path, accounts: Collection[bytes], kept: str = "") -> Checked:
    """Check a log from its first line to its last.

    Args:
        directory: The log.
        accounts: Addresses (20 bytes) of the hospital's accounts, earlier ones included: who may have signed heads.
        kept: A head that was kept elsewhere, as `N:HEX`; the log has to contain it.

    Raises:
        BrokenLog: A line was changed, removed, put elsewhere or cut off, or a head is not this hospital's; with its place.
    """
    wanted = {**_kept_heads(directory), **_parsed(kept)}
    first, lines, heads, unsigned, head, last = 0, 0, 0, 0, "", ZERO
    for place in read_lines(directory):
        number, prev = place.content.get("n"), place.content.get("prev")
        if lines == 0:
            first = number if isinstance(number, int) and number > 0 else 1
            last = ZERO if first == 1 else _digest(prev)
        if number != first + lines:
            raise BrokenLog(
                place.segment, place.row, f"line {first + lines} is missing: line {number} stands in its place"
            )
        if prev != last.hex():
            raise BrokenLog(
                place.segment, place.row, f"line {first + lines - 1} before it is not the one that was written"
            )
        lines, unsigned = lines + 1, unsigned + 1
        if "head" in place.content:
            _check_head(place, first + lines - 1, last, accounts)
            heads, unsigned, head = heads + 1, 0, f"{number}:{prev}"
        if wanted.pop(first + lines - 1, prev) != prev:
            raise BrokenLog(place.segment, place.row, "another head was signed at this line")
        last = digest_of_line(place.raw)
    missing = [number for number in wanted if number >= first]
    if missing:
        raise BrokenLog(
            "the end", max(0, first + lines - 1), f"line {max(missing)} was signed, and is gone: the log was cut off"
        )
    return Checked(lines, first, heads, head, unsigned)


def digest_of_line(line: bytes) -> bytes:
    """What the next line says of this one."""
    return hashlib.sha256(line).digest()


def head_digest(number: int, last: bytes) -> bytes:
    """What is signed: the number of the head's own line, and everything above it."""
    return hashlib.sha256(_DOMAIN + number.to_bytes(8, "big") + last).digest()


def _check_head(place: Place, number: int, last: bytes, accounts: Collection[bytes]) -> None:
    try:
        signature = bytes.fromhex(place.content["head"])
        key = coincurve.PublicKey.from_signature_and_message(signature, head_digest(number, last), hasher=None)
    except Exception as error:  # noqa: BLE001  (the library raises bare Exception for r or s out of range)
        raise BrokenLog(place.segment, place.row, f"its head is not signed ({error})") from None
    if address_of(key.format(compressed=False)) not in accounts:
        raise BrokenLog(place.segment, place.row, "its head is not signed by an account of this hospital")


def _kept_heads(directory: Path) -> dict[int, str]:
    found = {}
    for path in sorted(directory.glob("head*.json")):
        content = _content(path.name, 1, path.read_bytes()[: MAX_LINE_BYTES + 1])
        if isinstance(content.get("n"), int):
            found[content["n"]] = str(content.get("prev"))
    return found


def _parsed(kept: str) -> dict[int, str]:
    number, _, prev = kept.partition(":")
    return {int(number): prev} if number.isdecimal() and len(number) < 16 else {}


def _content(name: str, row: int, raw: bytes) -> dict[str, Any]:
    try:
        if len(raw) > MAX_LINE_BYTES or not raw.endswith(b"\n"):
            raise BrokenLog(name, row, f"the line does not end, or has more than {MAX_LINE_BYTES} bytes")
        content = json.loads(raw)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise BrokenLog(name, row, "the line is no JSON object")
    return content


def _digest(text: object) -> bytes:
    try:
        return bytes.fromhex(str(text))
    except ValueError:
        return ZERO
