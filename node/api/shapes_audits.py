"""Audits under way and over, as answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from node.api.audits import State
from node.api.shapes import Count, Digest, Line, Loose, RoundNumber, Seconds, Shape, Share
from node.audit.report import LINKS

if TYPE_CHECKING:
    from node.api.audits import Audit


class AuditAsked(Shape):
    """What is to be audited; nothing of both: the newest model with every round that led to it."""

    model: Digest | None = Field(default=None, description="A model, with every round that led to it.")
    round: RoundNumber | None = Field(default=None, description="One finalised round alone, with its model's lineage.")


class AuditShape(Shape):
    """An audit that this node carries out, from the chain and its own blobs, without any key."""

    number: int = Field(ge=1, examples=[1], description="Counted since the node was started.")
    state: State = Field(examples=["running"])
    asked: Seconds
    ended: Seconds | None
    model: Digest | None
    round: RoundNumber | None
    doing: Line = Field(description="What it is about now.")
    share: Share = Field(description="Done of the whole.")
    problem: str = Field(examples=[""], description="Why it failed; empty otherwise. Says nothing about the model.")
    verdict: str | None = Field(
        examples=["verified"], description="verified, falsified or could-not-check; null until it is done."
    )

    @classmethod
    def of(cls, audit: Audit) -> AuditShape:
        """An audit of the desk."""
        return cls(**_fields(audit))


class AuditDetailShape(AuditShape):
    """An audit with its report."""

    claims: dict[str, str] = Field(
        examples=[{"sums": "every group's sum is the one on chain"}],
        description="Links in order, and what each proves.",
    )
    report: Loose | None = Field(description="Findings, notes and limits; as `medweave audit --json` prints it.")

    @classmethod
    def of(cls, audit: Audit) -> AuditDetailShape:
        """An audit of the desk."""
        return cls(**_fields(audit), claims=dict(LINKS), report=audit.report)


class AuditsShape(Shape):
    """Audits this node still knows of, newest first."""

    audits: tuple[AuditShape, ...]
    waiting: Count = Field(examples=[0], description="How many have not begun.")


def _fields(audit: Audit) -> dict[str, Any]:
    return {
        "number": audit.number,
        "state": audit.state,
        "asked": audit.asked,
        "ended": audit.ended,
        "model": audit.model,
        "round": audit.round,
        "doing": audit.doing,
        "share": audit.share,
        "problem": audit.problem,
        "verdict": None if audit.report is None else audit.report["verdict"],
    }
