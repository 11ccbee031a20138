"""Rounds, how they went here and how members scored them, as answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from chain.records import bitmap_members
from dag.ids import cid_of
from node.api.shapes import (
    PPM,
    Address,
    Bytes,
    Count,
    Cursor,
    Digest,
    Loose,
    Name,
    RoundNumber,
    Seat,
    Seconds,
    Shape,
    Share,
    TransactionCid,
    checksummed,
)
from node.rounds.phases import PHASES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dag.bodies import VerdictBody
    from dag.transaction import Transaction
    from node.consortium.records import RoundView
    from node.consortium.view import ConsortiumView

Status = Literal["open", "finalised", "aborted"]


class ProposedShape(Shape):
    """A proposal that the chain recorded."""

    leader: Address
    proposal: TransactionCid
    updates_root: Digest
    sums_root: Digest


class RoundShape(Shape):
    """A round as the chain tells it."""

    round: RoundNumber
    status: Status = Field(examples=["finalised"], description="How it stands on chain.")
    epoch: Count = Field(examples=[1], description="Key epoch its updates are encrypted under.")
    plan: Digest
    base: Digest = Field(description="The model it trains from.")
    model: Digest | None = Field(description="The model it made; null unless it is finalised.")
    seed: Digest
    opener: Address
    leader: Address | None = Field(description="Who proposed what was accepted; null unless it is finalised.")
    leader_name: Name | None
    proposals: tuple[ProposedShape, ...] = Field(description="That the chain recorded, oldest first.")
    statement: Digest | None
    signers: tuple[Seat, ...] = Field(description="Members whose signatures the chain took under the outcome.")
    members: Count = Field(examples=[4], description="Members when it was opened.")
    collect_by: Seconds
    finalise_by: Seconds
    opened_in: Count = Field(examples=[120], description="Block that opened it.")
    ended_in: int | None = Field(ge=0, examples=[155], description="Block that ended it; null while it is open.")

    @classmethod
    def fields_of(cls, row: RoundView, view: ConsortiumView) -> dict[str, Any]:
        """The fields of a round of the chain's view."""
        return {
            "round": row.round,
            "status": row.status,
            "epoch": row.epoch,
            "plan": row.plan.hex(),
            "base": row.base.hex(),
            "model": row.model.hex() if row.model else None,
            "seed": row.seed.hex(),
            "opener": row.opener,
            "leader": row.leader,
            "leader_name": _name(view, row.leader),
            "proposals": [
                {
                    "leader": checksummed(p.leader),
                    "proposal": cid_of(p.proposal),
                    "updates_root": p.updates_root.hex(),
                    "sums_root": p.sums_root.hex(),
                }
                for p in row.proposals
            ],
            "statement": row.statement.hex() if row.statement else None,
            "signers": sorted(bitmap_members(row.signers)),
            "members": len(row.standing.members),
            "collect_by": row.collect_by,
            "finalise_by": row.finalise_by,
            "opened_in": row.opened_in,
            "ended_in": row.ended_in,
        }


class RoundsShape(Shape):
    """A page of rounds."""

    rounds: tuple[RoundShape, ...] = Field(description="In the order asked for.")
    next: Cursor


class PhaseShape(Shape):
    """A phase of a round at this hospital."""

    name: str = Field(examples=["train"], description="Of the phase.")
    ended: Seconds | None = Field(description="When; null while it is not over.")
    seconds: float | None = Field(ge=0, examples=[12.5], description="Since the phase before had ended.")


class BytesShape(Shape):
    """What this hospital sent in a round."""

    upload: Bytes = Field(description="Its sealed update, manifest included.")
    shares: Bytes = Field(description="Its sealed partial openings.")


class GasShape(Shape):
    """What this hospital paid for in a round, in units of gas."""

    open: Count = Field(examples=[0], description="Opening it.")
    propose: Count = Field(examples=[73000], description="Proposing.")
    finalise: Count = Field(examples=[180000], description="Finalising it.")
    abort: Count = Field(examples=[0], description="Aborting it.")
    total: Count = Field(examples=[253000], description="All of it.")


class UpdateShape(Shape):
    """A member's update of a round."""

    transaction: TransactionCid
    seat: Seat | None
    hospital: Name | None
    weight_ppm: int = Field(ge=1, le=PPM, examples=[250000], description="Its weight (eq. 19), parts per million.")
    samples: Count = Field(examples=[612], description="Images it says it trained on.")
    confirmed: bool = Field(examples=[True], description="Whether a quorum of members approves it.")


