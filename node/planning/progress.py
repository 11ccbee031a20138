"""Where a round stands, as one hospital's ledger and chain show it: who has done what, who is missing, how long it may take. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from dag.bodies import AcknowledgementBody, CheckpointBody, Kind, ProposalBody, ShareBody, VerdictBody

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dag.transaction import Transaction
    from node.consortium.records import RoundView


@dataclass(frozen=True)
class Step:
    """One step of a round and whose part in it is there."""

    name: str
    """`updates`, `reveals`, `proposal`, `shares`, `verdicts` or `signatures`."""
    there: frozenset[int]
    """Seats that did theirs."""
    missing: frozenset[int]
    """Seats of whom it may still come."""
    needed: int
    """How many end the step."""

    @property
    def over(self) -> bool:
        """Whether enough did theirs."""
        return len(self.there) >= self.needed


@dataclass(frozen=True)
class Progress:
    """A round for people."""

    round: int
    status: str
    """`open`, `finalised` or `aborted`."""
    steps: tuple[Step, ...]
    """In order."""
    collect_by: int
    """Unix seconds."""
    finalise_by: int
    """Unix seconds."""
    seconds_left: float | None
    """By how long rounds took here before, until it is finalised; None where nothing is known, or it has ended."""

    @property
    def phase(self) -> str:
        """The first step that is not over; `finalise` after the last, and then the status."""
        if self.status != "open":
            return self.status
        return next((step.name for step in self.steps if not step.over), "finalise")

    def to_json(self, names: Mapping[int, str]) -> dict[str, Any]:
        """Plain values; hospitals by name."""

        def named(seats: frozenset[int]) -> list[str]:
            return [names.get(seat, str(seat)) for seat in sorted(seats)]

        steps = [
            {"name": s.name, "needed": s.needed, "there": named(s.there), "missing": named(s.missing), "over": s.over}
            for s in self.steps
        ]
        return {
            "round": self.round,
            "status": self.status,
            "phase": self.phase,
            "steps": steps,
            "collect_by": self.collect_by,
            "finalise_by": self.finalise_by,
            "seconds_left": None if self.seconds_left is None else round(self.seconds_left, 1),
        }


def progress_of(
    row: RoundView,
    transactions: Iterable[Transaction],
    issuers: Mapping[bytes, int],
    openers: int,
    usual_seconds: float | None,
    opened_at: float | None,
    now: float,
) -> Progress:
    """Where a round stands.

    Args:
        row: What the chain says of it.
        transactions: Its transactions in this hospital's ledger.
        issuers: Seat of each account (20 bytes).
        openers: Members that open a sum, T.
        usual_seconds: How long a round took here before, see `usual_seconds`.
        opened_at: When it was opened, Unix seconds; None: not known.
        now: Unix seconds.
    """
    held = [
        (tx, seat)
        for tx in transactions
        if (seat := issuers.get(tx.issuer)) in row.standing.members and seat is not None
    ]
    left: float | None = None
    if row.open and usual_seconds is not None and opened_at is not None:
        left = min(max(0.0, opened_at + usual_seconds - now), max(0.0, row.finalise_by - now))
    return Progress(row.round, row.status, _steps(row, held, openers), row.collect_by, row.finalise_by, left)


def _steps(row: RoundView, held: Sequence[tuple[Transaction, int]], openers: int) -> tuple[Step, ...]:
    members, quorum = row.standing.members, row.quorum
    updates = frozenset(seat for tx, seat in held if tx.kind is Kind.UPDATE)
    reveals = frozenset(
        seat for tx, seat in held if isinstance(tx.body, AcknowledgementBody) and tx.body.reveal is not None
    )
    recorded = {proposed.proposal for proposed in row.proposals}
    proposed = frozenset(seat for tx, seat in held if tx.kind is Kind.PROPOSAL and tx.id in recorded)
    newest = row.proposals[-1].proposal if row.proposals else None
    asked = next(
        (frozenset(tx.body.openers) for tx, _ in held if tx.id == newest and isinstance(tx.body, ProposalBody)),
        frozenset[int](),
    )
    shares = frozenset(seat for tx, seat in held if isinstance(tx.body, ShareBody) and tx.body.proposal == newest)
    verdicts = frozenset(seat for tx, seat in held if isinstance(tx.body, VerdictBody) and tx.body.proposal == newest)
    signed = frozenset(seat for tx, seat in held if isinstance(tx.body, CheckpointBody) and tx.body.proposal == newest)
    return (
        Step("updates", updates, members - updates, len(members) if not row.proposals else 0),
        Step("reveals", reveals, updates - reveals, len(updates) if not row.proposals else 0),
        Step("proposal", proposed, frozenset(row.ranking[:1]) - proposed, 1),
        Step("shares", shares, asked - shares, openers),
        Step("verdicts", verdicts, members - verdicts, quorum),
        Step("signatures", signed, members - signed, quorum),
    )


def usual_seconds(marks: Iterable[Mapping[str, float]]) -> float | None:
    """How long a round takes here from its opening to its end: the median of those before, seconds.

    Args:
        marks: Of each round before, Unix seconds at which its phases ended, with `begin`.
    """
    lengths = [m["finalise"] - m["begin"] for m in marks if "finalise" in m and "begin" in m]
    return median(lengths) if lengths else None
