"""Where a motion stands: whose signatures count, whether it can be carried out, whether it is over. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from chain.records import bitmap_members
from chain.votes import Admission, Finding, PlanDecision, Removal, Resizing, Rotation
from node.consortium.records import quorum_of
from node.consortium.view import address_bytes
from node.membership.fingerprint import fingerprint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from node.consortium.view import ConsortiumView
    from node.membership.motion import Motion

DONE = "carried out"


@dataclass(frozen=True)
class Tally:
    """A motion and who stands behind it.

    Attributes:
        motion: The motion.
        signatures: Of present members who decide, by seat.
        quorum: How many are needed now.
        ended: How it ended; empty while it has not.
        due: Whether the chain would take it now, signatures aside.
    """

    motion: Motion
    signatures: Mapping[int, bytes]
    quorum: int
    ended: str
    due: bool

    @property
    def ready(self) -> bool:
        """Whether it can be carried out."""
        return self.due and not self.ended and len(self.signatures) >= self.quorum


def tally(motion: Motion, signatures: Mapping[str, bytes], view: ConsortiumView, now: float) -> Tally:
    """Where a motion stands.

    Args:
        motion: The motion.
        signatures: By the signer's account; those of others than the members who decide count for nothing.
        view: What the chain said so far.
        now: Unix seconds.
    """
    voters = _voters(motion, view)
    held = {hospital.account: seat for seat, hospital in view.present if seat in voters}
    counted = {held[account]: signature for account, signature in signatures.items() if account in held}
    ended = _finding_ended(motion.vote, view) if isinstance(motion.vote, Finding) else _ended(motion, view, now)
    due = (
        motion.vote.round in view.rounds
        if isinstance(motion.vote, Finding)
        else motion.decision == _count(motion, view)
    )
    return Tally(motion, counted, quorum_of(len(held)), ended, due)


def _voters(motion: Motion, view: ConsortiumView) -> frozenset[int]:
    """The members who decide: all, but about a fault in a cohort's round the cohort, which alone could see it."""
    row = view.rounds.get(motion.vote.round) if isinstance(motion.vote, Finding) else None
    epoch = view.epochs.get(row.epoch) if row is not None else None
    return view.members & frozenset(epoch.seats) if epoch is not None and epoch.drawn else view.members


def _count(motion: Motion, view: ConsortiumView) -> int:
    """The number that a vote must name to count, of the contract that counts it."""
    return view.plan_decisions if isinstance(motion.vote, PlanDecision) else view.decisions


def _ended(motion: Motion, view: ConsortiumView, now: float) -> str:
    """How a decision ended; empty while it may still be carried out."""
    decision, deadline = motion.decision, motion.deadline
    if decision is not None and decision < _count(motion, view):
        return DONE if carried_out(motion, view) else "void: another decision was carried out first, propose it again"
    if deadline is not None and deadline < now:
        return "expired before a quorum had signed"
    return _pointless(motion, view)


def _finding_ended(finding: Finding, view: ConsortiumView) -> str:
    seats = bitmap_members(finding.members)
    if not seats <= view.members:
        return "about a hospital that is no member"
    recorded = all((finding.round, int(finding.fault), seat) in view.faults for seat in seats)
    return DONE if recorded else ""


def carried_out(motion: Motion, view: ConsortiumView) -> bool:
    """Whether the chain shows what was moved."""
    match motion.vote:
        case Admission(hospital=hospital):
            return address_bytes(hospital.account) in view.seats
        case Removal(account=account):
            return _seat(view, account) is None and address_bytes(account) in view.seats
        case Rotation(new_account=account, new_box_key=key):
            seat = _seat(view, account)
            return seat is not None and view.hospitals[seat].box_key == key
        case Resizing(account=account, data_size=size):
            seat = _seat(view, account)
            return seat is not None and view.hospitals[seat].data_size == size
        case PlanDecision(plan=plan, admitted=admitted):
            return (plan in view.plans) is admitted
        case _:
            return True


def _pointless(motion: Motion, view: ConsortiumView) -> str:
    """Why the registry would refuse a motion whoever signs; empty if it would not."""
    match motion.vote:
        case Admission(hospital=hospital) if address_bytes(hospital.account) in view.seats:
            return f"void: {hospital.account} is, or was, a member's account"
        case Removal(account=account) | Rotation(account=account) | Resizing(account=account):
            return "" if _seat(view, account) is not None else f"void: {account} is no member's account"
        case _:
            return ""


def _seat(view: ConsortiumView, account: str) -> int | None:
    """The seat whose present member answers to an account."""
    return next((seat for seat, hospital in view.present if hospital.account == account), None)


def describe(motion: Motion, view: ConsortiumView) -> str:
    """What a motion would do, in a line, with the fingerprint of keys it would let in."""
    match motion.vote:
        case Admission(hospital=h):
            print_of = fingerprint(h.account, h.box_key)
            return (
                f"admit {h.name} ({h.account}, {h.data_size} images, {h.url or 'no address'}), fingerprint {print_of}"
            )
        case Removal(account=account):
            return f"remove {_named(view, account)}"
        case Rotation(account=account, new_account=new, new_box_key=key):
            return f"exchange the keys of {_named(view, account)} for {new}, fingerprint {fingerprint(new, key)}"
        case Resizing(account=account, data_size=size):
            return f"set the data size of {_named(view, account)} to {size} images"
        case PlanDecision(plan=plan, admitted=admitted):
            return f"{'admit' if admitted else 'withdraw'} plan {plan.hex()}"
        case Finding() as finding:
            names = ", ".join(
                view.hospitals[s].name for s in sorted(bitmap_members(finding.members)) if s < len(view.hospitals)
            )
            what = finding.fault.name.lower().replace("_", " ")
            return f"find {names or 'nobody known'} at fault in round {finding.round}: {what} (evidence {finding.evidence.hex()})"
        case _:
            return type(motion.vote).__name__


def _named(view: ConsortiumView, account: str) -> str:
    seat = view.seats.get(address_bytes(account))
    return f"{view.hospitals[seat].name} ({account})" if seat is not None else account
