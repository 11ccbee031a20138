"""What anybody may know about a key epoch: where its ceremony stands, who did what, who complained."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from crypto.errors import CryptoError
from crypto.parameters import parameter_set
from node.storage import raw_cid

if TYPE_CHECKING:
    from node.consortium.records import EpochView
    from node.consortium.view import ConsortiumView

STEPS = ("committed", "dealt", "reported", "confirmed")
"""A member's steps in a ceremony, in order; a report is also its receipt for every dealing."""


@dataclass(frozen=True)
class MemberFacts:
    """One member's part in a ceremony."""

    index: int
    name: str
    account: str
    done: tuple[str, ...]
    """Which of STEPS it has taken."""
    accused_by: tuple[int, ...]
    """Members that complained about it."""


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

    def to_json(self) -> dict[str, Any]:
        """Plain values; `done` lists a member's steps."""
        return asdict(self)

    @property
    def progress(self) -> str:
        """How far the ceremony is, in a line."""
        total = len(self.members)
        counts = ", ".join(f"{step} {sum(step in m.done for m in self.members)}/{total}" for step in STEPS)
        accused = [m.name for m in self.members if m.accused_by]
        return counts + (f"; accused: {', '.join(accused)}" if accused else "")


def epoch_facts(view: ConsortiumView, epoch: EpochView) -> EpochFacts:
    """The facts of one epoch. Members that joined after it are listed as having done nothing."""
    tables = (epoch.commitments, epoch.dealings, epoch.reports, epoch.confirmations)
    addresses = view.addresses
    members = tuple(
        MemberFacts(
            index,
            hospital.name,
            hospital.account,
            tuple(step for step, table in zip(STEPS, tables, strict=True) if address in table),
            tuple(addresses.index(c.member) for c in epoch.complaints if c.offender == address),
        )
        for index, (hospital, address) in enumerate(zip(view.hospitals, addresses, strict=True))
    )
    key = epoch.joint_key
    return EpochFacts(
        epoch.epoch,
        status(view, epoch),
        _name(epoch.parameter_set),
        epoch.threshold,
        view.quorum,
        epoch.deadline,
        key.hex() if key else None,
        raw_cid(key) if key else None,
        members,
    )


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
