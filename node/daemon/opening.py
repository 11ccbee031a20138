"""Opening the lineage and the rounds: when it is asked for or due, and in turn, so that nobody waits for one member."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from eth_utils.crypto import keccak

from chain.errors import ContractReverted
from node.learning.modelfile import model_hash
from node.planning.outlook import Wishes, next_round
from node.rounds.steps.models import genesis_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from chain.client import Chain
    from chain.records import Receipt
    from node.consortium.view import ConsortiumView
    from node.planning.orders import OrderBook
    from node.planning.timetable import Opening
    from node.rounds.journal import Journal
    from node.rounds.plan import Plan

log = logging.getLogger("medweave.rounds")

TURN_SECONDS = 3.0
"""The member of rank k waits k times this before it opens, or ends, what a member before it should have."""
SOMEBODY_WAS_FASTER = frozenset({"GenesisExists", "RoundStillOpen", "WrongBase"})
ENDED_ALREADY = frozenset({"RoundNotOpen", "RoundNotExpired"})


class RoundOpener:
    """Opens rounds of the plan in force: by an operator's order, by the plan's timetable, or up to a number of rounds.

    Args:
        me: This member's index.
        target: Rounds to finalise where the plan has no timetable; 0 opens none.
        chain: The contracts, with this member's account.
        journal: Remembers what opening cost.
        orders: What this hospital's operator asks for.
        clock: Unix seconds.
    """

    def __init__(
        self,
        me: int,
        target: int,
        chain: Chain,
        journal: Journal,
        orders: OrderBook,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._me = me
        self._target = target
        self._chain = chain
        self._journal = journal
        self._orders = orders
        self._clock = clock
        self._idle_since: float | None = None
        self._said = ""

    def step(self, view: ConsortiumView, plan: Plan | None, opened_at: float | None, fresh: int) -> None:
        """Record the genesis model, or open the next round, where that is called for and it is this member's turn.

        No round is opened while others hold the key than are members, or another key than the plan asks for: the contract would allow it,
        no member would train.

        Args:
            view: What the chain said so far.
            plan: The plan in force; None: there is none, nothing is opened.
            opened_at: When the newest round was opened, Unix seconds; None before the first.
            fresh: Hospitals that have announced new data since the last finalised round.

        Raises:
            ContractReverted: The contract refuses the plan; its own error says why.
            ChainError: The chain does not answer.
        """
        current, now = view.current, self._clock()
        if plan is None or self._me not in view.members:
            self._idle_since = None
            return
        if current is not None and current.open:
            self._idle_since = None
            self._end_if_left(view)
            return
        asked = self._orders.wanted(current.round + 1 if current else 1)
        wishes = Wishes(asked=asked, paused=self._orders.paused, target=self._target)
        opening = next_round(view, plan, wishes, opened_at, fresh, now)
        if not opening.due(now):
            self._idle_since = None
            self._explain(opening)
            return
        self._idle_since = self._idle_since or time.monotonic()
        if asked or time.monotonic() - self._idle_since >= TURN_SECONDS * self._rank(view):
            self._open(view, plan, opening.why)

    def _open(self, view: ConsortiumView, plan: Plan, why: str) -> None:
        if view.head is None:
            number, initial = 0, model_hash(genesis_model(plan))
            receipt = self._try("genesis model", why, lambda: self._chain.rounds.genesis(initial, plan.digest))
        else:
            head, current = view.head, view.current
            number = current.round + 1 if current else 1
            receipt = self._try(
                f"round {number}",
                why,
                lambda: self._chain.rounds.open(plan.digest, head, plan.collect_seconds, plan.round_seconds),
            )
        if receipt is not None:
            self._journal.remember(number, "gas_open", receipt.gas_used)

    def _end_if_left(self, view: ConsortiumView) -> None:
        """Abort a round this hospital was told to leave once its time is over: where all left it, nobody else does."""
        row = view.current
        if row is None or row.round not in self._orders.left():
            return
        if self._clock() <= row.finalise_by + TURN_SECONDS * (1 + self._rank(view)):
            return
        try:
            self._chain.rounds.abort(row.round)
        except ContractReverted as error:
            if error.name not in ENDED_ALREADY:
                raise
            return
        log.info("round %d: aborted, its time is over", row.round)

    def _rank(self, view: ConsortiumView) -> int:
        seed = (view.current.next_seed if view.current else None) or keccak(self._chain.deployment.consortium)
        return view.standing.ranking(seed).index(self._me)

    def _try(self, what: str, why: str, send: Callable[[], Receipt]) -> Receipt | None:
        """What it took; None where somebody was faster."""
        try:
            receipt = send()
        except ContractReverted as error:
            if error.name not in SOMEBODY_WAS_FASTER:
                raise
            return None
        log.info("opened: %s (%s)", what, why)
        return receipt

    def _explain(self, opening: Opening) -> None:
        """Say why no round is opened, when that changes; a time that has not come is no news."""
        if opening.at is None and opening.why != self._said:
            self._said = opening.why
            log.info("no round is opened: %s", opening.why)
