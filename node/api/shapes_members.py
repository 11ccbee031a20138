"""Members, key epochs and motions as answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from chain.conduct import Fault
from node.api.shapes import Address, Count, Cursor, Digest, Loose, Name, RoundNumber, Seat, Seconds, Shape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from node.consortium.records import EpochView
    from node.consortium.view import ConsortiumView
    from node.membership.motion import Motion


class FaultShape(Shape):
    """A fault on record."""

    round: RoundNumber
    fault: str = Field(examples=["SILENT_LEADER"], description="What was done, a name of `IConduct.Fault`.")


class MemberShape(Shape):
    """A hospital, as the chain knows it."""

    index: Seat
    name: Name
    account: Address
    url: str = Field(examples=["https://node.example.org"], description="Where its node answers; empty: nowhere.")
    data_size: Count = Field(examples=[612], description="Images it says it has.")
    card: Digest | None = Field(description="Digest of the data card it registered last; null: none.")
    box_key: Digest = Field(description="X25519 key that shares are sealed to.")
    reputation: int = Field(ge=0, le=100, examples=[100], description="0 to 100; weighs in the choice of leaders.")
    present: bool = Field(examples=[True], description="Whether it is a member now.")
    faults: tuple[FaultShape, ...] = Field(description="On record, oldest first.")

    @classmethod
    def of(cls, view: ConsortiumView, seat: int) -> MemberShape:
        """The hospital at a seat."""
        h, card = view.hospitals[seat], view.card_of(seat)
        faults = sorted((number, fault) for number, fault, at in view.faults if at == seat)
        return cls(
            index=seat,
            name=h.name,
            account=h.account,
            url=h.url,
            data_size=h.data_size,
            card=None if card is None else card.hex(),
            box_key=h.box_key.hex(),
            reputation=view.standing.reputations[seat],
            present=seat in view.members,
            faults=tuple(FaultShape(round=number, fault=Fault(fault).name) for number, fault in faults),
        )


class MembersShape(Shape):
    """The consortium's members by seat."""

    quorum: Count = Field(examples=[3], description="How many of the present members decide: ⌈2N/3⌉.")
    members: tuple[MemberShape, ...] = Field(description="By seat.")


class EpochShape(Shape):
    """A key epoch and its ceremony."""

    epoch: Count = Field(examples=[1], description="Its number.")
    state: Literal["running", "active", "aborted"] = Field(examples=["active"], description="Of its ceremony.")
    threshold: Count = Field(examples=[3], description="Members who open a sum together.")
    members: Count = Field(examples=[4], description="Members that hold a share.")
    seats: tuple[Seat, ...] = Field(description="Whose shares those are.")
    parameter_set: str = Field(
        pattern=r"^[0-9a-f]{32}$",
        examples=["5d41402abc4b2a76b9719d911017c592"],
        description="Id of the encryption parameters.",
    )
    joint_key: Digest | None = Field(description="Digest of the public key; null until the epoch is active.")
    generation: Count = Field(examples=[0], description="How often the shares were refreshed.")
    refreshing: bool = Field(examples=[False], description="Whether a refresh of the shares runs.")
    announced: Count = Field(description="Members that announced their key of this ceremony.")
    committed: Count = Field(description="Members that committed to their dealing.")
    dealt: Count = Field(description="Members that dealt.")
    tested: Count = Field(description="Members that reported the self-test.")
    confirmed: Count = Field(description="Members that confirmed the key.")

    @classmethod
    def of(cls, epoch: EpochView) -> EpochShape:
        """An epoch of the chain's view."""
        return cls(
            epoch=epoch.epoch,
            state="running" if epoch.running else "active" if epoch.joint_key else "aborted",
            threshold=epoch.threshold,
            members=len(epoch.seats),
            seats=epoch.seats,
            parameter_set=epoch.parameter_set.hex(),
            joint_key=epoch.joint_key.hex() if epoch.joint_key else None,
            generation=epoch.generation,
            refreshing=epoch.refreshing is not None,
            announced=len(epoch.announcements),
            committed=len(epoch.commitments),
            dealt=len(epoch.dealings),
            tested=len(epoch.reports),
            confirmed=len(epoch.confirmations),
        )


class EpochsShape(Shape):
    """A page of key epochs."""

    active: int | None = Field(ge=1, examples=[1], description="The epoch whose key is in use; null before the first.")
    epochs: tuple[EpochShape, ...] = Field(description="By number.")
    next: Cursor


class SignerShape(Shape):
    """A member that signed."""

    index: Seat | None = Field(description="Its seat; null where the account is none of a member's.")
    name: Name | None
    account: Address


class MotionShape(Shape):
    """What is put to the members' vote."""

    id: Digest = Field(description="The digest that members sign.")
    kind: str = Field(examples=["Admission"], description="Name of the EIP-712 record.")
    vote: Loose = Field(examples=[{"name": "St. Elisabeth"}], description="The fields of the EIP-712 record.")
    decision: int | None = Field(examples=[4], description="The count of decisions it is about; null for a finding.")
    deadline: Seconds | None = Field(description="Until when it may be carried out; null for a finding.")
    signers: tuple[SignerShape, ...] = Field(description="Who signed, as far as this node knows.")
    quorum: Count = Field(examples=[3], description="How many are needed now.")
    state: Literal["pending", "ended"] = Field(examples=["pending"], description="Still open, or over.")
    ended: str = Field(examples=[""], description="How it ended; empty while it is pending.")

    @classmethod
    def of(
        cls, motion: Motion, signatures: Mapping[str, bytes], view: ConsortiumView, *, pending: bool, how: str = ""
    ) -> MotionShape:
        """A motion of the book, with the accounts that signed it."""
        content = motion.to_json()
        return cls(
            id=motion.id.hex(),
            kind=content["kind"],
            vote=content["vote"],
            decision=motion.decision,
            deadline=motion.deadline,
            signers=tuple(_signer(view, account) for account in signatures),
            quorum=view.quorum,
            state="pending" if pending else "ended",
            ended=how,
        )


class MotionsShape(Shape):
    """A page of motions."""

    motions: tuple[MotionShape, ...] = Field(description="Pending oldest first, ended newest first.")
    next: Cursor


def _signer(view: ConsortiumView, account: str) -> SignerShape:
    seat = view.seats.get(bytes.fromhex(account.removeprefix("0x")))
    return SignerShape(index=seat, name=None if seat is None else view.hospitals[seat].name, account=account)
