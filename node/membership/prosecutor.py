"""Brings what this node can prove to the chain, and signs what it has seen and no chain sees (CHN-4).

Whoever is first in turn pays; the others wait and find the fault on record. Nothing here is remembered: ledger, refused
proposals and chain say again after a crash what is still to be brought.
"""

from __future__ import annotations

import logging
import time
from itertools import chain as joined
from typing import TYPE_CHECKING

from chain.conduct import Fault
from chain.errors import ContractReverted
from chain.votes import Finding, Removal
from node.membership.charges import Charge, contradictions, false_lists
from node.membership.council import TURN_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from chain.client import Chain
    from dag.ledger import Ledger
    from node.config import Membership
    from node.consortium.view import ConsortiumView
    from node.membership.book import MotionBook
    from node.membership.council import Council
    from node.membership.evidence import Evidence
    from node.membership.findings import Seen
    from node.publishing.publisher import Publisher

log = logging.getLogger("medweave.membership")

RECENT_ROUNDS = 8
"""Rounds whose lists are looked at; contradictions are brought however old they are."""
LOOK_SECONDS = 2.0
REMOVAL_SECONDS = 7 * 86400
"""How long a removal that is proposed for a low reputation may be signed."""


class Prosecutor:
    """One hospital's part in holding members to account; call `step` from one thread at a time.

    Args:
        me: This hospital's seat.
        chain: The contracts, with its account.
        publisher: Its ledger.
        evidence: Refused proposals.
        council: Carries findings to the others.
        book: Where motions are kept.
        settings: What this hospital does by itself.
        seen: What its own part in the rounds has shown it.
    """

    def __init__(
        self,
        me: int,
        chain: Chain,
        publisher: Publisher,
        evidence: Evidence,
        council: Council,
        book: MotionBook,
        settings: Membership,
        seen: Callable[[], Seen],
    ) -> None:
        self._me = me
        self._chain = chain
        self._publisher = publisher
        self._evidence = evidence
        self._council = council
        self._book = book
        self._settings = settings
        self._seen = seen
        self._looked = float("-inf")
        self._since: dict[tuple[int, int, int], float] = {}
        self._futile: set[tuple[int, int, int]] = set()
        self._signed: set[Finding] = set()

    def step(self, view: ConsortiumView) -> None:
        """Look for faults now and then, and do what is this hospital's to do about them.

        Raises:
            ChainError: The chain does not answer.
        """
        if time.monotonic() - self._looked < LOOK_SECONDS or self._me not in view.members:
            return
        self._looked = time.monotonic()
        seen = self._seen()
        if self._settings.challenge:
            for charge in self.charges(view, seen):
                self._bring_in_turn(charge, view)
            for number, fault, seat in sorted(view.faults):
                if fault == Fault.OMISSION and seat in view.members:
                    self._annul_in_turn(number, seat, view)
        if self._settings.findings:
            for finding in seen.findings:
                self._support(finding, view)
        self._propose_removals(view, seen)

    def charges(self, view: ConsortiumView, seen: Seen) -> list[Charge]:
        """What this node can prove and the chain does not say yet, of others."""
        kept = self._evidence.kept()
        recent = [view.rounds[number] for number in sorted(view.rounds)[-RECENT_ROUNDS:]]

        def found_in(ledger: Ledger) -> list[Charge]:
            lists = (false_lists(ledger, view, row, kept, seen) for row in recent if row.proposals)
            return [*contradictions(ledger, view), *joined.from_iterable(lists)]

        charges: list[Charge] = self._publisher.read(found_in)
        return [charge for charge in charges if charge.key not in view.faults and charge.seat != self._me]

    def _bring_in_turn(self, charge: Charge, view: ConsortiumView) -> None:
        others = [seat for seat in sorted(view.members) if seat != charge.seat]
        since = self._since.setdefault(charge.key, time.monotonic())
        if charge.key in self._futile or time.monotonic() - since < TURN_SECONDS * others.index(self._me):
            return
        name = view.hospitals[charge.seat].name
        what = charge.fault.name.lower().replace("_", " ")
        try:
            charge.bring(self._chain)
        except ContractReverted as error:
            self._futile.add(charge.key)
            if error.name != "FaultKnown":
                log.warning("round %d: %s of %s is not taken: %s", charge.round, what, name, error)
            return
        log.warning("round %d: %s of %s was proven on chain", charge.round, what, name)

    def _annul_in_turn(self, number: int, seat: int, view: ConsortiumView) -> None:
        """Take an omission back as soon as something new speaks against it; the contract says whether it does."""
        bad = sum(fault == Fault.BAD_UPDATE and at == number for at, fault, _ in view.faults)
        known = bad + len(view.standing.equivocators)
        since = self._since.setdefault((number, -known, seat), time.monotonic())
        turn = TURN_SECONDS * sorted(view.members).index(self._me)
        if not known or (number, -known, seat) in self._futile or time.monotonic() - since < turn:
            return
        try:
            self._chain.rounds.annul_omission(number, seat)
        except ContractReverted:
            self._futile.add((number, -known, seat))
            return
        log.warning("round %d: the omission of %s was taken back", number, view.hospitals[seat].name)

    def _support(self, finding: Finding, view: ConsortiumView) -> None:
        seat = finding.members.bit_length() - 1
        if (finding.round, int(finding.fault), seat) in view.faults or seat == self._me or seat not in view.members:
            return
        if view.rounds[finding.round].standing.accounts[seat] != view.hospitals[seat].account:
            return  # it has exchanged its account since, and had to sit out the rest of the round
        if finding not in self._signed:
            self._council.support(finding)
            self._signed.add(finding)
            what = finding.fault.name.lower().replace("_", " ")
            log.warning("round %d: finding: %s of %s", finding.round, what, view.hospitals[seat].name)

    def _propose_removals(self, view: ConsortiumView, seen: Seen) -> None:
        """One motion a member below the floor, or left out of the sums too often; signing it is for people."""
        often = self._settings.propose_removal_after
        low = {s for s in view.members if view.standing.reputations[s] < self._settings.propose_removal_below}
        low |= {s for s, rounds in seen.left_out.items() if often and rounds >= often and s in view.members}
        moved = {motion.vote.account for motion in self._book.live() if isinstance(motion.vote, Removal)}
        for seat in sorted(low - {self._me}):
            account = view.hospitals[seat].account
            others = [member for member in sorted(view.members) if member != seat]
            since = self._since.setdefault((0, -1, seat), time.monotonic())
            if account in moved or time.monotonic() - since < TURN_SECONDS * others.index(self._me):
                continue
            deadline = self._chain.now() + REMOVAL_SECONDS
            removal = Removal(account=account, decision=view.decisions, deadline=deadline)
            self._council.support(removal)
            reputation = view.standing.reputations[seat]
            log.warning(
                "%s has a reputation of %d and was left out of the sums of %d rounds: its removal is proposed",
                *(view.hospitals[seat].name, reputation, seen.left_out.get(seat, 0)),
            )
