"""What this member holds and makes in a ceremony, and in a refresh: the same steps, of different material.

A job is made anew from the chain's view and the vault whenever it is needed; everything durable is in the vault.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from crypto.ceremony import Dealer, ReceivedShare, finish, receive
from crypto.dealing import Terms
from crypto.randomness import fresh_seed
from crypto.refresh import Refresher, ZeroShare, finish_refresh, receive_zero, refresh_terms
from node.errors import BadConfig
from node.sealing.keys import EpochKeys
from node.storage import raw_cid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crypto.dealing import DealingHeader
    from crypto.keys import JointKey
    from crypto.parameters import ParameterSet
    from crypto.secrets import BoxKey
    from node.consortium.records import EpochView
    from node.epochs.judge import Obtains
    from node.epochs.vault import Vault


def ceremony_terms(record: EpochView, params: ParameterSet, consortium: bytes) -> Terms:
    """The terms of a ceremony in which all members have announced their keys.

    Raises:
        MalformedBytes: The chain's numbers are out of bounds for this parameter set.
    """
    return Terms(params, consortium, record.epoch, record.threshold, _announced(record))


def terms_of_refresh(record: EpochView, joint: JointKey) -> Terms:
    """The terms of a refresh in which all members have announced their keys.

    Raises:
        MalformedBytes: The chain's numbers are out of bounds.
    """
    return refresh_terms(joint, record.generation, _announced(record))


def _announced(record: EpochView) -> tuple[bytes, ...]:
    return tuple(record.announcements[address] for address in record.members)


@dataclass(frozen=True)
class Ceremony:
    """This member's part in the ceremony that makes an epoch's key."""

    record: EpochView
    """The ceremony as the chain shows it; all members have announced their keys."""
    terms: Terms
    me: int
    """This member's place among those who take part, its number in the encryption."""
    vault: Vault

    dealer_kind: ClassVar[type[Dealer]] = Dealer

    @cached_property
    def box(self) -> BoxKey:
        """The key this member announced; unsealed once for all dealers.

        Raises:
            BadConfig: It is lost.
        """
        box = self.vault.box(self.record.epoch, self.record.refresh)
        if box is None:
            raise BadConfig(
                f"epoch {self.record.epoch}: the key this hospital announced for the ceremony is not on its disk; "
                "it cannot go on here and ends at its deadline"
            )
        return box

    def dealer(self) -> Dealer:
        """This member as a dealer; its seed is durable when this returns."""
        epoch, refresh = self.record.epoch, self.record.refresh
        seed = self.vault.dealer_seed(epoch, refresh)
        if seed is None:
            seed = fresh_seed()
            self.vault.keep_dealer_seed(epoch, seed, refresh)
        return self.dealer_kind.resume(self.terms, self.me, seed)

    def keys(self) -> EpochKeys | None:
        """What the ceremony made for this member; None until `finish`."""
        return self.vault.keys(self.record.epoch)

    def receive(self, blobs: Obtains, header: DealingHeader, share: bytes, dealer: int) -> ReceivedShare | ZeroShare:
        """One dealer's share for this member, checked.

        Raises:
            BadShare, CeremonyFault: The dealer is at fault.
            StorageError: Its public share cannot be had.
        """
        return receive(
            header,
            blobs.obtain(raw_cid(header.public)),
            share,
            self.box,
            terms=self.terms,
            commitment=self.record.commitments[self.record.members[dealer]],
            dealer=dealer,
            receiver=self.me,
        )

    def finish(self, received: Sequence[ReceivedShare | ZeroShare]) -> None:
        """Add up what was received and keep the result."""
        member, joint = finish([share for share in received if isinstance(share, ReceivedShare)])
        self.vault.keep(self.record.epoch, member, joint)


@dataclass(frozen=True)
class Refresh(Ceremony):
    """This member's part in a refresh: the share in force stays where it is until the chain has the new generation."""

    held: EpochKeys
    """This member's keys of the epoch."""

    dealer_kind: ClassVar[type[Dealer]] = Refresher

    def keys(self) -> EpochKeys | None:
        """The share of the next generation under the same joint key; None until `finish`."""
        if self.held.member.generation == self.record.generation:
            return self.held
        share = self.vault.next_share(self.record.epoch, self.record.refresh)
        return None if share is None else EpochKeys(self.record.epoch, share, self.held.joint, self.held.joint_cid)

    def receive(self, _blobs: Obtains, header: DealingHeader, share: bytes, dealer: int) -> ReceivedShare | ZeroShare:
        """One dealer's share of zero for this member, checked; there is no public share to fetch.

        Raises:
            BadShare, CeremonyFault: The dealer is at fault.
        """
        return receive_zero(
            header,
            share,
            self.box,
            terms=self.terms,
            commitment=self.record.commitments[self.record.members[dealer]],
            dealer=dealer,
            receiver=self.me,
        )

    def finish(self, received: Sequence[ReceivedShare | ZeroShare]) -> None:
        """Add what was received to the share in force and keep the sum beside it."""
        zeros = [share for share in received if isinstance(share, ZeroShare)]
        share = finish_refresh(self.held.member, self.box, zeros)
        self.vault.keep_next_share(self.record.epoch, self.record.refresh, share)
