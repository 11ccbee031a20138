"""What a hospital that wants to join is told by a member, and how it asks there.

    invitation = {"deployment": {the contracts}, "host": "the member's name", "plan": {the plan in force} or null,
                  "version": "of its software"}

What a newer member adds is passed over. Nothing in it is secret, and nothing is believed: the contracts are compared with the chain's code, the consortium's fingerprint with
one that was told elsewhere, or by a person.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from chain import jsontext
from chain.deployment import Deployment
from chain.errors import ChainError
from node.errors import BadInput, LyingPeer, MedweaveError, PeerProblem
from node.rounds.plan import MAX_PLAN_BYTES, Plan

if TYPE_CHECKING:
    from node.calling import Dialer

MAX_INVITATION_BYTES = 128 * 1024
MAX_ANSWER_BYTES = 16 * 1024
"""Of what a member answers to a request."""
CALL_SECONDS = 20.0
_FIELDS = frozenset({"deployment", "host", "plan", "version"})


@dataclass(frozen=True)
class Invitation:
    """A consortium as one member describes it.

    Attributes:
        deployment: Where its contracts are.
        host: Name of the member that tells it.
        plan: The plan in force; None where there is none yet.
        version: Of the member's software.
    """

    deployment: Deployment
    host: str
    plan: Plan | None
    version: str

    def to_json(self) -> dict[str, Any]:
        """The invitation as JSON values."""
        plan = None if self.plan is None else json.loads(self.plan.to_bytes())
        deployment = json.loads(self.deployment.to_json())
        return {"deployment": deployment, "host": self.host, "plan": plan, "version": self.version}

    @classmethod
    def from_bytes(cls, data: bytes) -> Invitation:
        """An invitation from a hostile sender.

        Raises:
            LyingPeer: Naming the field that is wrong.
        """
        try:
            found = jsontext.parse(data)
        except ValueError:
            raise LyingPeer("invitation: no JSON") from None
        if not isinstance(found, dict) or not found.keys() >= _FIELDS:
            raise LyingPeer(f"invitation: expected an object with {', '.join(sorted(_FIELDS))}")
        host, version = (_text(name, found[name]) for name in ("host", "version"))
        try:
            deployment = Deployment.from_json(json.dumps(found["deployment"]))
            plan = None if found["plan"] is None else Plan.from_bytes(_canonical(found["plan"]))
        except (ChainError, MedweaveError) as error:
            raise LyingPeer(f"invitation: {error}") from None
        return cls(deployment, host, plan, version)


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= 80 or not value.isprintable():
        raise LyingPeer(f"invitation: {name}: expected 1 to 80 characters that can be shown")
    return value


def _canonical(plan: object) -> bytes:
    return json.dumps(plan, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()[: MAX_PLAN_BYTES + 1]


class Host:
    """A member's node, as a hospital that is none yet talks to it.

    Args:
        url: Its base URL.
        dialer: Makes the calls.
    """

    def __init__(self, url: str, dialer: Dialer) -> None:
        self._url = url.rstrip("/")
        self._dialer = dialer

    def invitation(self) -> Invitation:
        """What it tells of its consortium.

        Raises:
            PeerProblem: It does not answer, or is no node of ours.
            LyingPeer: What it answers cannot be.
        """
        return Invitation.from_bytes(self._call("GET", None, MAX_INVITATION_BYTES))

    def ask(self, request: bytes) -> None:
        """Hand in a request.

        Args:
            request: What `node.membership.request.write_request` gave.

        Raises:
            BadInput: It refuses it, with its reason.
            PeerProblem: It does not answer, or holds too many already.
        """
        self._call("POST", request, MAX_ANSWER_BYTES)

    def _call(self, method: str, body: bytes | None, most: int) -> bytes:
        url = f"{self._url}/v1/join"
        try:
            with (
                self._dialer.client(CALL_SECONDS) as http,
                http.stream(
                    method,
                    url,
                    content=body,
                    headers={"Content-Type": "application/json", "Accept-Encoding": "identity"},
                ) as answer,
            ):
                data = bytearray()
                for piece in answer.iter_bytes(1 << 14):
                    data += piece
                    if len(data) > most:
                        raise LyingPeer(f"{url}: answers more than {most} bytes")
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise PeerProblem(
                f"{self._url} cannot be reached ({error or type(error).__name__}): is it the member's URL?"
            ) from None
        if answer.status_code in {400, 409, 413, 422}:
            raise BadInput(f"{self._url} refuses: {_reason(bytes(data))}")
        if not answer.is_success:
            raise PeerProblem(f"{self._url} answers {answer.status_code}: {_reason(bytes(data))}")
        return bytes(data)


def _reason(data: bytes) -> str:
    """The reason in a problem document, as far as it can be shown."""
    try:
        found = jsontext.parse(data)
        detail = str(found["detail"])
    except (ValueError, KeyError, TypeError):
        detail = "it gives no reason"
    return "".join(c if c.isprintable() else "?" for c in detail[:400])
