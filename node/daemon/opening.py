"""Opening the lineage and the rounds a hospital was asked to have: in turn, so that nobody waits for one member."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from eth_utils.crypto import keccak

from chain.errors import ContractReverted
from node.learning.modelfile import model_hash
from node.rounds.steps.models import genesis_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from chain.client import Chain
    from chain.records import Receipt
    from node.consortium.view import ConsortiumView
    from node.rounds.journal import Journal
    from node.rounds.plan import Plan
    from node.storage import BlobStore

log = logging.getLogger("medweave.rounds")

TURN_SECONDS = 3.0
"""The member of rank k waits k times this before it opens what a member before it should have."""
SOMEBODY_WAS_FASTER = frozenset({"GenesisExists", "RoundStillOpen", "WrongBase"})


class RoundOpener:
    """Opens rounds of one plan until enough are finalised.

    Args:
        me: This member's index.
        plan: The plan to open rounds with.
        target: Rounds to finalise; 0 opens none.
        chain: The contracts, with this member's account.
        store: Receives the plan, so that the others can fetch it.
        journal: Remembers what opening cost.
    """

    def __init__(self, me: int, plan: Plan, target: int, chain: Chain, store: BlobStore, journal: Journal) -> None:
        self._me = me
        self._plan = plan
        self._target = target
        self._chain = chain
        self._journal = journal
        self._idle_since: float | None = None
        store.put(plan.to_bytes())

    def open_if_due(self, view: ConsortiumView) -> None:
        """Record the genesis model, or open the next round, where that is called for and it is this member's turn.

        No round is opened while others hold the key than are members: the contract would allow it, no member would train.
        """
        current = view.current
        due = view.fitting and view.finalised < self._target and self._me in view.members
        if not due or (current is not None and current.open):
            self._idle_since = None
            return
        self._idle_since = self._idle_since or time.monotonic()
        if time.monotonic() - self._idle_since < TURN_SECONDS * self._rank(view):
            return
        if view.head is None:
            initial = model_hash(genesis_model(self._plan))
            number = 0
            receipt = self._try("genesis model", lambda: self._chain.rounds.genesis(initial, self._plan.digest))
        else:
            head, plan = view.head, self._plan
            number = current.round + 1 if current else 1
            receipt = self._try(
                "round",
                lambda: self._chain.rounds.open(plan.digest, head, plan.collect_seconds, plan.round_seconds),
            )
        if receipt is not None:
            self._journal.remember(number, "gas_open", receipt.gas_used)

    def _rank(self, view: ConsortiumView) -> int:
        seed = (view.current.next_seed if view.current else None) or keccak(self._chain.deployment.consortium)
        return view.standing.ranking(seed).index(self._me)

    def _try(self, what: str, send: Callable[[], Receipt]) -> Receipt | None:
        """What it took; None where somebody was faster."""
        try:
            receipt = send()
        except ContractReverted as error:
            if error.name not in SOMEBODY_WAS_FASTER:
                raise
            return None
        log.info("opened: %s", what)
        return receipt
