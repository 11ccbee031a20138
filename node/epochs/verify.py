"""Checking a key ceremony from outside, with the chain and public blobs alone (CRY-1, CRY-2, CRY-5).

Checked: every dealing is the one its member committed to, the joint key is the sum of the public shares, every report is
about that key, and the self-test opens; then what each complaint rests on. Nobody but a share's receiver can check the
share itself, unless a complaint opens it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

from crypto.ceremony import read_public, transcript_of, verify_header
from crypto.dealing import Terms
from crypto.errors import CryptoError, SelfTestFailed, UnfoundedComplaint
from crypto.keys import JointKey
from crypto.parameters import parameter_set
from crypto.ring import add
from crypto.selftest import check_self_test
from node.epochs.judge import (
    judge_disclosures,
    needs_no_record,
    read_header,
    read_openings,
    verify_share_complaint,
)
from node.storage import StorageError, raw_cid

if TYPE_CHECKING:
    from crypto.dealing import DealingHeader
    from crypto.modular import Words
    from node.consortium.records import EpochView
    from node.consortium.view import ConsortiumView
    from node.epochs.judge import Obtains

VERIFIED, FALSE, UNCHECKED = "verified", "false", "unchecked"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    verdict: str
    """`verified`, `false` or `unchecked`."""
    detail: str = ""
    offender: int | None = None
    """Index of the member at fault, where that is known."""


@dataclass(frozen=True)
class CeremonyReport:
    """What checking one ceremony found."""

    epoch: int
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> str:
        """The worst finding; a ceremony of which nothing could be looked at is `unchecked`."""
        verdicts = {finding.verdict for finding in self.findings} or {UNCHECKED}
        return next(v for v in (FALSE, UNCHECKED, VERIFIED) if v in verdicts)

    @property
    def offenders(self) -> tuple[int, ...]:
        """Members proven to be at fault."""
        return tuple(sorted({f.offender for f in self.findings if f.offender is not None}))


class Examination:
    """One ceremony under examination; `report` does it all.

    Args:
        view: The chain's events, folded.
        epoch: The epoch to look at.
        consortium: 32-byte consortium id.
        blobs: Where blobs come from.
        allow_minimal: Accept the insecure `minimal` parameters: tests only.
    """

    def __init__(
        self, view: ConsortiumView, epoch: EpochView, consortium: bytes, blobs: Obtains, *, allow_minimal: bool = False
    ) -> None:
        self._view, self._epoch, self._blobs = view, epoch, blobs
        self._findings: list[Finding] = []
        params = parameter_set(epoch.parameter_set, allow_minimal=allow_minimal)
        keys = tuple(hospital.box_key for hospital in view.hospitals)
        self._terms = Terms(params, consortium, epoch.epoch, epoch.threshold, keys)

    def report(self) -> CeremonyReport:
        """Look at everything that is there; what is wrong or missing is a finding, never an exception."""
        dealings = [self._dealing(member) for member in range(len(self._view.hospitals))]
        complete = [dealing for dealing in dealings if dealing is not None]
        if len(complete) == len(dealings):
            self._key(complete)
        self._complaints()
        return CeremonyReport(self._epoch.epoch, tuple(self._findings))

    def _note(self, subject: str, verdict: str, detail: str = "", offender: int | None = None) -> None:
        self._findings.append(Finding(subject, verdict, detail, offender))

    def _dealing(self, member: int) -> tuple[DealingHeader, Words] | None:
        subject, address = f"dealing of {self._view.hospitals[member].name}", self._view.addresses[member]
        if address not in self._epoch.dealings or address not in self._epoch.commitments:
            self._note(subject, UNCHECKED, "the chain has none")
            return None
        try:
            header = read_header(self._blobs, self._epoch, member, address)
            verify_header(header, self._terms, self._epoch.commitments[address], member)
            b = read_public(header, self._blobs.obtain(raw_cid(header.public)), self._terms, member)
        except StorageError as error:
            self._note(subject, UNCHECKED, str(error))
        except CryptoError as error:
            self._note(subject, FALSE, str(error), member)
        else:
            self._note(subject, VERIFIED)
            return header, b
        return None

    def _key(self, dealings: list[tuple[DealingHeader, Words]]) -> None:
        terms = self._terms
        b = reduce(lambda x, y: add(x, y, terms.params.primes), (b for _, b in dealings))
        transcript = transcript_of([header for header, _ in dealings])
        joint = JointKey(terms.params, terms.consortium, terms.epoch, terms.members, terms.threshold, transcript, b)
        if self._epoch.joint_key is not None:
            right = joint.digest == self._epoch.joint_key
            found = f"the chain has {self._epoch.joint_key.hex()}, the dealings make {joint.digest.hex()}"
            self._note("joint key", VERIFIED if right else FALSE, "" if right else found)
        if len(self._epoch.reports) == terms.members:
            self._self_test(joint)

    def _self_test(self, joint: JointKey) -> None:
        try:
            openings, faults = read_openings(self._blobs, self._view, self._epoch, joint)
            for member, why in faults.items():
                self._note(f"report of {self._view.hospitals[member].name}", FALSE, why, member)
            if not faults:
                check_self_test(joint, openings)
                self._note("self-test", VERIFIED)
        except StorageError as error:
            self._note("self-test", UNCHECKED, str(error))
        except SelfTestFailed as failure:
            self._note("self-test", FALSE, str(failure))
            self._disclosures(joint)

    def _disclosures(self, joint: JointKey) -> None:
        try:
            verdicts = judge_disclosures(self._blobs, self._view, self._epoch, self._terms, joint)
        except StorageError as error:
            self._note("disclosed dealings", UNCHECKED, str(error))
            return
        for member, hospital in enumerate(self._view.hospitals):
            subject = f"disclosure of {hospital.name}"
            if member not in verdicts:
                self._note(subject, UNCHECKED, "it has shown nothing")
            elif verdicts[member] is None:
                self._note(subject, VERIFIED)
            else:
                self._note(subject, FALSE, str(verdicts[member]), member)

    def _complaints(self) -> None:
        names, addresses = [h.name for h in self._view.hospitals], self._view.addresses
        for complaint in self._epoch.complaints:
            who, whom = addresses.index(complaint.member), addresses.index(complaint.offender)
            if needs_no_record(self._epoch, complaint):
                continue  # the message complained about was judged above
            subject = f"complaint of {names[who]} about {names[whom]}"
            try:
                verify_share_complaint(self._blobs, self._view, self._epoch, self._terms, complaint)
                self._note(subject, FALSE, f"{names[whom]} sealed a bad share", whom)
            except UnfoundedComplaint as error:
                self._note(subject, FALSE, str(error), who)
            except StorageError as error:
                self._note(subject, UNCHECKED, str(error))
