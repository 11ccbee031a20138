"""This member's part in a key ceremony, driven by what the chain shows (CRY-1, CRY-2, CRY-5).

    chain shows                    this member does
    ceremony opened                draws its seed, keeps it sealed, commits
    all N committed                publishes its dealing: header, b_i, one sealed share a receiver
    all N dealt                    checks every dealing, derives its key, keeps it sealed, opens the self-test vector, reports
    all N reported                 checks the self-test, confirms the joint key
    epoch active                   forgets the seed of its dealing

    a dealing or report is bad     complains, with evidence, and takes no further part
    another's complaint holds      complains too: a quorum of complaints ends the ceremony
    the self-test failed           discloses the seed of its dealing instead of a confirmation, and judges the others'
    aborted, or past its deadline  forgets everything of it; some member opens another

Level-triggered: `step` looks and does the next thing, so a crash between any two lines is resumed by calling it again.
Dealings are functions of the kept seed, so what was committed to is what is published, whatever happened in between.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from chain.errors import ContractReverted
from crypto.ceremony import Dealer, finish, receive, verify_header
from crypto.complaint import complain, disclose
from crypto.dealing import Terms
from crypto.errors import BadShare, CeremonyFault, SelfTestFailed, UnfoundedComplaint
from crypto.opening import Opener
from crypto.parameters import parameter_set
from crypto.randomness import fresh_seed
from crypto.selftest import check_self_test, self_test_ciphertext, self_test_subsets
from dag.ids import sha256
from node.consortium.view import address_bytes
from node.epochs.judge import (
    judge_disclosures,
    needs_no_record,
    read_header,
    read_openings,
    verify_share_complaint,
)
from node.epochs.report import Report, pack_report
from node.errors import PolicyRefusal
from node.storage import StorageError, raw_cid

if TYPE_CHECKING:
    from collections.abc import Callable

    from chain.client import Chain
    from crypto.ceremony import ReceivedShare
    from crypto.secrets import BoxKey
    from node.consortium.records import ComplaintView, EpochView
    from node.consortium.view import ConsortiumView
    from node.epochs.vault import Vault
    from node.sealing.keys import EpochKeys
    from node.storage.source import BlobSource

log = logging.getLogger("medweave.epochs")

CEREMONY_SECONDS = 900
"""Deadline given to a ceremony that this member opens."""
TURN_SECONDS = 3.0
"""Member k opens or aborts a ceremony k times this after it could have been."""
LONGEST_PATIENCE_TURNS = 200
"""After ceremonies in a row that came to nothing, another one is opened up to this many turns later."""
EVIDENCE_TRIES = 20
"""How often evidence of a complaint is asked for before the complaint counts as unfounded."""


class Keeper:
    """One member's ceremonies; call `step` from one thread at a time, as often as you like.

    Args:
        me: This member's index.
        box: This member's X25519 key.
        chain: The contracts, with this member's account.
        blobs: The blob store and the peers.
        vault: Where keys are kept.
        allow_minimal: Accept the insecure `minimal` parameters: tests only.
        min_threshold: Refuse ceremonies whose key fewer members could open; 0: more than half of all. Anybody may open a
            ceremony on chain, and with at most half of the members two disjoint sets could open different sums.
    """

    def __init__(
        self,
        me: int,
        box: BoxKey,
        chain: Chain,
        blobs: BlobSource,
        vault: Vault,
        *,
        allow_minimal: bool = False,
        min_threshold: int = 0,
    ) -> None:
        self._me = me
        self._box = box
        self._chain = chain
        self._blobs = blobs
        self._vault = vault
        self._allow_minimal = allow_minimal
        self._min_threshold = min_threshold
        self._over: set[int] = set()
        self._unfounded: dict[ComplaintView, int] = {}
        self._said: set[str] = set()
        self._idle_since: float | None = None
        self.doing = ""
        """What this member does or waits for, for people; empty where no ceremony runs."""

    def keys(self, epoch: int) -> EpochKeys | None:
        """This member's keys of an epoch, or None."""
        return self._vault.keys(epoch)

    def open_if_due(self, view: ConsortiumView, parameters: str, threshold: int) -> None:
        """Open a ceremony where no key fits the members, none is being made, and it is this member's turn.

        There is no fitting key before the first epoch, and after a change of membership (CRY-5).
        """
        if any(e.running for e in view.epochs.values()) or self._fits(view):
            self._idle_since = None
            return
        self._idle_since = self._idle_since or time.monotonic()
        if time.monotonic() - self._idle_since < TURN_SECONDS * (self._me + _patience(view)):
            return
        open_ceremony(self._chain, parameters, threshold, allow_minimal=self._allow_minimal)

    def _fits(self, view: ConsortiumView) -> bool:
        """Whether the active key is one of all present members."""
        if not view.active_epoch:
            return False
        keys = self._vault.keys(view.active_epoch)
        return keys is None or keys.joint.members == len(view.hospitals)

    def step(self, view: ConsortiumView) -> None:
        """Do the next thing in the running ceremony, if there is one and it is this member's move.

        Raises:
            MedweaveError: A blob cannot be had yet, the disk is full; call again.
            CryptoError: What this member holds itself is damaged.
            ChainError: The chain does not answer.
        """
        running = None
        for epoch in view.epochs.values():
            if epoch.running:
                running = epoch
            elif epoch.epoch not in self._over:
                self._forget(epoch)
        if running is not None:
            self._advance(view, running)
        else:
            self.doing = ""

    def _forget(self, epoch: EpochView) -> None:
        if epoch.joint_key is None:
            self._vault.forget_aborted(epoch.epoch)
        else:
            self._vault.forget_dealer_seed(epoch.epoch)
        self._over.add(epoch.epoch)

    def _advance(self, view: ConsortiumView, epoch: EpochView) -> None:
        self._over.discard(epoch.epoch)
        if time.time() > epoch.deadline + TURN_SECONDS * self._me:
            _tolerate(lambda: self._chain.epochs.abort(epoch.epoch), "CeremonyNotRunning", "CeremonyNotExpired")
            return
        members = len(view.hospitals)
        least = self._min_threshold or members // 2 + 1
        if epoch.threshold < least:
            self.doing = f"refusing epoch {epoch.epoch}"
            raise PolicyRefusal(
                f"epoch {epoch.epoch}: any {epoch.threshold} members could open sums, this hospital's policy "
                f"([rounds] min_threshold) asks for at least {least}"
            )
        terms = self._terms(view, epoch)
        self._join_complaints(view, epoch, terms)
        mine = view.addresses[self._me]
        accused = [c.offender for c in epoch.complaints if c.member == mine]
        if accused:
            names = ", ".join(view.hospitals[view.addresses.index(address)].name for address in accused)
            self.doing = f"complained about {names}; waiting for the ceremony to end"
            return
        if mine not in epoch.commitments:
            self.doing = "committing to a dealing"
            self._commit(terms)
        elif len(epoch.commitments) < members:
            self.doing = f"waiting for commitments, {len(epoch.commitments)}/{members}"
        elif mine not in epoch.dealings:
            self.doing = "dealing key shares"
            self._deal(terms)
        elif len(epoch.dealings) < members:
            self.doing = f"waiting for dealings, {len(epoch.dealings)}/{members}"
        elif mine not in epoch.reports:
            self._derive(view, epoch, terms)
        elif len(epoch.reports) < members:
            self.doing = f"waiting for the self-test, {len(epoch.reports)}/{members}"
        elif mine not in epoch.confirmations:
            self.doing = "checking the self-test"
            self._confirm(view, epoch, terms)
        else:
            self._await_confirmations(view, epoch, terms)

    def _await_confirmations(self, view: ConsortiumView, epoch: EpochView, terms: Terms) -> None:
        keys = self._vault.keys(epoch.epoch)
        members = len(view.hospitals)
        if keys is None or epoch.confirmations[view.addresses[self._me]] == keys.joint.digest:
            self.doing = f"waiting for confirmations, {len(epoch.confirmations)}/{members}"
            return
        self.doing = f"the self-test failed; disclosed dealings, {len(epoch.confirmations)}/{members}"
        verdicts = judge_disclosures(self._blobs, view, epoch, terms, keys.joint)
        for member, why in verdicts.items():
            if why is not None:
                self._complain(epoch, view, member, epoch.confirmations[view.addresses[member]], why)
        if len(verdicts) == members and not any(verdicts.values()):
            self._say(f"epoch {epoch.epoch}: all dealings are in order, so an opener of the failed subset lied")

    def _join_complaints(self, view: ConsortiumView, epoch: EpochView, terms: Terms) -> None:
        """Check the evidence of complaints that this member has not joined; what cannot be checked is not joined."""
        mine = view.addresses[self._me]
        accused = {c.offender for c in epoch.complaints if c.member == mine}
        for complaint in epoch.complaints:
            tries = self._unfounded.get(complaint, 0)
            if complaint.offender in accused | {mine} or needs_no_record(epoch, complaint) or tries >= EVIDENCE_TRIES:
                continue
            try:
                verify_share_complaint(self._blobs, view, epoch, terms, complaint)
            except StorageError:
                self._unfounded[complaint] = tries + 1
                continue
            except UnfoundedComplaint as error:
                self._unfounded[complaint] = EVIDENCE_TRIES
                self._say(f"epoch {epoch.epoch}: {error}")
                continue
            offender = view.addresses.index(complaint.offender)
            self._complain(epoch, view, offender, complaint.evidence, "it sealed a bad share to another member")
            accused.add(complaint.offender)

    def _terms(self, view: ConsortiumView, epoch: EpochView) -> Terms:
        params = parameter_set(epoch.parameter_set, allow_minimal=self._allow_minimal)
        keys = tuple(hospital.box_key for hospital in view.hospitals)
        return Terms(params, self._chain.deployment.consortium, epoch.epoch, epoch.threshold, keys)

    def _dealer(self, terms: Terms) -> Dealer:
        seed = self._vault.dealer_seed(terms.epoch)
        if seed is None:
            seed = fresh_seed()
            self._vault.keep_dealer_seed(terms.epoch, seed)
        return Dealer.resume(terms, self._me, seed)

    def _commit(self, terms: Terms) -> None:
        commitment = self._dealer(terms).commitment
        _tolerate(lambda: self._chain.epochs.commit(terms.epoch, commitment), "AlreadyDone")

    def _deal(self, terms: Terms) -> None:
        dealing = self._dealer(terms).dealing()
        for blob in (dealing.public, *dealing.shares):
            self._blobs.store.put(blob)
        header = dealing.header.to_bytes()
        self._blobs.store.put(header)
        _tolerate(lambda: self._chain.epochs.deal(terms.epoch, sha256(header)), "AlreadyDone")

    def _derive(self, view: ConsortiumView, epoch: EpochView, terms: Terms) -> None:
        if self._vault.keys(epoch.epoch) is None:
            received = [self._receive(epoch, terms, dealer, view) for dealer in range(len(view.hospitals))]
            complete = [share for share in received if share is not None]
            if len(complete) < len(received):
                return
            member, joint = finish(complete)
            self._vault.keep(epoch.epoch, member, joint)
        keys = self._vault.keys(epoch.epoch)
        if keys is None:
            return
        vector = self_test_ciphertext(keys.joint)
        subsets = self_test_subsets(len(view.hospitals), epoch.threshold)
        openings = {
            number: self._blobs.store.put(Opener(keys.member, subset).partial(vector))
            for number, subset in enumerate(subsets)
            if self._me in subset
        }
        report = pack_report(Report(keys.joint.digest, openings))
        self._blobs.store.put(report)
        _tolerate(lambda: self._chain.epochs.test(epoch.epoch, sha256(report)), "AlreadyDone")

    def _receive(self, epoch: EpochView, terms: Terms, dealer: int, view: ConsortiumView) -> ReceivedShare | None:
        """One dealer's share, checked; None after a complaint about it."""
        self.doing = f"checking dealings, {view.hospitals[dealer].name}"
        address = view.addresses[dealer]
        commitment, evidence, share = epoch.commitments[address], epoch.dealings[address], b""
        try:
            header = read_header(self._blobs, epoch, dealer, address)
            verify_header(header, terms, commitment, dealer)
            public = self._blobs.obtain(raw_cid(header.public))
            share = self._blobs.obtain(raw_cid(header.shares[self._me]))
            return receive(
                header,
                public,
                share,
                self._box,
                terms=terms,
                commitment=commitment,
                dealer=dealer,
                receiver=self._me,
            )
        except BadShare as fault:
            record = complain(terms, dealer, self._me, share, self._box).to_bytes()
            self._blobs.store.put(record)
            self._complain(epoch, view, dealer, sha256(record), str(fault))
        except CeremonyFault as fault:
            self._complain(epoch, view, dealer, evidence, str(fault))
        return None

    def _confirm(self, view: ConsortiumView, epoch: EpochView, terms: Terms) -> None:
        keys = self._vault.keys(epoch.epoch)
        if keys is None:
            return
        openings, faults = read_openings(self._blobs, view, epoch, keys.joint)
        for member, why in faults.items():
            self._complain(epoch, view, member, epoch.reports[view.addresses[member]], why)
        if faults:
            return
        shown = keys.joint.digest
        try:
            check_self_test(keys.joint, openings)
        except SelfTestFailed as failure:
            # Every honest member sees the same failure and refuses the key, so the epoch cannot become active any more.
            self._say(f"epoch {epoch.epoch}: {failure}; this member discloses its dealing")
            record = disclose(self._dealer(terms)).to_bytes()
            self._blobs.store.put(record)
            shown = sha256(record)
        _tolerate(lambda: self._chain.epochs.confirm(epoch.epoch, shown), "AlreadyDone")

    def _complain(self, epoch: EpochView, view: ConsortiumView, dealer: int, evidence: bytes, why: str) -> None:
        offender = view.addresses[dealer]
        if any(c.member == view.addresses[self._me] and c.offender == offender for c in epoch.complaints):
            return
        self._say(f"epoch {epoch.epoch}: {view.hospitals[dealer].name} is at fault: {why}")
        if (
            dealer == self._me
        ):  # what lies on this disk is damaged: the others will complain, and another ceremony heals it
            return
        account = view.hospitals[dealer].account
        _tolerate(
            lambda: self._chain.epochs.complain(epoch.epoch, account, evidence), "AlreadyDone", "CeremonyNotRunning"
        )

    def _say(self, what: str) -> None:
        """Log a fault once."""
        if what not in self._said:
            self._said.add(what)
            log.error("%s", what)


