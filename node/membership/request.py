"""A hospital's request to be admitted: its public record, signed with the account it names.

    {"hospital": {"account", "box_key", "data_size", "name", "url"}, "signature": "65 bytes, hex"}

The signature (EIP-712 `Request(Hospital hospital)`, domain of the registry) shows that whoever asks holds the account's key;
that the account is the hospital's, the fingerprint shows, read over the telephone. Nothing in the file is secret.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from chain.errors import BadArgument
from chain.votes import Admission, Vote, recover_vote_signer, sign_vote
from node.errors import BadMotion
from node.membership.motion import hospital_from, hospital_json

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

    from chain.deployment import Deployment
    from chain.records import Hospital

MAX_REQUEST_BYTES = 4096


@dataclass(frozen=True, kw_only=True)
class Request(Vote):
    """What a hospital that asks to be admitted signs; no contract reads it.

    Attributes:
        hospital: Its record.
    """

    hospital: Hospital

    CONTRACT: ClassVar[str] = "registry"
    TYPES: ClassVar[dict[str, list[dict[str, str]]]] = {
        "Request": [{"name": "hospital", "type": "Hospital"}],
        "Hospital": Admission.TYPES["Hospital"],
    }

    def to_abi(self) -> dict[str, object]:
        """The record under the contract's own field names."""
        h = self.hospital
        record = {"account": h.account, "boxKey": h.box_key, "dataSize": h.data_size, "name": h.name, "url": h.url}
        return {"hospital": record}


def write_request(hospital: Hospital, deployment: Deployment, account: LocalAccount) -> str:
    """The text of a request.

    Args:
        hospital: The record; its account must be the signing one.
        deployment: The consortium's contracts.
        account: The hospital's key.
    """
    signature = sign_vote(Request(hospital=hospital), deployment, account)
    return json.dumps({"hospital": hospital_json(hospital), "signature": signature.hex()}, indent=2, ensure_ascii=False)


def read_request(text: bytes, deployment: Deployment) -> Hospital:
    """The hospital that asks.

    Args:
        text: What somebody sent.
        deployment: The consortium's contracts.

    Raises:
        BadMotion: It is malformed, for another consortium, or not signed with the account it names.
    """
    if len(text) > MAX_REQUEST_BYTES:
        raise BadMotion(f"request: {len(text)} bytes, at most {MAX_REQUEST_BYTES} are accepted")
    try:
        found = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError):
        raise BadMotion("request: no JSON") from None
    if not isinstance(found, dict) or found.keys() != {"hospital", "signature"}:
        raise BadMotion("request: expected an object with hospital and signature")
    hospital = hospital_from(found["hospital"])
    try:
        signer = recover_vote_signer(Request(hospital=hospital), bytes.fromhex(str(found["signature"])), deployment)
    except (BadArgument, ValueError):
        raise BadMotion("request: signature: expected 65 bytes as 130 hex digits") from None
    if signer != hospital.account:
        raise BadMotion(
            f"request: signed by {signer}, not by the account it names ({hospital.account}), or for another consortium"
        )
    return hospital
