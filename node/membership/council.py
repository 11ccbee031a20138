"""One hospital's part in what the members decide: motions exchanged, signatures counted, what has a quorum sent to the chain.

Level-triggered: `step` looks at the book and the chain and does the next thing, so a crash anywhere is resumed by calling it
again. What is sent twice counts once: a decision is spent with its number, a fault is recorded once.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from chain.errors import ContractReverted
from chain.votes import Admission, Finding, PlanDecision, Removal, Resizing, Rotation, sign_vote
from node.membership.motion import Motion
from node.membership.tally import Tally, describe, tally

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from eth_account.signers.local import LocalAccount

    from chain.client import Chain
    from chain.votes import Vote
    from node.consortium.view import ConsortiumView
    from node.membership.book import MotionBook
    from node.membership.exchange import Exchange

log = logging.getLogger("medweave.membership")

TURN_SECONDS = 3.0
"""The signer of rank k waits k times this before it sends what those before it should have: gas is paid once."""
SETTLED = frozenset({"FaultKnown", "BadSignature", "VoteExpired", "DecisionExpired", "DuplicateMember", "NotMember"})
"""Reverts that say that it was done already, or that the chain has moved on: the next look at the chain tells which."""


class Council:
    """The motions of one hospital; call `step` from one thread at a time.

    Args:
        me: This hospital's seat.
        account: Its key.
        chain: The contracts, with its account.
        book: Where motions are kept.
        exchange: Carries them to and from peers.
        peers: The other members' base URLs.
        exchange_seconds: How often peers are asked where nothing is new here.
    """

    def __init__(
        self,
        me: int,
        account: LocalAccount,
        chain: Chain,
        book: MotionBook,
        exchange: Exchange,
        peers: Callable[[], tuple[str, ...]],
        exchange_seconds: float,
    ) -> None:
        self._me = me
        self._account = account
        self._chain = chain
        self._book = book
        self._exchange = exchange
        self._peers = peers
        self._every = exchange_seconds
        self._called = float("-inf")
        self._version = -1
        self._ready_since: dict[bytes, float] = {}
        self._refused: set[bytes] = set()
        self._left = False

    def step(self, view: ConsortiumView) -> None:
        """Exchange, count, send.

        Raises:
            ChainError: The chain does not answer.
        """
        self._notice(view)
        self._talk()
        live = self._book.live()
        if not live:
            self._ready_since.clear()
            return
        now = self._chain.now()
        for motion in live:
            standing = tally(motion, self._book.signatures(motion), view, now)
            if standing.ended:
                self._book.end(motion, standing.ended)
                log.info("%s: %s", describe(motion, view), standing.ended)
            elif standing.ready:
                self._send_in_turn(standing, view)
            else:
                self._ready_since.pop(motion.id, None)

    def _notice(self, view: ConsortiumView) -> None:
        """Say once that this hospital has left."""
        left = self._me not in view.members
        if left and not self._left:
            log.warning("this hospital is no member any more: its node takes part in nothing, stop it when you like")
        self._left = left

    def support(self, vote: Vote) -> Motion:
        """Sign a vote that this hospital has convinced itself of; peers hear of it at the next `step`."""
        motion = Motion.of(vote, self._chain.deployment)
        if self._book.add(motion, str(self._account.address), sign_vote(vote, self._chain.deployment, self._account)):
            self._called = float("-inf")
        return motion

    def _talk(self) -> None:
        version = self._book.version
        if version == self._version and time.monotonic() - self._called < self._every:
            return
        self._version, self._called = version, time.monotonic()
        if self._exchange.call(self._peers()):
            self._called = float("-inf")  # what is new here may be new to others

    def _send_in_turn(self, standing: Tally, view: ConsortiumView) -> None:
        motion = standing.motion
        since = self._ready_since.setdefault(motion.id, time.monotonic())
        order = sorted(standing.signatures)
        rank = order.index(self._me) if self._me in order else len(order)
        if motion.id in self._refused or time.monotonic() - since < TURN_SECONDS * rank:
            return
        try:
            send(self._chain, motion.vote, standing.signatures)
        except ContractReverted as error:
            if error.name in SETTLED:
                self._ready_since[motion.id] = time.monotonic() + TURN_SECONDS
                return
            self._refused.add(motion.id)
            log.warning("%s: the chain refuses it: %s", describe(motion, view), error)
            return
        log.info("%s: sent with %d signatures", describe(motion, view), len(standing.signatures))


def send(chain: Chain, vote: Vote, signatures: Mapping[int, bytes]) -> None:
    """Carry out what a quorum has signed, in one transaction.

    Args:
        chain: The contracts, with an account that pays.
        vote: What was signed.
        signatures: By seat.

    Raises:
        ContractReverted: The contract refuses it; its own error says why.
        ChainError: The chain does not answer.
    """
    match vote:
        case Admission():
            chain.registry.admit(vote, signatures)
        case Removal():
            chain.registry.remove(vote, signatures)
        case Rotation():
            chain.registry.rotate(vote, signatures)
        case Resizing():
            chain.registry.resize(vote, signatures)
        case PlanDecision():
            chain.rounds.decide_plan(vote, signatures)
        case Finding():
            chain.rounds.record_finding(vote, signatures)
