"""Checking a key ceremony or refresh from outside, with the chain and public blobs alone (CRY-1, CRY-2, CRY-5).

Checked of a ceremony: every dealing is the one its member committed to, the joint key is the sum of the public shares,
every report is about that key, and the self-test opens; then what each complaint rests on. Of a refresh: every dealing
shares zero, and the self-test opens under the same joint key with shares of the generation it makes. Nobody but a share's
receiver can check the share itself, unless a complaint opens it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from chain.cohort import verify_cohort
from chain.errors import ChainError
from crypto.ceremony import read_public, transcript_of, verify_header
from crypto.errors import CryptoError, SelfTestFailed, UnfoundedComplaint
from crypto.keys import JointKey
from crypto.parameters import parameter_set
from crypto.ring import add
from crypto.selftest import check_self_test
from node.epochs.jobs import ceremony_terms, terms_of_refresh
from node.epochs.judge import (
    judge_disclosures,
    needs_no_record,
    read_header,
    read_openings,
    unusable_keys,
    verify_share_complaint,
)
from node.storage import StorageError, raw_cid

if TYPE_CHECKING:
    from crypto.dealing import DealingHeader, Terms
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
    """Seat of the member at fault, where that is known."""


@dataclass(frozen=True)
class CeremonyReport:
    """What checking one ceremony or refresh found."""

    epoch: int
    refresh: int
    """0: the ceremony itself."""
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
    """One ceremony or refresh under examination; `report` does it all.

    Args:
        view: The chain's events, folded.
        epoch: The epoch to look at, or one of its refreshes.
        consortium: 32-byte consortium id.
        blobs: Where blobs come from.
        allow_minimal: Accept the insecure `minimal` parameters: tests only.
    """

    def __init__(
        self, view: ConsortiumView, epoch: EpochView, consortium: bytes, blobs: Obtains, *, allow_minimal: bool = False
    ) -> None:
        self._view, self._epoch, self._blobs = view, epoch, blobs
        self._findings: list[Finding] = []
        self._consortium = consortium
        self._allow_minimal = allow_minimal
        self._params = parameter_set(epoch.parameter_set, allow_minimal=allow_minimal)

    def report(self) -> CeremonyReport:
        """Look at everything that is there; what is wrong or missing is a finding, never an exception."""
        self._draw()
        joint = self._refreshed_key() if self._epoch.refresh else None
        terms = self._agreed(joint)
        if terms is not None:
            dealings = [self._dealing(member, terms) for member in range(terms.members)]
            complete = [dealing for dealing in dealings if dealing is not None]
            if len(complete) == len(dealings):
                joint = joint or self._made_key(terms, complete)
                if len(self._epoch.reports) == terms.members:
                    self._self_test(terms, joint)
            self._complaints(terms)
        return CeremonyReport(self._epoch.epoch, self._epoch.refresh, tuple(self._findings))

    def _draw(self) -> None:
        """A cohort is drawn again, by the seed that the rounds before it left behind."""
        drawn, seats = self._epoch.drawn, self._epoch.seats
        if drawn is None:
            return
        try:
            seed = drawn.due_seed(self._consortium)
            verify_cohort(self._consortium, self._epoch.epoch, seed, drawn.candidates, seats)
        except ChainError as error:
            self._note("cohort", FALSE, str(error))
        else:
            self._note(
                "cohort", VERIFIED, f"{len(seats)} of {len(drawn.candidates)} members, as the rounds' seed draws them"
            )

    def _agreed(self, joint: JointKey | None) -> Terms | None:
        """What the members agreed on; None, with a finding, where they did not get that far."""
        epoch = self._epoch
        missing = [self._name(k) for k, address in enumerate(epoch.members) if address not in epoch.announcements]
        if missing or not epoch.members:
            self._note("announced keys", UNCHECKED, f"the chain has none of {', '.join(missing) or 'anybody'}")
            return None
        for member, why in unusable_keys(epoch).items():
            self._note(f"key announced by {self._name(member)}", FALSE, why, member)
        try:
            if joint is not None:
                return terms_of_refresh(epoch, joint)
            return None if epoch.refresh else ceremony_terms(epoch, self._params, self._consortium)
        except CryptoError as error:
            self._note("terms", FALSE, str(error))
            return None

    def _refreshed_key(self) -> JointKey | None:
        """The joint key whose shares are refreshed, by the digest that the chain activated."""
        digest = self._view.epochs[self._epoch.epoch].joint_key
        if digest is None:
            self._note("joint key", FALSE, "the chain refreshes shares of an epoch that has no key")
            return None
        try:
            return JointKey.from_bytes(self._blobs.obtain(raw_cid(digest)), allow_minimal=self._allow_minimal)
        except StorageError as error:
            self._note("joint key", UNCHECKED, str(error))
        except CryptoError as error:
            self._note("joint key", FALSE, str(error))
        return None

    def _name(self, member: int) -> str:
        return self._view.hospitals[self._epoch.seats[member]].name

    def _note(self, subject: str, verdict: str, detail: str = "", offender: int | None = None) -> None:
        seat = None if offender is None else self._epoch.seats[offender]
        self._findings.append(Finding(subject, verdict, detail, seat))

    def _dealing(self, member: int, terms: Terms) -> tuple[DealingHeader, Words] | None:
        subject, address = f"dealing of {self._name(member)}", self._epoch.members[member]
        if address not in self._epoch.dealings or address not in self._epoch.commitments:
            self._note(subject, UNCHECKED, "the chain has none")
            return None
        try:
            header = read_header(self._blobs, self._epoch, member, address)
            verify_header(header, terms, self._epoch.commitments[address], member)
            if terms.generation:
                b = np.zeros(0, np.uint64)  # a refresh has no public shares
            else:
                b = read_public(header, self._blobs.obtain(raw_cid(header.public)), terms, member)
        except StorageError as error:
            self._note(subject, UNCHECKED, str(error))
        except CryptoError as error:
            self._note(subject, FALSE, str(error), member)
        else:
            self._note(subject, VERIFIED)
            return header, b
        return None

    def _made_key(self, terms: Terms, dealings: list[tuple[DealingHeader, Words]]) -> JointKey:
        b = reduce(lambda x, y: add(x, y, terms.params.primes), (b for _, b in dealings))
        transcript = transcript_of([header for header, _ in dealings])
        joint = JointKey(terms.params, terms.consortium, terms.epoch, terms.members, terms.threshold, transcript, b)
        if self._epoch.joint_key is not None:
            right = joint.digest == self._epoch.joint_key
            found = f"the chain has {self._epoch.joint_key.hex()}, the dealings make {joint.digest.hex()}"
            self._note("joint key", VERIFIED if right else FALSE, "" if right else found)
        return joint

    def _self_test(self, terms: Terms, joint: JointKey) -> None:
        try:
            openings, faults = read_openings(self._blobs, self._epoch, joint)
            for member, why in faults.items():
                self._note(f"report of {self._name(member)}", FALSE, why, member)
            if not faults:
                check_self_test(joint, openings)
                self._note("self-test", VERIFIED)
        except StorageError as error:
            self._note("self-test", UNCHECKED, str(error))
        except SelfTestFailed as failure:
            self._note("self-test", FALSE, str(failure))
            self._disclosures(terms, joint)

    def _disclosures(self, terms: Terms, joint: JointKey) -> None:
        try:
            verdicts = judge_disclosures(self._blobs, self._epoch, terms, joint)
        except StorageError as error:
            self._note("disclosed dealings", UNCHECKED, str(error))
            return
        for member in range(terms.members):
            subject = f"disclosure of {self._name(member)}"
            if member not in verdicts:
                self._note(subject, UNCHECKED, "it has shown nothing")
            elif verdicts[member] is None:
                self._note(subject, VERIFIED)
            else:
                self._note(subject, FALSE, str(verdicts[member]), member)

    def _complaints(self, terms: Terms) -> None:
        members = self._epoch.members
        for complaint in self._epoch.complaints:
            if needs_no_record(self._epoch, complaint):
                continue  # the message complained about was judged above
            who, seat = members.index(complaint.member), self._view.seats[complaint.offender]
            accused = self._view.hospitals[seat].name
            subject = f"complaint of {self._name(who)} about {accused}"
            try:
                verify_share_complaint(self._blobs, self._epoch, terms, complaint)
                self._note(subject, FALSE, f"{accused} sealed a bad share", members.index(complaint.offender))
            except UnfoundedComplaint as error:
                self._note(subject, FALSE, str(error), who)
            except StorageError as error:
                self._note(subject, UNCHECKED, str(error))
