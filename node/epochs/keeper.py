"""This member's part in key ceremonies and refreshes, driven by what the chain shows (CRY-1, CRY-2, CRY-5).

    chain shows                    this member does
    ceremony opened                makes a key for it alone, keeps it sealed, announces it
    all N announced                draws its seed, keeps it sealed, commits
    all N committed                publishes its dealing: header, b_i, one sealed share a receiver
    all N dealt                    checks every dealing, derives its key, keeps it sealed, opens the self-test vector, reports
    all N reported                 checks the self-test, confirms the joint key
    epoch active                   erases seed and key of its dealing

    In a refresh the dealings share zero, the result is the next generation of its share, kept beside the one in force, and
    it confirms the epoch's own joint key, not while a round of the epoch is opening sums.
    generation active              puts its new share in force, soon after erases the older one, seed and key
    refresh aborted                erases what it kept for it; the old share stays

    a dealing or report is bad     complains, with evidence, and takes no further part
    another's complaint holds      complains too: a quorum of complaints ends the ceremony
    the self-test failed           discloses the seed of its dealing instead of a confirmation, and judges the others'
    among a drawn cohort without it     nothing: it rests this epoch
    aborted, or past its deadline  erases everything of it; some member opens another

Level-triggered: `step` looks and does the next thing, so a crash between any two lines is resumed by calling it again.
Dealings are functions of the kept seed, so what was committed to is what is published, whatever happened in between.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from chain.errors import ContractReverted
from crypto.ceremony import verify_header
from crypto.complaint import complain, disclose
from crypto.errors import BadShare, CeremonyFault, SelfTestFailed, UnfoundedComplaint
from crypto.opening import Opener
from crypto.parameters import parameter_set
from crypto.secrets import BoxKey
from crypto.selftest import check_self_test, self_test_ciphertext, self_test_subsets
from dag.ids import sha256
from node.epochs.jobs import Ceremony, Refresh, ceremony_terms, terms_of_refresh
from node.epochs.judge import (
    judge_disclosures,
    needs_no_record,
    read_header,
    read_openings,
    unusable_keys,
    verify_share_complaint,
)
from node.epochs.policy import KeyPolicy, why_without
from node.epochs.report import Report, pack_report
from node.epochs.start import open_ceremony, patience, tolerate
from node.storage import StorageError, raw_cid

if TYPE_CHECKING:
    from chain.client import Chain
    from crypto.ceremony import Dealer, ReceivedShare
    from crypto.parameters import ParameterSet
    from crypto.refresh import ZeroShare
    from node.consortium.records import ComplaintView, EpochView
    from node.consortium.view import ConsortiumView
    from node.epochs.vault import Vault
    from node.sealing.keys import EpochKeys
    from node.storage.source import BlobSource

log = logging.getLogger("medweave.epochs")

TURN_SECONDS = 3.0
"""Member k opens or aborts a ceremony k times this after it could have been."""
EVIDENCE_TRIES = 20
"""How often evidence of a complaint is asked for before the complaint counts as unfounded."""
SETTLE_SECONDS = 10.0
"""An old share is erased this long after the chain put a newer one in force: a local chain that was killed takes back what
it said in its last second, and then the old share is the one in force."""
HURRY_SECONDS = 60.0
"""This long before a refresh's deadline it is confirmed even while a round is opening sums."""


