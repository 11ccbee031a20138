"""What a backup says of itself: its first member, and what `medweave restore --list` shows."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import Any, Final

from node.errors import BadInput

NAME: Final = "backup.json"
LONGEST: Final = 64 * 1024
"""Bytes of a manifest at most."""

_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")


@dataclass(frozen=True)
class Manifest:
    """What a backup is of.

    Attributes:
        made: When it was begun, RFC 3339, UTC.
        hospital: The hospital's name.
        account: Its chain account then.
        medweave: Version that made it.
        files: How many files it holds.
        size: Their bytes.
        left_out: What of the directory it does not hold though somebody may miss it; at most a hundred names.
    """

    made: str
    hospital: str
    account: str
    medweave: str
    files: int
    size: int
    left_out: tuple[str, ...] = ()

    def to_bytes(self) -> bytes:
        """Its JSON."""
        return json.dumps({"version": 1, **asdict(self)}, indent=1).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        """Read a manifest.

        Raises:
            BadInput: It is none; the message names the field.
        """
        try:
            row = json.loads(data)
        except ValueError:
            raise BadInput(f"{NAME}: is no JSON: this is no backup of a hospital's directory") from None
        if not isinstance(row, dict) or row.pop("version", None) != 1:
            raise BadInput(f"{NAME}: version: is not 1: this backup is of a later Medweave, update it first")
        fields: dict[str, Any] = {
            "made": _text(row, "made", _TIME),
            "hospital": _text(row, "hospital"),
            "account": _text(row, "account", _ADDRESS),
            "medweave": _text(row, "medweave"),
            "files": _count(row, "files"),
            "size": _count(row, "size"),
            "left_out": _names(row),
        }
        if unknown := set(row) - set(fields):
            raise BadInput(f"{NAME}: {min(map(str, unknown))[:80]!r} is no field of a backup")
        return cls(**fields)


def _text(row: dict[str, Any], name: str, form: re.Pattern[str] | None = None) -> str:
    value = row.get(name)
    if not isinstance(value, str) or len(value) > 200 or (form is not None and not form.fullmatch(value)):
        raise BadInput(f"{NAME}: {name}: is missing or has another form")
    return value


def _count(row: dict[str, Any], name: str) -> int:
    value = row.get(name)
    if type(value) is not int or not 0 <= value < 2**53:
        raise BadInput(f"{NAME}: {name}: is no count")
    return value


def _names(row: dict[str, Any]) -> tuple[str, ...]:
    value = row.get("left_out")
    if not isinstance(value, list) or len(value) > 100 or not all(isinstance(v, str) and len(v) <= 4096 for v in value):
        raise BadInput(f"{NAME}: left_out: is no list of at most 100 names")
    return tuple(value)
