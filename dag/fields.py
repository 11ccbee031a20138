"""Checks on single fields. Each returns nothing and raises `MalformedTransaction` naming the field."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

from dag.errors import MalformedIdentifier, MalformedTransaction
from dag.ids import ADDRESS_BYTES, ID_BYTES, blob_link

if TYPE_CHECKING:
    from collections.abc import Mapping

PPM: Final = 1_000_000
MAX_MEMBERS: Final = 256
U32: Final = 2**32 - 1
U53: Final = 2**53 - 1  # the largest integer every JSON reader keeps exact


def check_integer(field: str, value: object, low: int, high: int) -> None:
    """Demands an integer (not a bool) with low ≤ value ≤ high."""
    if type(value) is int and low <= value <= high:
        return
    if not isinstance(value, int) or isinstance(value, bool):
        raise MalformedTransaction(field, f"expected an integer, found {type(value).__name__}")
    if not low <= value <= high:
        raise MalformedTransaction(
            field, f"{value if abs(value) <= 2**64 else 'a huge number'} is outside {low}…{high}"
        )


def check_bytes(field: str, value: object, size: int) -> None:
    """Demands exactly `size` bytes."""
    if type(value) is bytes and len(value) == size:
        return
    if not isinstance(value, bytes):
        raise MalformedTransaction(field, f"expected {size} bytes, found {type(value).__name__}")
    if len(value) != size:
        raise MalformedTransaction(field, f"expected {size} bytes, found {len(value)}")


def check_digest(field: str, value: object) -> None:
    """Demands a 32-byte digest."""
    check_bytes(field, value, ID_BYTES)


def check_address(field: str, value: object) -> None:
    """Demands a 20-byte address."""
    check_bytes(field, value, ADDRESS_BYTES)


def check_blob(field: str, value: object) -> None:
    """Demands the CID text of a blob (codec raw or dag-pb)."""
    if not isinstance(value, str):
        raise MalformedTransaction(field, f"expected a CID, found {type(value).__name__}")
    try:
        blob_link(value)
    except MalformedIdentifier as error:
        raise MalformedTransaction(field, str(error)) from None


def check_tuple(field: str, value: object, low: int, high: int) -> None:
    """Demands a tuple of low … high entries (of whatever type)."""
    if not isinstance(value, tuple):
        raise MalformedTransaction(field, f"expected a list, found {type(value).__name__}")
    if not low <= len(value) <= high:
        raise MalformedTransaction(field, f"{len(value)} entries, expected {low}…{high}")


def check_ascending(field: str, value: tuple[object, ...]) -> None:
    """Demands strictly ascending entries, so that a set has one written form."""
    for position, (one, two) in enumerate(pairwise(value)):
        if not one < two:  # type: ignore[operator]
            raise MalformedTransaction(f"{field}[{position + 1}]", "entries must ascend strictly")


def check_keys(field: str, value: Mapping[str, object], expected: frozenset[str]) -> None:
    """Demands exactly the expected keys."""
    found = frozenset(value)
    if missing := sorted(expected - found):
        raise MalformedTransaction(f"{field}.{missing[0]}" if field else missing[0], "missing")
    if spare := sorted(found - expected):
        raise MalformedTransaction(f"{field}.{spare[0][:40]}" if field else spare[0][:40], "no such field")


def as_map(field: str, value: object) -> dict[str, object]:
    """The value as a map with text keys.

    Raises:
        MalformedTransaction: it is something else.
    """
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise MalformedTransaction(field, f"expected a map with text keys, found {type(value).__name__}")
    return value


def as_tuple(field: str, value: object) -> tuple[object, ...]:
    """The value, a decoded list, as a tuple.

    Raises:
        MalformedTransaction: it is something else.
    """
    if not isinstance(value, list):
        raise MalformedTransaction(field, f"expected a list, found {type(value).__name__}")
    return tuple(value)