class VerdictShape(Shape):
    """How one member scored a proposal's sums on its own held-out images."""

    round: RoundNumber
    transaction: TransactionCid
    seat: Seat | None
    hospital: Name | None
    proposal: TransactionCid
    counted: bool = Field(examples=[True], description="Whether that proposal made the round's model.")
    samples: Count = Field(examples=[64], description="Images it scored.")
    base_accuracy: Share = Field(description="Of the model the round trained from: the one of the round before.")
    sections: Count = Field(
        examples=[1],
        description="Parts of the model that have groups of their own; the groups below stand part by part, equally many of each.",
    )
    group_accuracies: tuple[Share, ...] = Field(
        description="Of that model with each group's sum alone in its section, in order."
    )
    accept: tuple[bool, ...] = Field(examples=[[True]], description="Whether it would let each group in.")
    alignments: tuple[Share, ...] = Field(
        default=(),
        description="How far each group points where the member's own update points, 0 to 1; none where it does not say.",
    )
    descents: tuple[Share, ...] = Field(
        default=(),
        description="How far each group points where the loss of the member's images falls, 0 to 1; none where it does not say.",
    )

    @classmethod
    def of(cls, tx: Transaction, body: VerdictBody, sections: int, view: ConsortiumView) -> VerdictShape:
        """A verdict of the ledger.

        Args:
            tx: Its transaction.
            body: What that says.
            sections: Of how many the proposal's groups are.
            view: What the chain said.
        """
        row, seat = view.rounds.get(tx.round), view.seats.get(tx.issuer)
        return cls(
            round=tx.round,
            transaction=cid_of(tx.id),
            seat=seat,
            hospital=None if seat is None else view.hospitals[seat].name,
            proposal=cid_of(body.proposal),
            counted=row is not None and row.proposal == body.proposal,
            samples=body.samples,
            sections=sections,
            base_accuracy=body.base_ppm / PPM,
            group_accuracies=tuple(score / PPM for score in body.scores_ppm),
            accept=body.accept,
            alignments=tuple(found / PPM for found in body.alignment_ppm),
            descents=tuple(found / PPM for found in body.descent_ppm),
        )


class VerdictsShape(Shape):
    """A page of verdicts, in the order this node attached them."""

    verdicts: tuple[VerdictShape, ...] = Field(description="In the order asked for.")
    next: Cursor


class RoundDetailShape(RoundShape):
    """A round with its plan, and how it went at this hospital."""

    plan_text: Loose | None = Field(description="The plan; null while it is not here.")
    here: Loose = Field(description="Everything this hospital noted of it: marks, training, metrics, bytes, gas.")
    phases: tuple[PhaseShape, ...] = Field(description="In order; timings of this hospital.")
    bytes: BytesShape = Field(description="Sent by this hospital.")
    gas: GasShape = Field(description="Paid for by this hospital.")
    updates: tuple[UpdateShape, ...] = Field(description="Of all members, as this node has them.")
    verdicts: tuple[VerdictShape, ...] = Field(description="Of all members.")


class TrainingShape(Shape):
    """What this hospital noted of its part in rounds, by round."""

    rounds: dict[int, Loose] = Field(
        examples=[{"7": {"training": {"samples": 612}}}], description="By round; those of which something was noted."
    )
    next: Cursor


def phases_of(marks: Mapping[str, float]) -> tuple[PhaseShape, ...]:
    """Each phase's end and length by what a journal marked; a phase skipped over takes no time.

    Args:
        marks: Unix seconds at which phases ended, and `begin`.
    """
    at, found = marks.get("begin"), []
    for name, _ in PHASES:
        ended = marks.get(name)
        seconds = None if ended is None or at is None else max(0.0, ended - at)
        found.append(PhaseShape(name=name, ended=ended, seconds=None if seconds is None else round(seconds, 3)))
        if ended is not None:
            at = ended if at is None else max(at, ended)
    return tuple(found)


def gas_of(facts: Mapping[str, Any]) -> GasShape:
    """What a journal noted of gas."""
    paid = {name: int(facts.get(f"gas_{name}", 0)) for name in ("open", "propose", "finalise", "abort")}
    return GasShape(**paid, total=sum(paid.values()))


def _name(view: ConsortiumView, account: str | None) -> str | None:
    seat = None if account is None else view.seats.get(bytes.fromhex(account.removeprefix("0x")))
    return None if seat is None else view.hospitals[seat].name
