"""What an honest member posts: one update a round, acknowledgements while something is unconfirmed, a head when it leads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dag.bodies import AcknowledgementBody, Kind, UpdateBody
from dag.errors import AlreadyPosted
from dag.simulator.chain import ATTEMPTS, CALM, REGISTERED, TERMS
from dag.simulator.seeds import digest, stream
from dag.walks import choose_parents, orphan_of
from dag.weights import contribution_weight

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dag.simulator.node import Node
    from dag.sync import Send
    from dag.transaction import Transaction

SAMPLES, SLOTS = 100, 2
QUIET = AcknowledgementBody(None)
HEAD = AcknowledgementBody(None, close=True)


class Member:
    """An honest member at its node; made anew at each start of the node, from what the ledger holds.

    Attributes:
        unconfirmed: ids that this member waits to see confirmed: updates and heads of members not proven faulty.
    """

    def __init__(self, node: Node) -> None:
        """A member that has not looked at its ledger yet."""
        self.node = node
        self.world = node.world
        self.rng = stream(self.world.scenario.seed, f"member {node.index} {node.counts['crashes']}")
        self.unconfirmed: dict[bytes, None] = {}
        self._news = False
        self._told = 0
        self._final = 0

    # -- what happens to it ----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Takes stock of the ledger and sets the timers."""
        arrival = 0
        while page := self.node.ledger.since(arrival):
            self._take_stock(transaction for _, transaction in page)
            arrival = page[-1][0]
        if self.world.chain.round:
            self.opened(self.world.chain.round)
        self._plan_acknowledgement()

    def opened(self, round_: int) -> None:
        """A round is open: plans the update, and leading if that is this member's turn."""
        seconds = self.world.scenario.round_seconds
        into = self.world.agenda.now - (round_ - 1) * seconds
        self.node.later(
            max(0.0, self.rng.uniform(0.0, CALM / 2) * seconds - into), "update", lambda: self._update(round_)
        )
        for attempt in range(ATTEMPTS):
            if self.world.chain.leader(round_, attempt) == self.node.index:
                at = seconds * (CALM + attempt * (1 - CALM) / ATTEMPTS)
                if at >= into:
                    self.node.later(at - into, "head", lambda: self._lead(round_))

    def attached(self, transactions: Sequence[Transaction]) -> None:
        """Others' transactions entered the ledger."""
        self._news = True
        self._take_stock(transactions)
        for transaction in transactions:
            self._vote(transaction)

    def anchored(self, count: int) -> None:
        """The chain has anchored so many heads: final order grows as soon as they are here."""
        self._told = max(self._told, count)
        self._finalise()

    def heard(self, message: bytes) -> None:
        """A message came in, before the machine sees it. Honest members do nothing with it."""

    def sends(self, send: Send) -> Iterable[bytes]:
        """What really goes out for a message of the machine: from an honest member that message."""
        return (send.message,)

    # -- what it does ----------------------------------------------------------------------------------------------

    def is_waiting(self) -> bool:
        """Whether something is still to be confirmed here, as far as this node knows."""
        tangle = self.node.ledger.tangle
        done = [i for i in self.unconfirmed if tangle.is_confirmed(i) or tangle.is_faulty(tangle.issuer(i))]
        for tx_id in done:
            del self.unconfirmed[tx_id]
        return bool(self.unconfirmed)

    def _update(self, round_: int) -> None:
        if round_ != self.world.chain.round or self.world.is_over:
            return
        weight = contribution_weight(SAMPLES, REGISTERED, TERMS.cap, SLOTS, TERMS.max_slots)
        commitment = digest(self.world.scenario.seed, f"commitment {self.node.index} {round_}")
        body = UpdateBody(weight, SAMPLES, SLOTS, commitment, TERMS.parameter_set, digest(0, "layout"))
        try:
            posted = self.node.post(body, payload=self.world.payload)
        except AlreadyPosted:
            return
        self._take_stock((posted,))

    def _lead(self, round_: int) -> None:
        chain = self.world.chain
        if round_ != chain.round or self.world.is_over or any(anchor.round == round_ for anchor in chain.anchors):
            return
        try:
            posted = self.node.post(HEAD)
        except AlreadyPosted:
            return
        self._take_stock((posted,))
        self._vote(posted)

    def _vote(self, transaction: Transaction) -> None:
        if not is_head(transaction):
            return
        leader = self.world.chain.context.members[transaction.issuer].index
        for attempt in range(ATTEMPTS):
            if self.world.chain.leader(transaction.round, attempt) == leader:
                self.world.vote(self.node, transaction.round, attempt, transaction.id)

    def _plan_acknowledgement(self) -> None:
        pause = self.world.scenario.ack_seconds * self.rng.uniform(0.5, 1.5)
        self.node.later(pause, "acknowledge", self._acknowledge)

    def _acknowledge(self) -> None:
        self._plan_acknowledgement()
        tangle, me = self.node.ledger.tangle, self.node.index
        if not self.world.chain.round or not self.is_waiting():
            return
        unseen = self._unseen()
        if unseen is None and not self._news:
            return
        self._news = False
        if unseen is None:
            self.node.post(QUIET)
            return
        parents = choose_parents(
            tangle,
            self.node.rng,
            self.world.scenario.alpha,
            through=unseen,
            rescue=orphan_of(tangle, me),
            member=me,
            round_=self.world.chain.round,
        )
        self.node.post(QUIET, parents=parents)

    def _unseen(self) -> bytes | None:
        """Something unconfirmed that this member has not approved, by lot.

        Were it the oldest, all would take up the same one, unaware of each other for as long as news travels, and the others
        would wait their turn: a thousand members took hours.
        """
        tangle, me = self.node.ledger.tangle, self.node.index
        unseen = [tx_id for tx_id in self.unconfirmed if not tangle.approved_by(tx_id, me)]
        return self.rng.choice(unseen) if unseen else None

    # -- inside ----------------------------------------------------------------------------------------------------

    def _take_stock(self, transactions: Iterable[Transaction]) -> None:
        for transaction in transactions:
            if transaction.kind is Kind.UPDATE or is_head(transaction):
                self.unconfirmed[transaction.id] = None
        self._finalise()

    def _finalise(self) -> None:
        """Enters anchored heads that have arrived into the final order, in the chain's order."""
        anchors = self.world.chain.anchors
        while self._final < self._told and anchors[self._final].head in self.node.ledger:
            self.node.ledger.tangle.anchor(anchors[self._final].head)
            self._final += 1
            self.world.finalised(self.node, self._final)


def is_head(transaction: Transaction) -> bool:
    """Whether it names itself as its round's head."""
    return isinstance(transaction.body, AcknowledgementBody) and transaction.body.close
