"""DAG-CBOR written by hand from its specification, to check the package's encoder: forty lines, no library."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cid:
    """A link: the binary CID."""

    binary: bytes


def encode(value: object) -> bytes:
    """The canonical bytes: shortest heads, map keys by length and then bytewise, links as tag 42."""
    match value:
        case None:
            return b"\xf6"
        case bool():
            return b"\xf5" if value else b"\xf4"
        case int():
            return head(0, value) if value >= 0 else head(1, -1 - value)
        case bytes():
            return head(2, len(value)) + value
        case str():
            raw = value.encode()
            return head(3, len(raw)) + raw
        case list() | tuple():
            return head(4, len(value)) + b"".join(map(encode, value))
        case dict():
            entries = sorted((encode(name), encode(item)) for name, item in value.items())  # heads carry the length
            return head(5, len(value)) + b"".join(name + item for name, item in entries)
        case Cid(binary):
            return head(6, 42) + encode(b"\x00" + binary)
    raise TypeError(type(value))


def head(major: int, number: int) -> bytes:
    """Major type and argument in the shortest form (RFC 8949, section 3)."""
    if number < 24:
        return bytes((major << 5 | number,))
    for extra, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 1 << 8 * size:
            return bytes((major << 5 | extra,)) + number.to_bytes(size, "big")
    raise OverflowError(number)
