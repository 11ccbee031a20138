"""What every faulty member shares: a real node whose steps some code of a test stands in for.

Nothing of this is in the product: a node cannot be configured to lie. A lie is made with the node's own parts, its key
included, and then published as an honest node publishes: ledger first, chain second.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from chain.errors import ChainError
from dag.bodies import Kind, ProposalBody, proposal_roots
from dag.errors import LedgerError
from dag.sync.messages import Push
from dag.transaction import Transaction, Unsigned, sign
from node.errors import MedweaveError
from node.rounds import effects as do
from node.rounds.groups import draw_groups
from node.rounds.state import Failed
from node.rounds.steps import aggregate

if TYPE_CHECKING:
    from dag.bodies import Body
    from node.rounds.effects import Effect

TRY_AGAIN_SECONDS = 0.3


class Faulty:
    """A member that does something else where an honest one would do a step.

    Attributes:
        rank: Of a bad leader: its place in the ranking.
        splits: Whether this alone can split the signatures, so that the round may end without a model.
        usable: Whether its proposal may be the one that is opened.
    """

    rank: ClassVar[int] = 0
    splits: ClassVar[bool] = False
    usable: ClassVar[bool] = False

    def __init__(self, net: Any, node: Any, seed: int) -> None:
        self.net, self.node = net, node
        self.rng = random.Random(seed)
        self.done = False
        self.key = bytes(net.accounts[node.index].key)

    # ---- what happens to a step -----------------------------------------------------------------------------------

    def instead(self, effect: Effect) -> bool:
        """Whether this stands in for a step; then the machine hears nothing of it, or `again`."""
        return False

    def then(self, effect: Effect) -> None:
        """After a step was carried out."""

    def lie(self, effect: do.Propose) -> bool:
        """Try `propose`, once; where it is too early, as it is for an honest leader, again a little later."""
        if not self.done:
            try:
                self.propose(effect)
                self.done = True
            except (MedweaveError, LedgerError, ChainError):
                self.again(effect)
        return True

    def propose(self, effect: do.Propose) -> None:
        """The false proposal."""

    def again(self, effect: Effect) -> None:
        """Let the step be tried again."""
        self.node.runner.feed([Failed(effect, self.node.runner.state.now + TRY_AGAIN_SECONDS)])

    # ---- the parts of a proposal ----------------------------------------------------------------------------------

    @property
    def ports(self) -> Any:
        """What the member brings to the round."""
        return self.node.runner.ports

    @property
    def state(self) -> Any:
        """What the member knows of the round."""
        return self.node.runner.state

    @property
    def number(self) -> int:
        """The round."""
        return self.state.facts.round

    def basis(self, effect: do.Propose) -> Any:
        """What an honest leader would list. Raises RoundProblem while it is too early."""
        return aggregate._basis(self.ports, self.state, effect)

    def body(self, updates: tuple[bytes, ...], reveals: tuple[bytes, ...]) -> ProposalBody:
        """The proposal an honest leader makes of these updates and reveals."""
        ports, state = self.ports, self.state
        seed = aggregate._seed(ports, state, updates, reveals)
        groups = draw_groups(seed, len(updates), state.plan.min_group)
        sums = tuple(aggregate._sums(ports, state, state.plan, updates, groups))
        roots = proposal_roots(updates, sums)
        openers = aggregate._openers(ports, state, seed, roots)
        return ProposalBody(updates, reveals, groups, sums, openers, min(state.slot, 255), *roots)

    def with_sums(self, body: ProposalBody, sums: tuple[str, ...]) -> ProposalBody:
        """The proposal with other sums, its roots to match."""
        updates_root, sums_root = proposal_roots(body.updates, sums)
        return replace(body, sums=sums, updates_root=updates_root, sums_root=sums_root)

    def publish(self, body: ProposalBody, parents: tuple[bytes, bytes]) -> Transaction:
        """Ledger first, chain second."""
        posted = self.post(Kind.PROPOSAL, body, parents=parents)
        self.anchor(posted.id, body)
        return posted

    def anchor(self, proposal: bytes, body: ProposalBody) -> None:
        """Put a proposal on chain."""
        self.ports.chain.propose(self.number, proposal, body.updates_root, body.sums_root)

    def post(self, kind: Kind, body: Body, **more: Any) -> Transaction:
        """Attach a transaction of this member."""
        return self.ports.ledger.post(kind, body, epoch=self.state.facts.epoch, round_number=self.number, **more)

    def said(self, kind: Kind) -> Transaction | None:
        """This member's first transaction of a kind in the round, if it has posted one."""
        rows = self.node.publisher.read(lambda ledger: ledger.transactions(kind, self.number, limit=500))
        return next((tx for tx in rows if tx.issuer == self.ports.address), None)

    # ---- contradictions -------------------------------------------------------------------------------------------

    def contradict(self, said: Transaction, body: Body, payload: str | None) -> None:
        """Tell half of the others something else first, on the same parents, under this member's own signature."""
        sequence = said.sequence + 1000
        other = sign(
            Unsigned(said.kind, said.consortium, said.epoch, said.round, sequence, said.parents, payload, body),
            self.key,
        )
        others = [node.index for node in self.net.nodes if node.index != self.node.index]
        for index in self.rng.sample(others, len(others) // 2):
            self.net.send(self.node.index, index, Push((other.encode(),)).encode())

    def tell_all(self, message: bytes) -> None:
        """Send bytes to everybody."""
        for node in self.net.nodes:
            if node.index != self.node.index:
                self.net.send(self.node.index, node.index, message)
