"""What answers are made of: identifiers as text, pages, problem documents; and what callers name things by.

Shapes are read by the typed client too: an answer of a newer node may have more fields, which are left out.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from dag.ids import tx_id_of
from node.errors import BadInput

PPM: Final = 1_000_000

Digest = Annotated[
    str,
    Field(
        pattern=r"^[0-9a-f]{64}$",
        description="32 bytes in hex.",
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    ),
]
TransactionCid = Annotated[
    str,
    Field(
        pattern=r"^bafyrei[a-z2-7]{52}$",
        description="A transaction's id as CIDv1: dag-cbor, sha2-256, base32.",
        examples=["bafyreigdvxqsgpuhgmzrrqbpjh3cfa7rn6rrgvkqs6d6dyrxsk4sohhbsa"],
    ),
]
BlobCid = Annotated[
    str,
    Field(
        pattern=r"^baf[a-z2-7]{56}$",
        description="A blob's CIDv1: raw or dag-pb, sha2-256, base32.",
        examples=["bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"],
    ),
]
Address = Annotated[
    str,
    Field(
        pattern=r"^0x[0-9a-fA-F]{40}$",
        description="A chain account, with the checksum of EIP-55.",
        examples=["0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"],
    ),
]
Name = Annotated[str, Field(description="A hospital's name, as the chain registered it.", examples=["St. Elisabeth"])]
Count = Annotated[int, Field(ge=0, examples=[4])]
RoundNumber = Annotated[int, Field(ge=0, le=2**53 - 1, description="Number of a round.", examples=[7])]
Seat = Annotated[
    int, Field(ge=0, le=255, description="A member's index: where it stands in the registry, for ever.", examples=[2])
]
Share = Annotated[float, Field(ge=0, le=1, description="A share, 0 to 1.", examples=[0.875])]
Seconds = Annotated[float, Field(description="A moment, as Unix seconds.", examples=[1764000000.0])]
Cursor = Annotated[
    str | None,
    Field(description="Ask for the next page with it; null on the last one.", examples=["AQ8fH4t1c0NrAAAAAAAAAGM"]),
]
Bytes = Annotated[int, Field(ge=0, description="Bytes.", examples=[1048576])]
Line = Annotated[str, Field(description="One line for people.", examples=["training 40%"])]
Loose = Annotated[
    dict[str, Any], Field(description="An object whose fields depend on what it is about.", examples=[{}])
]


class Shape(BaseModel):
    """Base of everything that is answered as JSON."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Problem(Shape):
    """Why a request was not carried out (RFC 9457)."""

    type: str = Field(
        examples=["about:blank"], description="A URI for this kind of problem; about:blank: its status says all."
    )
    title: str = Field(examples=["Not Found"], description="The status in words.")
    status: int = Field(ge=400, le=599, examples=[404], description="The HTTP status.")
    detail: str = Field(examples=["there is no round 9"], description="One line for a person.")


def transaction_id(text: str) -> bytes:
    """A transaction id from its CID or 64 hex digits.

    Raises:
        BadInput: Neither.
    """
    if len(text) == 64:
        return digest(text)
    return tx_id_of(text)


def digest(text: str) -> bytes:
    """A 32-byte digest from hex, with or without 0x.

    Raises:
        BadInput: Not that.
    """
    try:
        value = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        value = b""
    if len(value) != 32:  # fromhex skips blanks, so the length alone tells
        raise BadInput(f"{text[:80]!r} is not a digest of 64 hex digits")
    return value


def address(text: str) -> bytes:
    """The 20 bytes of an account from hex, with or without 0x; the checksum of EIP-55 is not asked for.

    Raises:
        BadInput: Not that.
    """
    try:
        value = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        value = b""
    if len(value) != 20:
        raise BadInput(f"{text[:80]!r} is not an address of 40 hex digits")
    return value


def plain(value: Any) -> Any:
    """A value of a record as JSON."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value


def checksummed(account: bytes) -> str:
    """An account (20 bytes) as text with the checksum of EIP-55."""
    from eth_utils.address import to_checksum_address

    return str(to_checksum_address(account))
