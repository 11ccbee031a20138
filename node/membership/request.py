"""A hospital's request to be admitted: its public record, signed with the account it names.

    {"hospital": {"account", "box_key", "data_size", "name", "url"}, "deadline": Unix seconds, "signature": "65 bytes, hex"}

The signature (EIP-712 `Request(Hospital hospital,uint256 deadline)`, domain of the registry) shows that whoever asks holds the
account's key; that the account is the hospital's, the fingerprint shows, read over the telephone. Nothing in it is secret.

The deadline is the hospital's, so that members who approve the same request, each for itself, sign the same motion.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from chain import jsontext
from chain.errors import BadArgument
from chain.records import checked_integer
from chain.votes import Admission, Vote, recover_vote_signer, sign_vote
from node.errors import BadMotion
from node.membership.fingerprint import fingerprint
from node.membership.motion import Motion, hospital_from, hospital_json

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

    from chain.deployment import Deployment
    from chain.records import Hospital

MAX_REQUEST_BYTES = 4096
USUAL_SECONDS = 7 * 86400
"""How long a request stands where its hospital does not say otherwise."""
MAX_SECONDS = 90 * 86400
"""Furthest deadline, from now, that is accepted."""


@dataclass(frozen=True, kw_only=True)
class Request(Vote):
    """What a hospital that asks to be admitted signs; no contract reads it.

    Attributes:
        hospital: Its record.
        deadline: Unix seconds until which, inclusive, the members may carry it out.
    """

    hospital: Hospital
    deadline: int

    CONTRACT: ClassVar[str] = "registry"
    TYPES: ClassVar[dict[str, list[dict[str, str]]]] = {
        "Request": [{"name": "hospital", "type": "Hospital"}, {"name": "deadline", "type": "uint256"}],
        "Hospital": Admission.TYPES["Hospital"],
    }

    def __post_init__(self) -> None:
        checked_integer("deadline", self.deadline, 0, 2**53)

    @property
    def fingerprint(self) -> str:
        """What is read over the telephone before anybody signs."""
        return fingerprint(self.hospital.account, self.hospital.box_key)

    def to_abi(self) -> dict[str, object]:
        """The record under the contract's own field names."""
        h = self.hospital
        record = {"account": h.account, "boxKey": h.box_key, "dataSize": h.data_size, "name": h.name, "url": h.url}
        return {"hospital": record, "deadline": self.deadline}

    def motion(self, decision: int, deployment: Deployment) -> Motion:
        """What members vote on; the same for all who see the same count of decisions.

        Args:
            decision: `HospitalRegistry.decisions()`.
            deployment: The consortium's contracts.
        """
        return Motion.of(Admission(hospital=self.hospital, decision=decision, deadline=self.deadline), deployment)


def write_request(hospital: Hospital, deadline: int, deployment: Deployment, account: LocalAccount) -> str:
    """The text of a request.

    Args:
        hospital: The record; its account must be the signing one.
        deadline: Unix seconds until which it stands.
        deployment: The consortium's contracts.
        account: The hospital's key.
    """
    signature = sign_vote(Request(hospital=hospital, deadline=deadline), deployment, account)
    found = {"hospital": hospital_json(hospital), "deadline": deadline, "signature": signature.hex()}
    return json.dumps(found, indent=2, ensure_ascii=False)


def read_request(text: bytes, deployment: Deployment, now: float) -> Request:
    """The request that somebody sent.

    Args:
        text: Its bytes.
        deployment: The consortium's contracts.
        now: Unix seconds.

    Raises:
        BadMotion: It is malformed, too late, for another consortium, or not signed with the account it names.
    """
    if len(text) > MAX_REQUEST_BYTES:
        raise BadMotion(f"request: {len(text)} bytes, at most {MAX_REQUEST_BYTES} are accepted")
    try:
        found = jsontext.parse(text)
    except ValueError:
        raise BadMotion("request: no JSON") from None
    if not isinstance(found, dict) or found.keys() != {"hospital", "deadline", "signature"}:
        raise BadMotion("request: expected an object with hospital, deadline and signature")
    deadline = found["deadline"]
    if type(deadline) is not int or not now <= deadline <= now + MAX_SECONDS:
        raise BadMotion(
            f"request: deadline: {str(deadline)[:40]} is past, or more than {MAX_SECONDS // 86400} days away: make a new one"
        )
    request = Request(hospital=hospital_from(found["hospital"]), deadline=deadline)
    try:
        signer = recover_vote_signer(request, bytes.fromhex(str(found["signature"])), deployment)
    except (BadArgument, ValueError):
        raise BadMotion("request: signature: expected 65 bytes as 130 hex digits") from None
    account = request.hospital.account
    if signer != account:
        raise BadMotion(
            f"request: signed by {signer}, not by the account it names ({account}), or for another consortium"
        )
    return request
