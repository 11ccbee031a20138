"""One run from first to last: who there is, what happens when, and until when."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from dag.ids import RAW, cid_bytes, cid_text
from dag.simulator.adversaries import BEHAVIOURS
from dag.simulator.agenda import Agenda
from dag.simulator.chain import SimulatedChain
from dag.simulator.member import Member
from dag.simulator.metrics import Metrics
from dag.simulator.network import Network
from dag.simulator.node import Node, sync_config
from dag.simulator.oracle import Notes, confirmed_count, convicted, verify_all
from dag.simulator.scenario import MINUTE, Behaviour, neighbours
from dag.simulator.seeds import digest, stream
from dag.simulator.shared import Decoder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dag.simulator.memory_store import Shared
    from dag.simulator.scenario import Partition, Scenario
    from dag.transaction import Transaction

SAMPLES: Final = 120
"""Samples taken while members post."""
CHAIN_DELAY: Final = 3.0
"""Longest time until a node reads what the chain says, virtual seconds."""
SETTLE_STEP: Final = 5.0


@dataclass
class Deeds:
    """What was posted, by whom.

    Attributes:
        honest: id of each transaction by an honest member, and when it was posted.
        byzantine: ids of Byzantine members' transactions that the rules allow.
        invalid: ids of transactions that the rules refuse.
    """

    honest: dict[bytes, float] = field(default_factory=dict)
    byzantine: dict[bytes, None] = field(default_factory=dict)
    invalid: dict[bytes, None] = field(default_factory=dict)


class World:
    """A run. `run` carries it out; afterwards `metrics` and the nodes can be looked at.

    Attributes:
        scenario: what was asked for.
        agenda: the clock.
        chain: the chain.
        network: the wires.
        nodes: every node, by member index.
        deeds: what was posted.
        metrics: what was measured.
        notes: what the oracle wrote down on the way.
        is_over: whether members have stopped posting news.
    """

    def __init__(
        self,
        scenario: Scenario,
        member: Callable[[Node], Member] = Member,
        watch: Callable[[World], None] | None = None,
    ) -> None:
        """A world in which nothing has happened yet.

        Args:
            scenario: what to run.
            member: makes an honest member; another one than `Member` to try what the oracle finds.
            watch: called on the way, after each sample and each step of settling; it only looks.
        """
        self.scenario = scenario
        self.agenda = Agenda()
        self.chain = SimulatedChain(scenario)
        self.shared: Shared = {}
        self.decoder = Decoder()
        self.sync_config = sync_config(scenario)
        self.payload = cid_text(cid_bytes(RAW, digest(scenario.seed, "payload")))
        self.is_over = False
        self.deeds = Deeds()
        self._honest_member = member
        self._watch = watch or (lambda _: None)
        self._faulty = self._choose_faulty()
        honest = [index for index in range(scenario.nodes) if index not in self._faulty]
        links = neighbours(scenario, honest)
        self.nodes = [Node(self, index, links[index]) for index in range(scenario.nodes)]
        self.honest = [self.nodes[index] for index in honest]
        self.observers = self._choose_observers()
        self.network = Network(self.agenda, scenario, self._deliver)
        self.notes = Notes(self)
        self.metrics = Metrics(self)

    # -- running ---------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Carries the scenario out and has the oracle look at the end of it.

        Raises:
            PropertyBroken: the subclass says what does not hold.
        """
        self.play()
        verify_all(self)

    def play(self) -> None:
        """Carries the scenario out."""
        scenario, agenda = self.scenario, self.agenda
        for node in self.nodes:
            agenda.at(0.0, f"{node.name} start", node.start)
        agenda.at(0.0, "round", self._open_round)
        for cut in scenario.partitions:
            agenda.at(cut.start * MINUTE, "part", lambda cut=cut: self._part(cut))  # type: ignore[misc]
            agenda.at(cut.end * MINUTE, "heal", self.network.heal)
        self._plan_crashes()
        for number in range(1, SAMPLES + 1):
            agenda.run(scenario.seconds * number / SAMPLES)
            self.metrics.sample()
            self.notes.look()
            self._watch(self)
        self.is_over = True
        self._settle()
        self.metrics.finish()

    def _settle(self) -> None:
        """Goes on without news, faults of nodes or attacks until nothing is missing anywhere; messages still get lost."""
        self.network.heal()
        pause = self.scenario.seconds / SAMPLES
        last = self.scenario.seconds + self.scenario.settle_minutes * MINUTE
        sampled = self.agenda.now
        while self.agenda.now < last and not self.is_quiet():
            self.agenda.run(self.agenda.now + SETTLE_STEP)
            if self.agenda.now >= sampled + pause:
                self.metrics.sample()
                sampled = self.agenda.now
            self.notes.look()
            self._watch(self)
        if self.agenda.now > sampled:
            self.metrics.sample()

    def is_quiet(self) -> bool:
        """Whether every honest node runs, holds all honest transactions, waits for nothing, and agrees with the others."""
        if self.behind():
            return False
        return len({(confirmed_count(node.ledger.tangle), *convicted(node)) for node in self.honest}) == 1

    def behind(self) -> int:
        """How many honest nodes are down, lack an honest transaction or wait for one."""
        wanted = len(self.deeds.honest)
        return sum(not node.up or node.counts["honest"] < wanted or node.member.is_waiting() for node in self.honest)

    # -- what nodes ask and tell -----------------------------------------------------------------------------------

    def is_honest(self, index: int) -> bool:
        """Whether the node behaves."""
        return index not in self._faulty

    def behaviour(self, index: int) -> Behaviour | None:
        """How a Byzantine node misbehaves; None for an honest one."""
        return self._faulty.get(index)

    def member(self, node: Node) -> Member:
        """Who posts at a node that starts."""
        name = self._faulty.get(node.index)
        return self._honest_member(node) if name is None else BEHAVIOURS[name](node)

    def posted(self, node: Node, transaction: Transaction) -> None:
        """An honest member posted a transaction (a Byzantine one's are told by `misdeeds`)."""
        if self.is_honest(node.index):
            self.deeds.honest[transaction.id] = self.agenda.now
            node.counts["honest"] += 1
            self.metrics.posted(node, transaction)

    def misdeeds(self, transactions: Iterable[Transaction], *, valid: bool) -> None:
        """A Byzantine member made these."""
        (self.deeds.byzantine if valid else self.deeds.invalid).update(dict.fromkeys(tx.id for tx in transactions))

    def vote(self, node: Node, round_: int, attempt: int, head: bytes) -> None:
        """A member votes on the chain; if that anchors the head, all nodes hear of it."""
        if self.chain.vote(round_, attempt, head, node.index, self.agenda.now) is not None:
            count = len(self.chain.anchors)
            self._announce("anchor", lambda other: other.hear(count))

    def finalised(self, node: Node, count: int) -> None:
        """A node holds the first `count` anchored heads."""
        self.notes.finalised(node, count)

    # -- inside ----------------------------------------------------------------------------------------------------

    def _choose_faulty(self) -> dict[int, Behaviour]:
        scenario = self.scenario
        chosen = stream(scenario.seed, "byzantine").sample(range(scenario.nodes), scenario.byzantine_nodes)
        return {
            index: scenario.behaviours[place % len(scenario.behaviours)] for place, index in enumerate(sorted(chosen))
        }

    def _choose_observers(self) -> list[Node]:
        wanted = self.scenario.observers or len(self.honest)
        return stream(self.scenario.seed, "observers").sample(self.honest, min(wanted, len(self.honest)))

    def _deliver(self, target: int, source: int, message: bytes) -> bool:
        return self.nodes[target].deliver(source, message)

    def _open_round(self) -> None:
        if self.agenda.now >= self.scenario.seconds:
            return
        self.chain.open()
        context = self.chain.context
        self._announce("context", lambda node: node.read_chain(context))
        self.agenda.after(self.scenario.round_seconds, "round", self._open_round)

    def _announce(self, label: str, tell: Callable[[Node], None]) -> None:
        """The chain has news: every node reads it at a moment of its own."""
        rng = stream(self.scenario.seed, f"chain {label} {self.agenda.now}")
        for node in self.nodes:
            self.agenda.after(
                rng.uniform(0.0, CHAIN_DELAY),
                f"{node.name} {label}",
                lambda node=node: tell(node),  # type: ignore[misc]
            )

    def _part(self, cut: Partition) -> None:
        size = max(1, math.floor(cut.share * self.scenario.nodes))
        chosen = stream(self.scenario.seed, f"partition {cut.start}").sample(range(self.scenario.nodes), size)
        self.network.part(dict.fromkeys(chosen, 1))

    def _plan_crashes(self) -> None:
        scenario = self.scenario
        rng = stream(scenario.seed, "crashes")
        for node in rng.sample(self.honest, round(scenario.crashes * len(self.honest))):
            at = rng.uniform(0.1, 0.8) * scenario.seconds
            back = min(at + rng.expovariate(1 / scenario.down_seconds), scenario.seconds)
            self.agenda.at(at, f"{node.name} crash", node.crash)
            self.agenda.at(back, f"{node.name} restart", node.start)

    def totals(self) -> Counter[str]:
        """How often each thing happened at honest nodes together."""
        return sum((node.counts for node in self.honest), Counter())
