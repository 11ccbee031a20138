"""Requests between nodes, signed with the member's account: HTTP Message Signatures (RFC 9421).

One profile, strictly: one signature labelled `medweave` over method, authority, path and query, and over `Content-Digest`
(RFC 9530, sha-256) wherever there is a body. Its parameters, in this order:

    created   Unix time in whole seconds
    nonce     16 random bytes, base64; no request is taken twice
    keyid     the account's address, 0x and 40 lower-case hex digits
    tag       medweave/1/ and the consortium's id in hex: a request is for one consortium

The authority is the address of the hospital that is called, so nobody can pass a request on to another. The key is the
account's, on secp256k1: ECDSA over sha-256 of the signature base, 65 bytes r ‖ s ‖ v with low s, so that the address is
recovered from it as a transaction's issuer is. The registry of RFC 9421 has no name for that, and `alg` is left out: `keyid`
decides. The base begins with `"@method"`, which neither a transaction, a note nor typed data (EIP-712) can.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import coincurve
from eth_utils.crypto import keccak

from node.calling.errors import BadSignedRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

NONCE_BYTES: Final = 16
SIGNATURE_BYTES: Final = 65
MAX_FIELD_CHARS: Final = 1000
"""Longest header of a signature that is looked at."""
_TAG: Final = "medweave/1/"
_COVERED: Final = '"@method" "@authority" "@path" "@query"'
_DIGEST: Final = ' "content-digest"'
_PARAMETERS: Final = re.compile(
    rf"\({_COVERED}(?P<digest>{_DIGEST})?\)"
    r";created=(?P<created>[0-9]{1,15})"
    r';nonce="(?P<nonce>[A-Za-z0-9+/]{22}==)"'
    r';keyid="0x(?P<account>[0-9a-f]{40})"'
    rf';tag="{_TAG}(?P<consortium>[0-9a-f]{{64}})"'
)
_BYTES: Final = re.compile(r":(?P<data>[A-Za-z0-9+/=]{4,200}):")
_DEFAULT_PORT: Final = {"http": ":80", "https": ":443"}
# secp256k1's n // 2, big-endian: a signature has two forms, and only the one with the lower s is taken.
_HALF_ORDER: Final = bytes.fromhex("7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0")


@dataclass(frozen=True)
class Call:
    """What a signature covers of a request."""

    method: str
    """In capitals."""
    authority: str
    """Host and port that is called, see `authority_of`."""
    path: str
    """As sent, percent-encoded, without the query."""
    query: str
    """As sent, without the question mark."""
    digest: str = ""
    """The `Content-Digest` field; empty for a request without a body."""


@dataclass(frozen=True)
class Signed:
    """The signature fields of a request, read but not verified."""

    parameters: str
    """`@signature-params`, as sent."""
    signature: bytes
    """65 bytes r ‖ s ‖ v."""
    created: int
    """Unix time, seconds."""
    nonce: bytes
    """16 bytes."""
    account: bytes
    """Address (20 bytes) of who says it signed."""
    consortium: bytes
    """Id (32 bytes) of the consortium the request is for."""
    covers_body: bool
    """Whether `Content-Digest` is under the signature."""


@lru_cache(maxsize=1024)
def authority_of(url: str) -> str:
    """Host and port of a URL in the form that is signed: lower case, without the scheme's own port (RFC 9421, 2.2.3)."""
    parts = urlsplit(url)
    return normalised(parts.netloc.rpartition("@")[2], parts.scheme)


def normalised(host: str, scheme: str) -> str:
    """A `Host` field in the form that is signed."""
    return host.lower().removesuffix(_DEFAULT_PORT.get(scheme, ":"))


