"""The other members, as seen from this machine."""

from __future__ import annotations

import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import httpx

from node.doctor.verdict import fail, ok, warn
from node.errors import MedweaveError
from node.membership.invitation import MAX_INVITATION_BYTES, Invitation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from node.calling import Dialer
    from node.doctor.verdict import Check


@dataclass(frozen=True)
class Answer:
    """What a node said when it was asked who it is.

    Attributes:
        name: The member that was asked for.
        reached: Whether anything answered.
        problem: Why it is of no use; empty where it is.
        consortium: The consortium it belongs to; empty where it did not say.
        host: The name it gives itself.
        version: Of its software.
        ahead: Seconds by which its clock is ahead of this one; None where it does not tell.
    """

    name: str
    reached: bool
    problem: str = ""
    consortium: bytes = b""
    host: str = ""
    version: str = ""
    ahead: float | None = None


def ask(name: str, url: str, dialer: Dialer, seconds: float) -> Answer:
    """Ask a node what it is (`GET /v1/join`, which needs no credentials).

    Args:
        name: Of the member that should be there.
        url: Its base URL.
        dialer: Makes the call.
        seconds: How long it may take.
    """
    asked = time.time()
    try:
        with (
            dialer.client(seconds) as http,
            http.stream("GET", f"{url.rstrip('/')}/v1/join", headers={"Accept-Encoding": "identity"}) as answer,
        ):
            body = b""
            for piece in answer.iter_bytes(1 << 14):
                body += piece
                if len(body) > MAX_INVITATION_BYTES:
                    return Answer(name, reached=True, problem="its answer is too long")
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
        return Answer(name, reached=False, problem=str(error) or type(error).__name__)
    ahead = _ahead(answer.headers.get("Date"), (asked + time.time()) / 2)
    if answer.status_code != httpx.codes.OK:
        return Answer(name, reached=True, problem=f"answers {answer.status_code}", ahead=ahead)
    try:
        found = Invitation.from_bytes(body)
    except MedweaveError as error:
        return Answer(name, reached=True, problem=str(error), ahead=ahead)
    return Answer(
        name, True, consortium=found.deployment.consortium, host=found.host, version=found.version, ahead=ahead
    )


def _ahead(date: str | None, now: float) -> float | None:
    """By how much a `Date` header, cut to whole seconds, is ahead."""
    try:
        return parsedate_to_datetime(date).timestamp() + 0.5 - now if date else None
    except ValueError:
        return None


def clocks(answers: Iterable[Answer]) -> dict[str, float]:
    """Seconds by which each member's clock is ahead of this one, by name."""
    return {answer.name: answer.ahead for answer in answers if answer.ahead is not None}


def peers(answers: list[Answer], consortium: bytes, own_version: str, quorum: int) -> Check:
    """Whether enough members can be reached, and are who they should be.

    Args:
        answers: Of the other members.
        consortium: This hospital's.
        own_version: Of the software here.
        quorum: Members that must work together, this one included.
    """
    name = "peers"
    if not answers:
        return ok(name, "this hospital is the only member")
    wrong = [a for a in answers if a.consortium not in {b"", consortium}]
    if wrong:
        return fail(
            name,
            f"{wrong[0].name} belongs to another consortium",
            "tell its people: its URL, or its directory, is wrong",
        )
    good = [answer for answer in answers if answer.consortium == consortium]
    silent = [f"{answer.name} ({answer.problem})" for answer in answers if answer.problem]
    shown = f"{len(good)} of {len(answers)} others answer"
    if len(good) + 1 < quorum:
        return fail(
            name,
            f"{shown}, rounds need {quorum - 1}: {'; '.join(silent[:4])}",
            "look at the firewall and at their nodes; `medweave members list` shows their URLs",
        )
    if silent:
        return warn(name, f"{shown}; silent: {'; '.join(silent[:4])}", "ask their people whether their nodes run")
    others = sorted({answer.version for answer in good} - {own_version})
    if others:
        return warn(name, f"{shown}; they run {', '.join(others)}, this is {own_version}", "agree on one version")
    return ok(name, f"{shown}, all run {own_version}")
