"""Reading a data card that somebody shows: the bytes its digest is of, or the JSON that people pass around.

Both are a stranger's until the digest is found on chain; so each field is checked, and JSON only counts with the digest it says.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from chain import jsontext
from dag.codec import decode
from dag.errors import LedgerError
from node.images.card import VERSION, DataCard
from node.images.errors import BadCard
from node.images.record import MAX_CLASSES, MAX_SIDE, MIN_SIDE

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_CARD_BYTES: Final = 65_536
MAX_NAME_CHARS: Final = 256
MILLION: Final = 1_000_000
_MOST: Final = 2**32 - 1
_NUMBERS: Final = {
    "patients": (1, _MOST),
    "height": (MIN_SIDE, MAX_SIDE),
    "width": (MIN_SIDE, MAX_SIDE),
    "mean_ppm": (0, MILLION),
    "deviation_ppm": (0, MILLION),
    "version": (VERSION, VERSION),
}
_REQUIRED: Final = frozenset({*_NUMBERS, "classes", "content", "synthetic"})
_TEXT_KEYS: Final = frozenset(
    {"version", "images", "patients", "classes", "size", "mean", "deviation", "synthetic", "content", "digest"}
)


def card_from_bytes(data: bytes) -> DataCard:
    """The card whose `to_bytes` these are, from whoever shows it.

    Args:
        data: At most 64 KiB of canonical CBOR.

    Raises:
        BadCard: Naming the first bad field.
    """
    try:
        fields = decode(data, MAX_CARD_BYTES)
    except LedgerError:
        raise BadCard(f"data card: not canonical CBOR (RFC 8949, 4.2.1) of at most {MAX_CARD_BYTES} bytes") from None
    if not isinstance(fields, dict):
        raise BadCard(f"data card: expected a map of fields, found {type(fields).__name__}")
    return _card(fields)


def card_from_json(text: bytes, part: str = "train") -> DataCard:
    """The card in a JSON file: `to_json` of one card, or the `card.json` that holds one for each part of a set.

    Args:
        text: At most 64 KiB.
        part: Which one, where there are several.

    Raises:
        BadCard: Naming the first bad field; also where the fields have another digest than the file says.
    """
    if len(text) > MAX_CARD_BYTES:
        raise BadCard(f"data card: {len(text)} bytes, at most {MAX_CARD_BYTES} are accepted")
    try:
        found = jsontext.parse(text)
    except ValueError as error:
        raise BadCard(f"data card: no JSON ({error})") from None
    if isinstance(found, dict) and "content" not in found:
        found = found.get(part)
    if not isinstance(found, dict) or found.keys() - {"cropped"} != _TEXT_KEYS:
        raise BadCard(f"data card: expected an object with the fields {', '.join(sorted(_TEXT_KEYS))}")
    card = _card(_fields(found))
    for name, shown, own in (("images", found["images"], card.images), ("digest", found["digest"], card.digest.hex())):
        if shown != own:
            raise BadCard(f"data card: {name}: the other fields give {own}, the file says {str(shown)[:80]}")
    return card


def _fields(shown: dict[str, Any]) -> dict[str, Any]:
    """What `_card` takes, from what `DataCard.to_json` wrote; values of another kind are passed on, to be refused there."""
    classes, size = shown["classes"], shown["size"]
    if not isinstance(size, list) or len(size) != 2:
        raise BadCard("data card: size: expected height and width in pixels")
    return {
        "classes": list(classes.items()) if isinstance(classes, dict) else classes,
        "patients": shown["patients"],
        "height": size[0],
        "width": size[1],
        "mean_ppm": _millionths("mean", shown["mean"]),
        "deviation_ppm": _millionths("deviation", shown["deviation"]),
        "content": _unhex(shown["content"]),
        "synthetic": shown["synthetic"],
        "version": shown["version"],
        **({"cropped": shown["cropped"]} if "cropped" in shown else {}),
    }


def _millionths(name: str, share: object) -> int:
    if not isinstance(share, int | float) or isinstance(share, bool) or not 0 <= share <= 1:
        raise BadCard(f"data card: {name}: expected a number from 0 (black) to 1 (white)")
    return round(share * MILLION)


def _unhex(text: object) -> object:
    try:
        return bytes.fromhex(text) if isinstance(text, str) else text
    except ValueError:
        return text


def _card(fields: dict[str, Any]) -> DataCard:
    """A card of checked fields."""
    if fields.keys() - {"cropped"} != _REQUIRED:
        raise BadCard(f"data card: expected the fields {', '.join(sorted(_REQUIRED))}")
    for name, (low, high) in _NUMBERS.items():
        _verify_number(name, fields[name], low, high)
    if not isinstance(fields["content"], bytes) or len(fields["content"]) != 32:
        raise BadCard("data card: content: expected 32 bytes")
    if not isinstance(fields["synthetic"], bool):
        raise BadCard("data card: synthetic: expected true or false")
    cropped = fields.get("cropped", "")
    if "cropped" in fields and (not isinstance(cropped, str) or re.fullmatch(r"[0-9a-f]{64}", cropped) is None):
        raise BadCard("data card: cropped: expected the 64 hex digits of a network's digest, or no such field")
    card = DataCard(**{**fields, "classes": tuple(_classes(fields["classes"]))})
    if not 1 <= card.images <= _MOST or card.patients > card.images:
        raise BadCard(f"data card: expected as many images as patients or more, found {card.images}, {card.patients}")
    return card


def _classes(rows: object) -> Iterable[tuple[str, int]]:
    if not isinstance(rows, list | tuple) or not 2 <= len(rows) <= MAX_CLASSES:
        raise BadCard(f"data card: classes: expected 2 to {MAX_CLASSES} names with a count each")
    seen: set[str] = set()
    for row in rows:
        if not isinstance(row, list | tuple) or len(row) != 2:
            raise BadCard("data card: classes: expected a name and a count")
        name, count = row
        if not isinstance(name, str) or len(name) > MAX_NAME_CHARS or name in seen:
            raise BadCard(f"data card: classes: expected different names of at most {MAX_NAME_CHARS} characters")
        seen.add(name)
        _verify_number(f"classes, {name[:40]}", count, 0, _MOST)
        yield name, count


def _verify_number(name: str, value: object, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise BadCard(f"data card: {name}: expected a whole number from {low} to {high}")
