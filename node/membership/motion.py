"""A motion: what members are asked to sign, and how it travels between nodes.

    motion  = {"kind": "Removal", "vote": {the fields of the EIP-712 record}, "signatures": ["65 bytes, hex", …]}
    message = {"motions": [motion, …]}

Digests, keys and bitmaps are hex; an account is checksummed hex. A motion's id is the digest that members sign, so it names
contract, chain, content, the count of decisions and the deadline; who signed is recovered, never told.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from chain.conduct import Fault
from chain.errors import BadArgument, ChainError
from chain.records import Hospital
from chain.votes import (
    Admission,
    Finding,
    PlanDecision,
    Removal,
    Resizing,
    Rotation,
    Vote,
    recover_vote_signer,
    vote_digest,
)
from node.errors import BadMotion

if TYPE_CHECKING:
    from collections.abc import Iterable

    from chain.deployment import Deployment

KINDS: dict[str, type[Vote]] = {
    kind.__name__: kind for kind in (Admission, Removal, Rotation, Resizing, PlanDecision, Finding)
}
MAX_MESSAGE_BYTES = 1 << 20
MAX_MOTIONS = 128
"""In one message."""
MAX_SIGNATURES = 512
"""In one message: each costs its reader a recovery."""
MAX_BRACKETS = 1024
_BITMAPS = frozenset({"members"})
_TEXT = re.compile(r'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_BRACKET = re.compile(r"[\[{]")


@dataclass(frozen=True)
class Motion:
    """What is voted on, under its id.

    Attributes:
        vote: The EIP-712 record.
        id: The 32 bytes that members sign.
    """

    vote: Vote
    id: bytes

    @classmethod
    def of(cls, vote: Vote, deployment: Deployment) -> Motion:
        """The motion over a vote of one consortium."""
        return cls(vote, vote_digest(vote, deployment))

    @property
    def decision(self) -> int | None:
        """The count of decisions it is about; None for a finding, which counts once by itself."""
        found: int | None = getattr(self.vote, "decision", None)
        return found

    @property
    def deadline(self) -> int | None:
        """Unix seconds until which it may be carried out; None for a finding."""
        found: int | None = getattr(self.vote, "deadline", None)
        return found

    def to_json(self) -> dict[str, Any]:
        """Kind and fields as plain values."""
        return {"kind": type(self.vote).__name__, "vote": _plain(self.vote)}

    def text(self) -> str:
        """The canonical text, as it is stored."""
        return json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    def signer(self, signature: bytes, deployment: Deployment) -> str:
        """Who signed, checksummed hex.

        Raises:
            BadMotion: The bytes are no signature.
        """
        try:
            return recover_vote_signer(self.vote, signature, deployment)
        except BadArgument as error:
            raise BadMotion(f"motion {self.id.hex()[:16]}…: {error}") from None

    @classmethod
    def from_json(cls, found: object, deployment: Deployment) -> Motion:
        """A motion from a hostile sender.

        Raises:
            BadMotion: Naming the field that is wrong.
        """
        if not isinstance(found, dict) or not {"kind", "vote"} <= found.keys() <= {"kind", "vote", "signatures"}:
            raise BadMotion("motion: expected an object with kind, vote and, if there are any, signatures")
        kind = KINDS.get(found["kind"]) if isinstance(found["kind"], str) else None
        if kind is None:
            raise BadMotion(f"motion: kind is one of {', '.join(KINDS)}")
        return cls.of(_vote(kind, found["vote"]), deployment)

    @classmethod
    def from_text(cls, text: str | bytes, deployment: Deployment) -> Motion:
        """A motion that was stored.

        Raises:
            BadMotion: Naming what is wrong.
        """
        return cls.from_json(_parse("motion", text), deployment)


def pack(motions: Iterable[tuple[Motion, Iterable[bytes]]]) -> bytes:
    """A message with motions and the signatures under each; what does not fit into one is left for the next.

    Args:
        motions: The most urgent first.
    """
    rows: list[str] = []
    size, signed = 32, 0
    for motion, signatures in motions:
        under = [signature.hex() for signature in signatures]
        row = json.dumps({**motion.to_json(), "signatures": under}, ensure_ascii=False)
        size, signed = size + len(row.encode()) + 1, signed + len(under)
        if size > MAX_MESSAGE_BYTES or len(rows) == MAX_MOTIONS or signed > MAX_SIGNATURES:
            break
        rows.append(row)
    return f'{{"motions":[{",".join(rows)}]}}'.encode()


def unpack(message: bytes, deployment: Deployment) -> list[tuple[Motion, tuple[bytes, ...]]]:
    """What a message holds, checked for form; whose the signatures are is not looked at yet.

    Raises:
        BadMotion: Naming what is wrong.
    """
    if len(message) > MAX_MESSAGE_BYTES:
        raise BadMotion(f"message: {len(message)} bytes, at most {MAX_MESSAGE_BYTES} are accepted")
    found = _parse("message", message)
    rows = found.get("motions") if isinstance(found, dict) and found.keys() == {"motions"} else None
    if not isinstance(rows, list) or len(rows) > MAX_MOTIONS:
        raise BadMotion(f"message: expected an object with up to {MAX_MOTIONS} motions")
    motions = [(Motion.from_json(row, deployment), _signatures(row)) for row in rows]
    if sum(len(signatures) for _, signatures in motions) > MAX_SIGNATURES:
        raise BadMotion(f"message: more than {MAX_SIGNATURES} signatures")
    return motions


def _parse(what: str, text: str | bytes) -> Any:
    try:
        shown = text.decode("utf-8") if isinstance(text, bytes) else text
        # Python's reader recurses once a bracket; a name may hold brackets, so only those outside of texts count.
        brackets = len(_BRACKET.findall(_TEXT.sub("", shown)))
        if brackets > MAX_BRACKETS:
            raise BadMotion(f"{what}: {brackets} brackets, at most {MAX_BRACKETS} are accepted")
        return json.loads(shown)
    except ValueError as error:
        raise BadMotion(f"{what}: no JSON ({error})") from None


def _signatures(row: dict[str, Any]) -> tuple[bytes, ...]:
    given = row.get("signatures", [])
    if not isinstance(given, list) or len(given) > MAX_SIGNATURES:
        raise BadMotion(f"signatures: expected a list of at most {MAX_SIGNATURES}")
    return tuple(_hex("signatures", text, 65) for text in given)


def _plain(record: object) -> dict[str, Any]:
    """A record's fields as JSON values."""
    values: dict[str, Any] = {}
    for field in fields(record):  # type: ignore[arg-type]  # (every vote is a dataclass)
        value = getattr(record, field.name)
        if isinstance(value, bytes):
            value = value.hex()
        elif isinstance(value, Hospital):
            value = _plain(value)
        elif field.name in _BITMAPS:
            value = f"{value:x}"
        elif isinstance(value, Fault):
            value = int(value)
        values[field.name] = value
    return values