def open_ceremony(
    chain: Chain, parameters: str, threshold: int, seconds: int = CEREMONY_SECONDS, *, allow_minimal: bool = False
) -> None:
    """Open a ceremony on chain; one that is running already will do.

    Args:
        chain: The contracts, with a member's account.
        parameters: Name of the parameter set.
        threshold: T.
        seconds: How long it may take.
        allow_minimal: Accept the insecure `minimal` parameters: tests only.
    """
    chosen = parameter_set(parameters, allow_minimal=allow_minimal)
    deadline = max(int(time.time()), chain.now()) + seconds
    _tolerate(lambda: chain.epochs.open(chosen.id + bytes(16), threshold, deadline), "CeremonyRunning")


def _patience(view: ConsortiumView) -> int:
    """How many turns to wait after ceremonies in a row that came to nothing: 0, 1, 3, 7 …"""
    failed = 0
    for number in sorted(view.epochs, reverse=True):
        if view.epochs[number].joint_key is not None:
            break
        failed += 1
    return int(min(2 ** min(failed, 30) - 1, LONGEST_PATIENCE_TURNS))


def member_index(view: ConsortiumView, account: str) -> int | None:
    """The index of an account among the members, or None."""
    try:
        return view.addresses.index(address_bytes(account))
    except ValueError:
        return None


def _tolerate(send: Callable[[], object], *names: str) -> None:
    """Send; a revert that says it was done already, or that somebody was faster, is fine."""
    try:
        send()
    except ContractReverted as error:
        if error.name not in names:
            raise
