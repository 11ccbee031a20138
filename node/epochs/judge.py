"""Who is at fault in a key ceremony or refresh: complaints of others checked, reports and disclosures judged.

Nobody believes a complaint: each member checks the evidence itself and joins with a complaint of its own if it holds. A
quorum of complaints ends the ceremony on chain.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from crypto.ceremony import verify_header
from crypto.complaint import ShareComplaint, verify_complaint, verify_disclosure
from crypto.dealing import DealingHeader, verify_box_key
from crypto.errors import CeremonyFault, CryptoError, MalformedBytes, UnfoundedComplaint
from crypto.selftest import self_test_subsets, verify_test_opening
from node.epochs.report import unpack_report
from node.errors import LyingPeer
from node.storage import raw_cid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crypto.dealing import Terms
    from crypto.keys import JointKey
    from node.consortium.records import ComplaintView, EpochView


class Obtains(Protocol):
    """Somewhere blobs can be had."""

    def obtain(self, cid: str) -> bytes:
        """The bytes of a blob.

        Raises:
            StorageError: It cannot be had.
        """


def read_header(blobs: Obtains, epoch: EpochView, dealer: int, address: bytes) -> DealingHeader:
    """A dealer's header as the chain names it.

    Raises:
        CeremonyFault: The dealer published something else under that digest.
        StorageError: Nobody has it.
    """
    try:
        return DealingHeader.from_bytes(blobs.obtain(raw_cid(epoch.dealings[address])))
    except MalformedBytes as error:
        raise CeremonyFault(dealer, str(error)) from None


def unusable_keys(epoch: EpochView) -> dict[int, str]:
    """By member, what is wrong with the key it announced; a key that somebody announced before, the contract refuses."""
    faults = {}
    for member, address in enumerate(epoch.members):
        try:
            verify_box_key(epoch.announcements[address], "announced key")
        except MalformedBytes as error:
            faults[member] = str(error)
    return faults


def needs_no_record(epoch: EpochView, complaint: ComplaintView) -> bool:
    """Whether the evidence is a message of the accused on chain: then every member judges that message itself."""
    messages = (epoch.announcements, epoch.dealings, epoch.reports, epoch.confirmations)
    return any(table.get(complaint.offender) == complaint.evidence for table in messages)


def verify_share_complaint(blobs: Obtains, epoch: EpochView, terms: Terms, complaint: ComplaintView) -> None:
    """Raise unless a complaint on chain is backed by evidence that its accused sealed a bad share.

    Raises:
        UnfoundedComplaint: It is not; the error names the member that complains.
        StorageError: The evidence cannot be had.
    """
    complainer = epoch.members.index(complaint.member)
    if complaint.offender not in epoch.members:
        raise UnfoundedComplaint(complainer, "the accused takes no part in this ceremony")
    dealer = epoch.members.index(complaint.offender)
    try:
        record = ShareComplaint.from_bytes(blobs.obtain(raw_cid(complaint.evidence)))
    except MalformedBytes as error:
        raise UnfoundedComplaint(complainer, str(error)) from None
    if record.dealer != dealer or record.complainer >= terms.members or complaint.offender not in epoch.dealings:
        raise UnfoundedComplaint(complainer, f"its evidence is not about a dealing of member {dealer}")
    try:
        header = read_header(blobs, epoch, dealer, complaint.offender)
        verify_header(header, terms, epoch.commitments[complaint.offender], dealer)
        share = blobs.obtain(raw_cid(header.shares[record.complainer]))
        verify_complaint(record, header, share, terms=terms, commitment=epoch.commitments[complaint.offender])
    except CeremonyFault:
        return


def read_openings(blobs: Obtains, epoch: EpochView, joint: JointKey) -> tuple[list[dict[int, bytes]], dict[int, str]]:
    """Everybody's openings of the test vector, and whose report is at fault.

    Returns:
        For each subset, opening by member; and by member what is wrong with its report.

    Raises:
        StorageError: A report or an opening cannot be had.
    """
    subsets = self_test_subsets(len(epoch.members), epoch.threshold)
    openings: list[dict[int, bytes]] = [{} for _ in subsets]
    faults: dict[int, str] = {}
    for member, address in enumerate(epoch.members):
        try:
            cids = _reported(blobs.obtain(raw_cid(epoch.reports[address])), joint, subsets, member)
            for number, cid in cids.items():
                openings[number][member] = blobs.obtain(cid)
                verify_test_opening(joint, subsets[number], member, openings[number][member], epoch.made)
        except (LyingPeer, CryptoError) as error:
            faults[member] = str(error)
    return openings, faults


def _reported(data: bytes, joint: JointKey, subsets: Sequence[tuple[int, ...]], member: int) -> dict[int, str]:
    """The CIDs of a member's openings, one for each subset it is in.

    Raises:
        LyingPeer: The report is malformed, about another key or incomplete.
    """
    report = unpack_report(data)
    if report.joint != joint.digest:
        raise LyingPeer(f"it reports the joint key {report.joint.hex()}, the dealings make {joint.digest.hex()}")
    wanted = {number for number, subset in enumerate(subsets) if member in subset}
    if set(report.openings) != wanted:
        raise LyingPeer(f"it has openings for the subsets {sorted(report.openings)}, expected {sorted(wanted)}")
    return dict(report.openings)


def judge_disclosures(blobs: Obtains, epoch: EpochView, terms: Terms, joint: JointKey) -> dict[int, str | None]:
    """After a failed self-test: by member that confirmed anything, what convicts it, or None if its dealing is in order.

    Raises:
        StorageError: A disclosure cannot be had.
    """
    verdicts: dict[int, str | None] = {}
    for member, address in enumerate(epoch.members):
        shown = epoch.confirmations.get(address)
        if shown is None:
            continue
        if shown == joint.digest:
            verdicts[member] = "it confirmed a key whose self-test failed"
            continue
        try:
            data, commitment = blobs.obtain(raw_cid(shown)), epoch.commitments[address]
            verify_disclosure(data, terms=terms, commitment=commitment, dealer=member)
            verdicts[member] = None
        except CeremonyFault as fault:
            verdicts[member] = str(fault)
    return verdicts