class Keeper:
    """One member's ceremonies and refreshes; call `step` from one thread at a time, as often as you like.

    Args:
        me: This member's seat.
        chain: The contracts, with this member's account.
        blobs: The blob store and the peers.
        vault: Where keys are kept.
        allow_minimal: Accept the insecure `minimal` parameters: tests only.
        policy: Which ceremonies this hospital takes part in; None: any in which more than half open sums together.
    """

    def __init__(
        self,
        me: int,
        chain: Chain,
        blobs: BlobSource,
        vault: Vault,
        *,
        allow_minimal: bool = False,
        policy: KeyPolicy | None = None,
    ) -> None:
        self._me = me
        self._chain = chain
        self._blobs = blobs
        self._vault = vault
        self._allow_minimal = allow_minimal
        self._policy = policy or KeyPolicy()
        self._over: set[tuple[int, int]] = set()
        self._switched: dict[tuple[int, int], float] = {}
        self._unfounded: dict[ComplaintView, int] = {}
        self._said: set[str] = set()
        self._idle_since: float | None = None
        self.doing = ""
        """What this member does or waits for, for people; empty where no ceremony runs and it does not rest."""

    def keys(self, epoch: int) -> EpochKeys | None:
        """This member's keys of an epoch, or None."""
        return self._vault.keys(epoch)

    def open_if_due(
        self, view: ConsortiumView, parameters: str, threshold: int, *, cohort: int = 0, present_serves: bool = True
    ) -> None:
        """Open a ceremony where no key fits the members, none is being made, and it is this member's turn.

        There is no fitting key before the first epoch, and after a change of membership (CRY-5).

        Args:
            view: What the chain said so far.
            parameters: Name of the parameter set.
            threshold: How many members are to open a sum.
            cohort: How many members, drawn by the contract, are to hold it; 0: all.
            present_serves: Whether the present key, if it fits the members, serves; where it does not, another is made.
        """
        if view.ceremony is not None or (view.fitting and present_serves) or self._me not in view.members:
            self._idle_since = None
            return
        self._idle_since = self._idle_since or time.monotonic()
        turn, members = sorted(view.members).index(self._me), len(view.members)
        if time.monotonic() - self._idle_since < TURN_SECONDS * (turn + patience(view)):
            return
        holders = cohort or members
        if not self._policy.least_openers(holders) <= threshold <= holders:
            self._say(
                f"no key ceremony is opened: {threshold} openers, as the plan says, do not fit {holders} members and this "
                "hospital's [rounds] min_threshold: write a plan with another threshold"
            )
            return
        open_ceremony(self._chain, parameters, threshold, cohort=cohort, allow_minimal=self._allow_minimal)

    def step(self, view: ConsortiumView) -> None:
        """Do the next thing in the running ceremony, if there is one and it is this member's move.

        Raises:
            MedweaveError: A blob cannot be had yet, the disk is full; call again.
            CryptoError: What this member holds itself is damaged.
            ChainError: The chain does not answer.
        """
        for epoch in view.epochs.values():
            for record in (epoch, *epoch.refreshes):
                if not record.running and (record.epoch, record.refresh) not in self._over:
                    self._settle(epoch, record)
        running = view.ceremony
        if running is not None:
            self._advance(view, running)
        else:
            self.doing = self._resting(view)

    def _resting(self, view: ConsortiumView) -> str:
        """Why this member takes no part in the rounds of the epoch in force; empty where it does, or nobody does."""
        active = view.epochs.get(view.active_epoch)
        if active is None or active.drawn is None or self._me in active.seats or self._me not in view.members:
            return ""
        return why_without(view, active, self._me)

    def _settle(self, epoch: EpochView, record: EpochView) -> None:
        """A ceremony or refresh has ended: keep what is in force, erase the rest."""
        vault, number, refresh = self._vault, record.epoch, record.refresh
        if record.joint_key is None:
            if refresh:
                vault.forget_refresh(number, refresh, epoch.generation)
            else:
                vault.forget_aborted(number)
        elif not refresh:
            vault.forget_dealing(number)
        else:
            if not vault.switch(number, refresh, record.generation) and self._vault.keys(number) is not None:
                self._say(
                    f"epoch {number}: this hospital has no share of generation {record.generation}, its older one opens "
                    "nothing any more: restore a newer backup, or make a new key with `medweave keys rotate`"
                )
            since = self._switched.setdefault((number, refresh), time.monotonic())
            if time.monotonic() - since < SETTLE_SECONDS:
                return
            vault.forget_dealing(number, refresh)
            vault.erase_older(number)
        self._over.add((number, refresh))

    def _advance(self, view: ConsortiumView, epoch: EpochView) -> None:
        self._over.discard((epoch.epoch, epoch.refresh))
        self._switched.pop((epoch.epoch, epoch.refresh), None)
        if self._me not in view.members:
            self.doing = "no member of the consortium any more"
            return
        if time.time() > epoch.deadline + TURN_SECONDS * self._me:
            tolerate(lambda: self._chain.epochs.abort(epoch.epoch), "CeremonyNotRunning", "CeremonyNotExpired")
            return
        mine = view.addresses[self._me]
        if self._me not in epoch.seats:
            self.doing = why_without(view, epoch, self._me)
            return
        members = len(epoch.members)
        self.doing = f"refusing epoch {epoch.epoch}"
        self._policy.verify(self._chain.deployment.consortium, epoch)
        params = parameter_set(epoch.parameter_set, allow_minimal=self._allow_minimal)
        if mine not in epoch.announcements:
            self.doing = "announcing a key"
            self._announce(epoch)
            return
        if len(epoch.announcements) < members:
            self.doing = f"waiting for keys, {len(epoch.announcements)}/{members}"
            return
        job = self._job(view, epoch, params)
        if job is None:
            return
        self._join_complaints(view, job)
        accused = [c.offender for c in epoch.complaints if c.member == mine]
        if accused:
            names = ", ".join(view.hospitals[view.addresses.index(address)].name for address in accused)
            self.doing = f"complained about {names}; waiting for the ceremony to end"
            return
        self._take_step(view, job, mine)

    def _take_step(self, view: ConsortiumView, job: Ceremony, mine: bytes) -> None:
        """The next step of a ceremony in which all keys are announced and nobody is accused by this member."""
        epoch = job.record
        members = len(epoch.members)
        if mine not in epoch.commitments:
            self.doing = "committing to a dealing"
            self._commit(job)
        elif len(epoch.commitments) < members:
            self.doing = f"waiting for commitments, {len(epoch.commitments)}/{members}"
        elif mine not in epoch.dealings:
            self.doing = "dealing key shares"
            self._deal(job)
        elif len(epoch.dealings) < members:
            self.doing = f"waiting for dealings, {len(epoch.dealings)}/{members}"
        elif mine not in epoch.reports:
            self._derive(view, job)
        elif len(epoch.reports) < members:
            self.doing = f"waiting for the self-test, {len(epoch.reports)}/{members}"
        elif mine in epoch.confirmations:
            self._await_confirmations(view, job)
        elif _is_opening(view, epoch) and time.time() < epoch.deadline - HURRY_SECONDS:
            self.doing = "waiting for the open round's sums before the shares change"
        else:
            self.doing = "checking the self-test"
            self._confirm(view, job)

    def _await_confirmations(self, view: ConsortiumView, job: Ceremony) -> None:
        epoch, keys = job.record, job.keys()
        members = len(epoch.members)
        if keys is None or epoch.confirmations[view.addresses[self._me]] == keys.joint.digest:
            self.doing = f"waiting for confirmations, {len(epoch.confirmations)}/{members}"
            return
        self.doing = f"the self-test failed; disclosed dealings, {len(epoch.confirmations)}/{members}"
        verdicts = judge_disclosures(self._blobs, epoch, job.terms, keys.joint)
        for member, why in verdicts.items():
            if why is not None:
                self._complain(view, epoch, member, epoch.confirmations[epoch.members[member]], why)
        if len(verdicts) == members and not any(verdicts.values()):
            self._say(f"{_name(epoch)}: all dealings are in order, so an opener of the failed subset lied")

    def _join_complaints(self, view: ConsortiumView, job: Ceremony) -> None:
        """Check the evidence of complaints that this member has not joined; what cannot be checked is not joined."""
        epoch, mine = job.record, view.addresses[self._me]
        accused = {c.offender for c in epoch.complaints if c.member == mine}
        for complaint in epoch.complaints:
            tries = self._unfounded.get(complaint, 0)
            if complaint.offender in accused | {mine} or needs_no_record(epoch, complaint) or tries >= EVIDENCE_TRIES:
                continue
            try:
                verify_share_complaint(self._blobs, epoch, job.terms, complaint)
            except StorageError:
                self._unfounded[complaint] = tries + 1
                continue
            except UnfoundedComplaint as error:
                self._unfounded[complaint] = EVIDENCE_TRIES
                self._say(f"{_name(epoch)}: {error}")
                continue
            offender = epoch.members.index(complaint.offender)
            self._complain(view, epoch, offender, complaint.evidence, "it sealed a bad share to another member")
            accused.add(complaint.offender)

    def _job(self, view: ConsortiumView, epoch: EpochView, params: ParameterSet) -> Ceremony | None:
        """What this member does in a ceremony whose keys are all announced; None where it cannot go on."""
        faults = unusable_keys(epoch)
        for member, why in faults.items():
            self._complain(view, epoch, member, epoch.announcements[epoch.members[member]], why)
        if faults:
            self.doing = "waiting for the ceremony to end: an announced key is unusable"
            return None
        if not epoch.refresh:
            terms = ceremony_terms(epoch, params, self._chain.deployment.consortium)
            return Ceremony(epoch, terms, epoch.seats.index(self._me), self._vault)
        held = self._vault.keys(epoch.epoch)
        if held is None or held.member.generation not in {epoch.generation - 1, epoch.generation}:
            self.doing = f"holding no share of epoch {epoch.epoch} that could be refreshed"
            self._say(f"{_name(epoch)}: {self.doing}: it will not complete, and the shares in force stay")
            return None
        return Refresh(epoch, terms_of_refresh(epoch, held.joint), epoch.seats.index(self._me), self._vault, held)

    def _announce(self, epoch: EpochView) -> None:
        box = self._vault.box(epoch.epoch, epoch.refresh) or self._fresh_box(epoch)
        try:
            tolerate(lambda: self._chain.epochs.announce(epoch.epoch, box.public), "AlreadyDone")
        except ContractReverted as error:
            if error.name != "BoxKeyUsed":
                raise
            self._fresh_box(epoch)  # somebody saw the key on its way and announced it first; the next look tries again

    def _fresh_box(self, epoch: EpochView) -> BoxKey:
        box = BoxKey.generate()
        self._vault.keep_box(epoch.epoch, box, epoch.refresh)
        return box

    def _dealer(self, job: Ceremony) -> Dealer:
        return job.dealer()

    def _commit(self, job: Ceremony) -> None:
        commitment = self._dealer(job).commitment
        tolerate(lambda: self._chain.epochs.commit(job.record.epoch, commitment), "AlreadyDone")

    def _deal(self, job: Ceremony) -> None:
        dealing = self._dealer(job).dealing()
        for blob in (dealing.public, *dealing.shares):
            self._blobs.store.put(blob)
        header = dealing.header.to_bytes()
        self._blobs.store.put(header)
        tolerate(lambda: self._chain.epochs.deal(job.record.epoch, sha256(header)), "AlreadyDone")

    def _derive(self, view: ConsortiumView, job: Ceremony) -> None:
        epoch = job.record
        if job.keys() is None:
            received = [self._receive(view, job, dealer) for dealer in range(len(epoch.members))]
            complete = [share for share in received if share is not None]
            if len(complete) < len(received):
                return
            job.finish(complete)
        keys = job.keys()
        if keys is None:
            return
        vector = self_test_ciphertext(keys.joint)
        subsets = self_test_subsets(len(epoch.members), epoch.threshold)
        openings = {
            number: self._blobs.store.put(Opener(keys.member, subset).partial(vector))
            for number, subset in enumerate(subsets)
            if job.me in subset
        }
        report = pack_report(Report(keys.joint.digest, openings))
        self._blobs.store.put(report)
        tolerate(lambda: self._chain.epochs.test(epoch.epoch, sha256(report)), "AlreadyDone")

    def _receive(self, view: ConsortiumView, job: Ceremony, dealer: int) -> ReceivedShare | ZeroShare | None:
        """One dealer's share, checked; None after a complaint about it."""
        epoch = job.record
        self.doing = f"checking dealings, {view.hospitals[epoch.seats[dealer]].name}"
        address, share = epoch.members[dealer], b""
        try:
            header = read_header(self._blobs, epoch, dealer, address)
            verify_header(header, job.terms, epoch.commitments[address], dealer)
            share = self._blobs.obtain(raw_cid(header.shares[job.me]))
            return job.receive(self._blobs, header, share, dealer)
        except BadShare as fault:
            record = complain(job.terms, dealer, job.me, share, job.box).to_bytes()
            self._blobs.store.put(record)
            self._complain(view, epoch, dealer, sha256(record), str(fault))
        except CeremonyFault as fault:
            self._complain(view, epoch, dealer, epoch.dealings[address], str(fault))
        return None

    def _confirm(self, view: ConsortiumView, job: Ceremony) -> None:
        epoch, keys = job.record, job.keys()
        if keys is None:
            return
        openings, faults = read_openings(self._blobs, epoch, keys.joint)
        for member, why in faults.items():
            self._complain(view, epoch, member, epoch.reports[epoch.members[member]], why)
        if faults:
            return
        shown = keys.joint.digest
        try:
            check_self_test(keys.joint, openings)
        except SelfTestFailed as failure:
            # Every honest member sees the same failure and refuses the key, so it cannot become active any more.
            self._say(f"{_name(epoch)}: {failure}; this member discloses its dealing")
            record = disclose(self._dealer(job)).to_bytes()
            self._blobs.store.put(record)
            shown = sha256(record)
        tolerate(lambda: self._chain.epochs.confirm(epoch.epoch, shown), "AlreadyDone")

    def _complain(self, view: ConsortiumView, epoch: EpochView, member: int, evidence: bytes, why: str) -> None:
        offender, hospital = epoch.members[member], view.hospitals[epoch.seats[member]]
        if any(c.member == view.addresses[self._me] and c.offender == offender for c in epoch.complaints):
            return
        self._say(f"{_name(epoch)}: {hospital.name} is at fault: {why}")
        if (
            epoch.seats[member] == self._me
        ):  # this disk is damaged: the others will complain, and another ceremony heals it
            return
        tolerate(
            lambda: self._chain.epochs.complain(epoch.epoch, hospital.account, evidence),
            "AlreadyDone",
            "CeremonyNotRunning",
        )

    def _say(self, what: str) -> None:
        """Log a fault once."""
        if what not in self._said:
            self._said.add(what)
            log.error("%s", what)


def _name(epoch: EpochView) -> str:
    return f"epoch {epoch.epoch}" + (f", refresh {epoch.refresh}" if epoch.refresh else "")


def _is_opening(view: ConsortiumView, epoch: EpochView) -> bool:
    """Whether a refresh would change shares while a round's sums are being opened with them."""
    current = view.current
    if not epoch.refresh or current is None or current.epoch != epoch.epoch:
        return False
    return current.open and bool(current.proposals)
