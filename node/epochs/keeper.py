"""This member's part in a key ceremony, driven by what the chain shows (CRY-1, CRY-2, CRY-5).

    chain shows                    this member does
    ceremony opened                draws its seed, keeps it sealed, commits
    all N committed                publishes its dealing: header, b_i, one sealed share a receiver
    all N dealt                    checks every dealing, derives its key, keeps it sealed, opens the self-test vector
    all N tested                   checks the self-test, confirms the joint key
    epoch active                   forgets the seed of its dealing

Level-triggered: `step` looks and does the next thing, so a crash between any two lines is resumed by calling it again.
Dealings are functions of the kept seed, so what was committed to is what is published, whatever happened in between.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from chain.errors import ContractReverted
from crypto.ceremony import Dealer, DealingHeader, Terms, finish, receive
from crypto.errors import CeremonyFault, SelfTestFailed
from crypto.opening import Opener
from crypto.parameters import parameter_set
from crypto.randomness import fresh_seed
from crypto.selftest import check_self_test, self_test_ciphertext, self_test_subsets
from dag.ids import sha256
from node.consortium.view import address_bytes
from node.epochs.report import pack_report, unpack_report
from node.errors import PolicyRefusal
from node.storage import raw_cid

if TYPE_CHECKING:
    from collections.abc import Callable

    from chain.client import Chain
    from crypto.ceremony import ReceivedShare
    from crypto.secrets import BoxKey
    from node.consortium.records import EpochView
    from node.consortium.view import ConsortiumView
    from node.epochs.vault import Vault
    from node.sealing.keys import EpochKeys
    from node.storage.source import BlobSource

log = logging.getLogger("medweave.epochs")

CEREMONY_SECONDS = 900
"""Deadline given to a ceremony that this member opens."""
TURN_SECONDS = 3.0
"""Member k opens or aborts a ceremony k times this after it could have been."""


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
        self._complained: set[tuple[int, int]] = set()
        self._idle_since: float | None = None
        self.doing = ""
        """What this member does or waits for, for people; empty where no ceremony runs."""

    def keys(self, epoch: int) -> EpochKeys | None:
        """This member's keys of an epoch, or None."""
        return self._vault.keys(epoch)

    def open_if_due(self, view: ConsortiumView, parameters: str, threshold: int) -> None:
        """Open a ceremony where there is neither an active epoch nor a running ceremony and it is this member's turn."""
        if view.active_epoch or any(e.running for e in view.epochs.values()):
            self._idle_since = None
            return
        self._idle_since = self._idle_since or time.monotonic()
        if time.monotonic() - self._idle_since < TURN_SECONDS * self._me:
            return
        chosen = parameter_set(parameters, allow_minimal=self._allow_minimal)
        deadline = max(int(time.time()), self._chain.now()) + CEREMONY_SECONDS
        _tolerate(lambda: self._chain.epochs.open(chosen.id + bytes(16), threshold, deadline), "CeremonyRunning")

    def step(self, view: ConsortiumView) -> None:
        """Do the next thing in the running ceremony, if there is one and it is this member's move.

        Raises:
            MedweaveError: A blob cannot be had yet, the disk is full; call again.
            CryptoError: What this member holds itself is damaged.
            ChainError: The chain does not answer.
        """
        for epoch in view.epochs.values():
            if epoch.running:
                self._advance(view, epoch)
                return
        if view.active_epoch:
            self._vault.forget_dealer_seed(view.active_epoch)
        self.doing = ""

    def _advance(self, view: ConsortiumView, epoch: EpochView) -> None:
        if time.time() > epoch.deadline + TURN_SECONDS * self._me:
            _tolerate(lambda: self._chain.epochs.abort(epoch.epoch), "CeremonyNotRunning", "CeremonyNotExpired")
            return
        mine = view.addresses[self._me]
        members = len(view.hospitals)
        least = self._min_threshold or members // 2 + 1
        if epoch.threshold < least:
            self.doing = f"refusing epoch {epoch.epoch}"
            raise PolicyRefusal(
                f"epoch {epoch.epoch}: any {epoch.threshold} members could open sums, this hospital's policy "
                f"([rounds] min_threshold) asks for at least {least}"
            )
        terms = self._terms(view, epoch)
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
            self.doing = "checking dealings"
            self._derive(view, epoch, terms)
        elif len(epoch.reports) < members:
            self.doing = f"waiting for the self-test, {len(epoch.reports)}/{members}"
        elif mine not in epoch.confirmations:
            self.doing = "checking the self-test"
            self._confirm(view, epoch)
        else:
            self.doing = f"waiting for confirmations, {len(epoch.confirmations)}/{members}"

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
        report = pack_report(openings)
        self._blobs.store.put(report)
        _tolerate(lambda: self._chain.epochs.test(epoch.epoch, sha256(report)), "AlreadyDone")

    def _receive(self, epoch: EpochView, terms: Terms, dealer: int, view: ConsortiumView) -> ReceivedShare | None:
        """One dealer's share, checked; None after a complaint about it."""
        address = view.addresses[dealer]
        header = DealingHeader.from_bytes(self._blobs.obtain(raw_cid(epoch.dealings[address])))
        try:
            return receive(
                header,
                self._blobs.obtain(raw_cid(header.public)),
                self._blobs.obtain(raw_cid(header.shares[self._me])),
                self._box,
                terms=terms,
                commitment=epoch.commitments[address],
                dealer=dealer,
                receiver=self._me,
            )
        except CeremonyFault as fault:
            self._complain(epoch, view, dealer, epoch.dealings[address], str(fault))
            return None

    def _confirm(self, view: ConsortiumView, epoch: EpochView) -> None:
        keys = self._vault.keys(epoch.epoch)
        if keys is None:
            return
        subsets = self_test_subsets(len(view.hospitals), epoch.threshold)
        openings: list[dict[int, bytes]] = [{} for _ in subsets]
        for member, address in enumerate(view.addresses):
            report = unpack_report(self._blobs.obtain(raw_cid(epoch.reports[address])))
            for number, cid in report.items():
                if number < len(subsets) and member in subsets[number]:
                    openings[number][member] = self._blobs.obtain(cid)
        try:
            check_self_test(keys.joint, openings)
        except SelfTestFailed as failure:
            # Which dealer or opener is at fault a failed sum does not tell; see crypto/SECURITY.md.
            log.error("epoch %d: %s; this member will not confirm the key", epoch.epoch, failure)  # noqa: TRY400
            return
        _tolerate(lambda: self._chain.epochs.confirm(epoch.epoch, keys.joint.digest), "AlreadyDone")

    def _complain(self, epoch: EpochView, view: ConsortiumView, dealer: int, evidence: bytes, why: str) -> None:
        if (epoch.epoch, dealer) in self._complained:
            return
        log.error("epoch %d: complaining about %s: %s", epoch.epoch, view.hospitals[dealer].name, why)
        offender = view.hospitals[dealer].account
        _tolerate(lambda: self._chain.epochs.complain(epoch.epoch, offender, evidence), "AlreadyDone")
        self._complained.add((epoch.epoch, dealer))


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