def digest_field(body: bytes) -> str:
    """`Content-Digest` of a body (RFC 9530)."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


def sign(
    call: Call, key: coincurve.PrivateKey, consortium: bytes, now: int, nonce: bytes | None = None
) -> dict[str, str]:
    """The fields that make a request a member's.

    Args:
        call: What is signed.
        key: The account's key.
        consortium: Its id, 32 bytes.
        now: Unix time, seconds.
        nonce: 16 bytes; random ones by default.
    """
    covered = _COVERED + (_DIGEST if call.digest else "")
    mark = base64.b64encode(os.urandom(NONCE_BYTES) if nonce is None else nonce).decode()
    account = address_of(key.public_key.format(compressed=False)).hex()
    parameters = f'({covered});created={now};nonce="{mark}";keyid="0x{account}";tag="{_TAG}{consortium.hex()}"'
    signature = key.sign_recoverable(_base(call, parameters), hasher=_sha256)
    fields = {
        "Signature-Input": f"medweave={parameters}",
        "Signature": f"medweave=:{base64.b64encode(signature).decode()}:",
    }
    return fields | ({"Content-Digest": call.digest} if call.digest else {})


def read(fields: Mapping[str, str]) -> Signed:
    """The signature of a request, from its headers; nothing is verified.

    Args:
        fields: Headers by name in lower case.

    Raises:
        BadSignedRequest: A field is missing or is not of this profile's form.
    """
    said = _field(fields, "signature-input").removeprefix("medweave=")
    found = _PARAMETERS.fullmatch(said)
    if found is None:
        raise BadSignedRequest("Signature-Input", "not the form of docs/spec/access.md")
    data = _BYTES.fullmatch(_field(fields, "signature").removeprefix("medweave="))
    signature = _decoded("Signature", data["data"]) if data else b""
    if len(signature) != SIGNATURE_BYTES or signature[64] > 1 or signature[32:64] > _HALF_ORDER:
        raise BadSignedRequest(
            "Signature", f"expected {SIGNATURE_BYTES} bytes r, s, v with low s, in base64 between colons"
        )
    return Signed(
        parameters=said,
        signature=signature,
        created=int(found["created"]),
        nonce=_decoded("nonce", found["nonce"]),
        account=bytes.fromhex(found["account"]),
        consortium=bytes.fromhex(found["consortium"]),
        covers_body=found["digest"] is not None,
    )


def verify_signature(signed: Signed, call: Call) -> None:
    """Check that the account named in a signature made it, over this request.

    Raises:
        BadSignedRequest: It did not.
    """
    try:
        key = coincurve.PublicKey.from_signature_and_message(
            signed.signature, _base(call, signed.parameters), hasher=_sha256
        )
    except Exception as error:  # noqa: BLE001  (the library raises bare Exception for r or s out of range)
        raise BadSignedRequest("Signature", f"not a signature ({error})") from None
    if address_of(key.format(compressed=False)) != signed.account:
        raise BadSignedRequest("Signature", f"not made by 0x{signed.account.hex()} over this request")


def verify_body(digest: str, body: bytes) -> None:
    """Check that a body is the one the signed digest is of.

    Raises:
        BadSignedRequest: It is another.
    """
    if digest != digest_field(body):
        raise BadSignedRequest("Content-Digest", f"is not the sha-256 of the {len(body)} bytes sent")


@lru_cache(maxsize=1024)
def address_of(public_key: bytes) -> bytes:
    """The address (20 bytes) of a key in its uncompressed form (yellow paper, eq. 318)."""
    return bytes(keccak(public_key[1:])[-20:])


def _base(call: Call, parameters: str) -> bytes:
    lines = [
        f'"@method": {call.method}',
        f'"@authority": {call.authority}',
        f'"@path": {call.path or "/"}',
        f'"@query": ?{call.query}',
        *([f'"content-digest": {call.digest}'] if call.digest else []),
        f'"@signature-params": {parameters}',
    ]
    return "\n".join(lines).encode()


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _field(fields: Mapping[str, str], name: str) -> str:
    value = fields.get(name, "")
    if not value.startswith("medweave=") or len(value) > MAX_FIELD_CHARS:
        raise BadSignedRequest(name.title(), "expected one signature labelled medweave")
    return value


def _decoded(field: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise BadSignedRequest(field, "not base64") from None
