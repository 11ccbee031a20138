"""Statements under signature: a DSSE envelope that a quorum of hospitals signed with their account keys.

    sign_statement       a member signs the statement's bytes; the signature travels in its checkpoint transaction
    gather_envelope      anybody who holds the checkpoints puts the envelope together, always the same bytes
    verify_envelope      anybody who knows the members' addresses checks it, with no chain, ledger or secret

A signature is 65 bytes r ‖ s ‖ v over sha2-256 of the pre-authentication encoding, secp256k1 by RFC 6979, with s ≤ n/2 and v
in {0, 1}: the form of a ledger transaction's, since an address has to be compared with the recovered key. Its first 64 bytes
are what any ECDSA library verifies under that key. `keyid` is the address; it only says under whose name a signature
stands, the recovered key decides.
Source: DSSE 1.0.2 (secure-systems-lab/dsse, protocol.md and envelope.md).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final, Literal

import coincurve
from eth_utils.crypto import keccak
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from node.errors import LyingPeer
from node.rounds.errors import (
    BadStatementSignature,
    BelowQuorum,
    DuplicateSigner,
    MalformedEnvelope,
    UnknownSigner,
)
from node.rounds.statement import MAX_STATEMENT_BYTES, Address, Statement

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
SIGNATURE_BYTES: Final = 65
MAX_SIGNERS: Final = 256
MAX_ENVELOPE_BYTES: Final = 512 * 1024
"""A statement of 256 KiB in base64 and 256 signatures fit."""

_HALF_ORDER: Final = bytes.fromhex(
    "7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0"
)  # secp256k1's n // 2

Base64 = Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]*={0,2}$")]


@dataclass(frozen=True)
class Signature:
    """One member's signature under a statement."""

    signer: bytes
    """Address (20 bytes) it stands under; `keyid` in JSON."""
    value: bytes
    """r ‖ s ‖ v, 65 bytes; `sig` in JSON."""


@dataclass(frozen=True)
class Endorsement:
    """A signature as a checkpoint transaction brought it; not verified yet."""

    transaction: bytes
    """Id of the checkpoint; the smallest decides where one member posted several."""
    signature: Signature


