"""Whom an outsider trusts together: the members of one consortium, as a file to keep.

`members.json` is all that somebody needs to check proofs for years without network or chain: who the members are and which
addresses they sign with. It has to come from a source the reader trusts (the chain's registry, a contract on paper).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from dag.errors import MalformedNote
from dag.fields import MAX_MEMBERS
from dag.ids import ADDRESS_BYTES, ID_BYTES
from dag.proofs.jsontext import parse_json

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_FILE_BYTES: Final = 256 * 1024
_MAX_NAME: Final = 200


@dataclass(frozen=True)
class Witness:
    """One member.

    Attributes:
        index: its position in the registry, 0 … 255.
        name: its display name.
        address: its address (20 bytes).
    """

    index: int
    name: str
    address: bytes


@dataclass(frozen=True)
class Witnesses:
    """The members of a consortium.

    Attributes:
        consortium: its id (32 bytes).
        members: ascending by index; one at least, no address twice.
    """

    consortium: bytes
    members: tuple[Witness, ...]

    @property
    def quorum(self) -> int:
        """Members that confirm together: ⌈2N/3⌉."""
        return -(-2 * len(self.members) // 3)

    @cached_property
    def by_address(self) -> Mapping[bytes, Witness]:
        """Members by address."""
        return {member.address: member for member in self.members}

    def to_json(self) -> str:
        """The file's text."""
        members = [
            {"index": member.index, "name": member.name, "account": f"0x{member.address.hex()}"}
            for member in self.members
        ]
        return (
            json.dumps({"consortium": self.consortium.hex(), "members": members}, indent=2, ensure_ascii=False) + "\n"
        )

    @classmethod
    def from_json(cls, raw: bytes) -> Witnesses:
        """What `to_json` wrote, from a file that anybody may have made.

        Raises:
            MalformedNote: names the key that is wrong.
        """
        content = parse_json("members file", raw, MAX_FILE_BYTES)
        _check_map("members file", content, {"consortium", "members"})
        rows = content["members"]
        if not isinstance(rows, list) or not 1 <= len(rows) <= MAX_MEMBERS:
            raise MalformedNote("members", f"expected a list of 1…{MAX_MEMBERS}")
        members = tuple(_witness(f"members[{number}]", row) for number, row in enumerate(rows))
        for key in ("index", "address"):
            if len({getattr(member, key) for member in members}) != len(members):
                raise MalformedNote("members", f"an {key} stands twice")
        if list(members) != sorted(members, key=lambda member: member.index):
            raise MalformedNote("members", "expected ascending indices")
        return cls(_hex("consortium", content["consortium"], ID_BYTES), members)


def _witness(field: str, row: Any) -> Witness:
    _check_map(field, row, {"index", "name", "account"})
    index, name, account = row["index"], row["name"], row["account"]
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < MAX_MEMBERS:
        raise MalformedNote(f"{field}.index", f"expected an integer 0…{MAX_MEMBERS - 1}")
    if not isinstance(name, str) or not 1 <= len(name) <= _MAX_NAME or not name.isprintable():
        raise MalformedNote(f"{field}.name", f"expected 1…{_MAX_NAME} printable characters")
    if not isinstance(account, str) or not account.startswith("0x"):
        raise MalformedNote(f"{field}.account", "expected an address, 0x and 40 hex digits")
    return Witness(index, name, _hex(f"{field}.account", account[2:].lower(), ADDRESS_BYTES))


def _check_map(field: str, value: Any, keys: set[str]) -> None:
    if not isinstance(value, dict) or set(value) != keys:
        raise MalformedNote(field, f"expected an object with {', '.join(sorted(keys))}")


def _hex(field: str, value: Any, size: int) -> bytes:
    try:
        data = bytes.fromhex(value) if isinstance(value, str) else b""
    except ValueError:
        data = b""
    if len(data) != size or data.hex() != value:
        raise MalformedNote(field, f"expected {2 * size} lower-case hex digits")
    return data