def _vote(kind: type[Vote], found: object) -> Vote:
    values = _keyed(kind, found)
    for name, value in values.items():
        if name == "hospital":
            values[name] = hospital_from(value)
        elif name in {"new_box_key", "plan", "evidence"}:
            values[name] = _hex(name, value, 32)
        elif name in _BITMAPS:
            values[name] = _bitmap(name, value)
        elif name == "fault":
            values[name] = _fault(value)
    vote: Vote = _made(kind, values)
    return vote


def hospital_from(found: object) -> Hospital:
    """A hospital's record from a hostile sender.

    Raises:
        BadMotion: Naming the field that is wrong.
    """
    values = _keyed(Hospital, found)
    values["box_key"] = _hex("box_key", values["box_key"], 32)
    hospital: Hospital = _made(Hospital, values)
    if not hospital.name.isprintable():
        raise BadMotion("name: it holds characters that cannot be shown")
    if hospital.url and not hospital.url.startswith(("http://", "https://")):
        raise BadMotion(f"url: {hospital.url[:80]!r} is no http or https address")
    return hospital


def hospital_json(hospital: Hospital) -> dict[str, Any]:
    """A hospital's record as JSON values."""
    return _plain(hospital)


def _keyed(kind: type[Any], found: object) -> dict[str, Any]:
    names = {field.name for field in fields(kind)}
    if not isinstance(found, dict) or found.keys() != names:
        raise BadMotion(f"{kind.__name__}: expected the fields {', '.join(sorted(names))}")
    return dict(found)


def _made(kind: type[Any], values: dict[str, Any]) -> Any:
    texts = {"account", "new_account", "name", "url"}
    for name, value in values.items():
        if isinstance(value, str) != (name in texts):
            raise BadMotion(f"{name}: {str(value)[:80]!r} is not what belongs there")
    try:
        return kind(**values)
    except (ChainError, TypeError, ValueError) as error:
        raise BadMotion(f"{kind.__name__}: {error}") from None


def _hex(name: str, text: object, size: int) -> bytes:
    try:
        value = bytes.fromhex(text) if isinstance(text, str) and len(text) == 2 * size else b""
    except ValueError:
        value = b""
    if len(value) != size:
        raise BadMotion(f"{name}: expected {size} bytes as {2 * size} hex digits")
    return value


def _bitmap(name: str, text: object) -> int:
    digits = text if isinstance(text, str) and 0 < len(text) <= 64 and text.isascii() and text.isalnum() else "x"
    try:
        return int(digits, 16)
    except ValueError:
        raise BadMotion(f"{name}: expected a bitmap of seats as up to 64 hex digits") from None


def _fault(value: object) -> Fault:
    try:
        return Fault(value) if type(value) is int else Fault(-1)
    except ValueError:
        raise BadMotion(f"fault: expected one of {[int(fault) for fault in Fault]}") from None