class _SignatureJson(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    keyid: Address
    sig: Annotated[Base64, Field(max_length=88)]


class _EnvelopeJson(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    payload: Annotated[Base64, Field(max_length=4 * (MAX_STATEMENT_BYTES // 3 + 1))]
    payload_type: Literal["application/vnd.in-toto+json"] = Field(default=PAYLOAD_TYPE, alias="payloadType")
    signatures: Annotated[list[_SignatureJson], Field(min_length=1, max_length=MAX_SIGNERS)]


@dataclass(frozen=True)
class Envelope:
    """A statement and the signatures under it."""

    payload: bytes
    """The statement's canonical bytes."""
    signatures: tuple[Signature, ...]
    """Ascending by address, each once."""

    @classmethod
    def of(cls, statement: Statement, signatures: Iterable[Signature]) -> Envelope:
        """A statement under verified signatures, one a member, in any order."""
        return cls(statement.to_bytes(), tuple(sorted(signatures, key=lambda signature: signature.signer)))

    def to_bytes(self) -> bytes:
        """Canonical bytes: JSON with sorted keys and no white space, standard base64 with padding."""
        content = {
            "payload": base64.b64encode(self.payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [
                {"keyid": _text(signature.signer), "sig": base64.b64encode(signature.value).decode()}
                for signature in self.signatures
            ],
        }
        return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Envelope:
        """Parse the canonical bytes; signatures and payload are not looked into.

        Raises:
            MalformedEnvelope: Too long, another form or payload type, signers not in order.
            DuplicateSigner: A signer is listed twice.
        """
        if len(data) > MAX_ENVELOPE_BYTES:
            raise MalformedEnvelope("bytes", f"{len(data)}, at most {MAX_ENVELOPE_BYTES} are accepted")
        try:
            content = _EnvelopeJson.model_validate_json(data)
        except ValidationError as error:
            first = error.errors()[0]
            raise MalformedEnvelope(".".join(map(str, first["loc"])) or "bytes", first["msg"]) from None
        envelope = cls(
            _decoded("payload", content.payload),
            tuple(
                Signature(bytes.fromhex(row.keyid[2:]), _decoded(f"signatures.{at}.sig", row.sig))
                for at, row in enumerate(content.signatures)
            ),
        )
        envelope._check_order()
        if envelope.to_bytes() != data:
            raise MalformedEnvelope("bytes", "not the canonical form: sorted keys, no white space, one base64 alphabet")
        return envelope

    def _check_order(self) -> None:
        signers = [signature.signer for signature in self.signatures]
        for one, next_one in itertools.pairwise(signers):
            if one == next_one:
                raise DuplicateSigner(_text(one))
            if one > next_one:
                raise MalformedEnvelope(
                    "signatures", f"{_text(next_one)} stands after {_text(one)}: expected ascending"
                )

    def statement(self) -> Statement:
        """The statement inside.

        Raises:
            MalformedEnvelope: The payload is no statement in canonical form.
        """
        try:
            return Statement.from_bytes(self.payload)
        except LyingPeer as error:
            raise MalformedEnvelope("payload", str(error)) from None


def pae(payload_type: str, payload: bytes) -> bytes:
    """The bytes that are signed: DSSE's pre-authentication encoding.

    Args:
        payload_type: What the payload is, as a media type.
        payload: Any bytes.
    """
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def signing_digest(statement: bytes) -> bytes:
    """What a member's key signs of a statement: sha2-256 (32 bytes) of its pre-authentication encoding."""
    return hashlib.sha256(pae(PAYLOAD_TYPE, statement)).digest()


def sign_statement(statement: bytes, private_key: bytes) -> bytes:
    """A member's signature (65 bytes) under a statement's canonical bytes; deterministic.

    Args:
        statement: The canonical bytes.
        private_key: The member's secp256k1 key, 32 bytes.
    """
    signed: bytes = coincurve.PrivateKey(private_key).sign_recoverable(signing_digest(statement), hasher=None)
    return signed


def verify_signature(statement: bytes, signature: Signature) -> None:
    """Check that a signature under a statement is by the address it stands under.

    Raises:
        BadStatementSignature: It is another key's, or no signature in the one accepted form.
    """
    keyid, value = _text(signature.signer), signature.value
    if len(value) != SIGNATURE_BYTES or value[64] > 1 or value[32:64] > _HALF_ORDER:
        raise BadStatementSignature(keyid, f"expected {SIGNATURE_BYTES} bytes r, s (low), v (0 or 1)")
    try:
        key = coincurve.PublicKey.from_signature_and_message(value, signing_digest(statement), hasher=None)
    except Exception as error:  # noqa: BLE001  (the library raises bare Exception for r or s out of range)
        raise BadStatementSignature(keyid, f"no public key recovers from it: {error}") from None
    found = keccak(key.format(compressed=False)[1:])[-20:]
    if found != signature.signer:
        raise BadStatementSignature(keyid, f"it is by {_text(found)}, or over another statement")


def verify_envelope(data: bytes, members: Collection[bytes], quorum: int) -> None:
    """Check that a quorum of the members signed the statement in an envelope.

    One signature that is wrong condemns the whole: an honest member writes none but those it verified.

    Args:
        data: The envelope's bytes.
        members: Addresses (20 bytes) of the members of the statement's round.
        quorum: How many must have signed, ⌈2N/3⌉.

    Raises:
        MalformedEnvelope: Not canonical, another payload type, or the payload is no statement.
        DuplicateSigner: A member is listed twice.
        UnknownSigner: A signer is no member.
        BadStatementSignature: A signature is not by the member it stands under.
        BelowQuorum: Too few signed.
    """
    envelope = Envelope.from_bytes(data)
    envelope.statement()
    for signature in envelope.signatures:
        if signature.signer not in members:
            raise UnknownSigner(_text(signature.signer), len(members))
        verify_signature(envelope.payload, signature)
    if len(envelope.signatures) < quorum:
        raise BelowQuorum(len(envelope.signatures), quorum)


def gather_envelope(
    statement: Statement, endorsements: Iterable[Endorsement], signers: Collection[bytes], quorum: int
) -> tuple[Envelope, bool]:
    """The envelope that follows from checkpoints and from whom the chain names as signers of the round's outcome.

    With every one of those signers' valid signatures at hand its bytes are the same at everybody: theirs and no others.
    As long as one is missing it holds those at hand, or, below a quorum, every valid one.

    Args:
        statement: The statement.
        endorsements: What the round's checkpoints of this statement brought, by members only, in any order.
        signers: Addresses (20 bytes) of the members whose signatures under the outcome went to the chain.
        quorum: How many must have signed.

    Returns:
        The envelope, and whether it is the one that everybody derives.

    Raises:
        BelowQuorum: Too few valid signatures are at hand.
    """
    payload, valid = statement.to_bytes(), dict[bytes, Signature]()
    for endorsement in sorted(endorsements, key=lambda e: e.transaction):
        signature = endorsement.signature
        if signature.signer not in valid and _is_valid(payload, signature):
            valid[signature.signer] = signature
    chosen = {signer: valid[signer] for signer in signers if signer in valid}
    whole = len(chosen) == len(set(signers)) >= quorum
    if len(chosen) < quorum:
        chosen = valid
    if len(chosen) < quorum:
        raise BelowQuorum(len(chosen), quorum)
    return Envelope.of(statement, chosen.values()), whole


def _is_valid(statement: bytes, signature: Signature) -> bool:
    try:
        verify_signature(statement, signature)
    except BadStatementSignature:
        return False
    return True


def _decoded(field: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise MalformedEnvelope(field, f"no base64: {error}") from None


def _text(address: bytes) -> str:
    return "0x" + address.hex()
