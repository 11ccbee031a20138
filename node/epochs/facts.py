"""What anybody may know about a key epoch: where its ceremony and its refreshes stand, who did what, who complained."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from crypto.errors import CryptoError
from crypto.parameters import parameter_set
from node.consortium.records import quorum_of
from node.storage import raw_cid

if TYPE_CHECKING:
    from node.consortium.records import EpochView
    from node.consortium.view import ConsortiumView

STEPS = ("announced", "committed", "dealt", "reported", "confirmed")
"""A member's steps in a ceremony, in order; a report is also its receipt for every dealing."""


@dataclass(frozen=True)
class MemberFacts:
    """One member's part in a ceremony or refresh."""

    index: int
    """Its seat."""
    name: str
    account: str
    done: tuple[str, ...]
    """Which of STEPS it has taken."""
    accused_by: tuple[int, ...]
    """Seats of the members that complained about it."""


@dataclass(frozen=True)
class RefreshFacts:
    """One refresh of an epoch's shares, as the chain shows it."""

    refresh: int
    """1 for the epoch's first."""
    generation: int
    """The generation of shares that it makes."""
    status: str
    """`running`, `active` (in force, or followed by a later one) or `aborted`."""
    deadline: int
    """Unix seconds."""
    members: tuple[MemberFacts, ...]

    @property
    def progress(self) -> str:
        """How far it is, in a line."""
        return _progress(self.members)


@dataclass(frozen=True)
class EpochFacts:
    """One epoch, as the chain shows it."""

    epoch: int
    status: str
    """`running`, `active`, `superseded` or `aborted`."""
    parameters: str
    """Name of the parameter set, or its id in hex where this software does not know it."""
    threshold: int
    quorum: int
    deadline: int
    """Unix seconds."""
    joint_key: str | None
    """Digest of the joint key, hex, once the epoch was active."""
    joint_cid: str | None
    """CID of the joint key's bytes."""
    members: tuple[MemberFacts, ...]
    generation: int = 0
    """How often the shares in force were refreshed."""
    refreshes: tuple[RefreshFacts, ...] = ()
    """Every refresh of its shares, whatever became of it."""
    drawn_from: int | None = None
    """How many members there were when its cohort was drawn; None where its members are all there were."""

    def to_json(self) -> dict[str, Any]:
        """Plain values; `done` lists a member's steps."""
        return asdict(self)

    @property
    def progress(self) -> str:
        """How far the ceremony is, in a line."""
        return _progress(self.members)


def epoch_facts(view: ConsortiumView, epoch: EpochView) -> EpochFacts:
    """The facts of one epoch; its members are those when its ceremony was opened, or the cohort drawn from them."""
    key = epoch.joint_key
    return EpochFacts(
        epoch.epoch,
        status(view, epoch),
        _name(epoch.parameter_set),
        epoch.threshold,
        quorum_of(len(epoch.seats)) if epoch.drawn else view.quorum,
        epoch.deadline,
        key.hex() if key else None,
        raw_cid(key) if key else None,
        _members(view, epoch),
        epoch.generation,
        tuple(RefreshFacts(r.refresh, r.generation, _ended(r), r.deadline, _members(view, r)) for r in epoch.refreshes),
        len(epoch.drawn.candidates) if epoch.drawn else None,
    )


def _members(view: ConsortiumView, record: EpochView) -> tuple[MemberFacts, ...]:
    tables = (record.announcements, record.commitments, record.dealings, record.reports, record.confirmations)
    return tuple(
        MemberFacts(
            seat,
            view.hospitals[seat].name,
            view.hospitals[seat].account,
            tuple(step for step, table in zip(STEPS, tables, strict=True) if address in table),
            tuple(record.seats[record.members.index(c.member)] for c in record.complaints if c.offender == address),
        )
        for seat, address in zip(record.seats, record.members, strict=True)
    )


def _progress(members: tuple[MemberFacts, ...]) -> str:
    total = len(members)
    counts = ", ".join(f"{step} {sum(step in m.done for m in members)}/{total}" for step in STEPS)
    accused = [m.name for m in members if m.accused_by]
    return counts + (f"; accused: {', '.join(accused)}" if accused else "")


def _ended(record: EpochView) -> str:
    return "running" if record.running else "aborted" if record.joint_key is None else "active"


def status(view: ConsortiumView, epoch: EpochView) -> str:
    """`running`, `active`, `superseded` or `aborted`."""
    if epoch.running:
        return "running"
    if epoch.joint_key is None:
        return "aborted"
    return "active" if epoch.epoch == view.active_epoch else "superseded"


def _name(identity: bytes) -> str:
    try:
        return parameter_set(identity, allow_minimal=True).name
    except CryptoError:
        return identity.hex()
