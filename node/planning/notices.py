"""A hospital's notice that its images changed: how many there are and the digest of their card, signed; no image, no patient.

    message = {"notices": [{"images", "digest", "after", "made_at", "signature"}, …]}

The signature (EIP-712 `DataNotice(uint256 images,bytes32 digest,uint256 after,uint256 madeAt)`, domain of the rounds' contract) names
chain and consortium; who signed is recovered, never told. A hospital's newest notice counts; `after` is the newest round it knew when it
signed, which needs no clock to be compared with the rounds on chain.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from chain import jsontext
from chain.errors import BadArgument, ChainError
from chain.records import checked_digest, checked_integer
from chain.votes import Vote, recover_vote_signer, sign_vote
from node.errors import BadMotion

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eth_account.signers.local import LocalAccount

    from chain.deployment import Deployment

MAX_MESSAGE_BYTES = 1 << 17
"""A notice of every member of the largest consortium fits."""
MAX_NOTICES = 256
_KEYS = frozenset({"images", "digest", "after", "made_at", "signature"})


@dataclass(frozen=True, kw_only=True)
class DataNotice(Vote):
    """What a hospital signs when its images changed; no contract reads it.

    Attributes:
        images: How many it trains on, 0 to 2^32 - 1.
        digest: Of the images' data card, 32 bytes.
        after: The newest round it knew of; 0 before the first.
        made_at: Unix seconds, by its own clock; tells its notices of one round apart.
    """

    images: int
    digest: bytes
    after: int
    made_at: int

    CONTRACT: ClassVar[str] = "rounds"
    TYPES: ClassVar[dict[str, list[dict[str, str]]]] = {
        "DataNotice": [
            {"name": "images", "type": "uint256"},
            {"name": "digest", "type": "bytes32"},
            {"name": "after", "type": "uint256"},
            {"name": "madeAt", "type": "uint256"},
        ]
    }

    def __post_init__(self) -> None:
        checked_integer("images", self.images, 0, 2**32 - 1)
        checked_digest("digest", self.digest)
        checked_integer("after", self.after, 0, 2**53)
        checked_integer("made_at", self.made_at, 0, 2**53)

    @property
    def age(self) -> tuple[int, int]:
        """Orders one hospital's notices, the newest last."""
        return self.after, self.made_at


@dataclass(frozen=True)
class SignedNotice:
    """A notice under its signature."""

    notice: DataNotice
    signature: bytes
    """65 bytes."""

    @classmethod
    def make(cls, notice: DataNotice, deployment: Deployment, account: LocalAccount) -> SignedNotice:
        """Sign a notice."""
        return cls(notice, sign_vote(notice, deployment, account))

    def signer(self, deployment: Deployment) -> str:
        """Who signed, checksummed hex.

        Raises:
            BadMotion: The bytes are no signature.
        """
        try:
            return recover_vote_signer(self.notice, self.signature, deployment)
        except BadArgument as error:
            raise BadMotion(f"notice: {error}") from None

    def to_json(self) -> dict[str, Any]:
        """The fields as plain values."""
        n = self.notice
        return {
            "images": n.images,
            "digest": n.digest.hex(),
            "after": n.after,
            "made_at": n.made_at,
            "signature": self.signature.hex(),
        }


def pack(notices: Iterable[SignedNotice]) -> bytes:
    """A message with these notices, the first `MAX_NOTICES`."""
    rows = [notice.to_json() for notice in notices][:MAX_NOTICES]
    return json.dumps({"notices": rows}, separators=(",", ":")).encode()


def unpack(message: bytes) -> tuple[SignedNotice, ...]:
    """What a message from a hostile sender holds, checked for form; whose the signatures are is not looked at yet.

    Raises:
        BadMotion: Naming what is wrong.
    """
    if len(message) > MAX_MESSAGE_BYTES:
        raise BadMotion(f"notices: {len(message)} bytes, at most {MAX_MESSAGE_BYTES} are accepted")
    try:
        found = jsontext.parse(message)
    except ValueError as error:
        raise BadMotion(f"notices: no JSON ({error})") from None
    rows = found.get("notices") if isinstance(found, dict) and found.keys() == {"notices"} else None
    if not isinstance(rows, list) or len(rows) > MAX_NOTICES:
        raise BadMotion(f"notices: expected an object with up to {MAX_NOTICES} notices")
    return tuple(map(_read, rows))


def _read(row: object) -> SignedNotice:
    if not isinstance(row, dict) or row.keys() != _KEYS:
        raise BadMotion(f"notice: expected the fields {', '.join(sorted(_KEYS))}")
    try:
        notice = DataNotice(
            images=row["images"], digest=_hex(row, "digest", 32), after=row["after"], made_at=row["made_at"]
        )
    except ChainError as error:
        raise BadMotion(f"notice: {error}") from None
    return SignedNotice(notice, _hex(row, "signature", 65))


def _hex(row: dict[str, Any], name: str, size: int) -> bytes:
    text = row[name]
    try:
        value = bytes.fromhex(text) if isinstance(text, str) and len(text) == 2 * size else b""
    except ValueError:
        value = b""
    if len(value) != size:
        raise BadMotion(f"notice: {name}: expected {size} bytes as {2 * size} hex digits")
    return value
