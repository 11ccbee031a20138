"""A consortium in one process: real crypto (`minimal`), real ledgers and sync, real training, a simulated chain and network.

Deterministic given its seed: messages and effects are delivered in an order drawn from it, on a virtual clock.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
import random
from collections import deque
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from eth_account import Account

from chain.deployment import Deployment
from crypto.ceremony import Dealer, Terms, finish, receive
from crypto.parameters import parameter_set
from crypto.secrets import BoxKey
from dag.bodies import Kind
from dag.errors import LedgerError
from dag.ledger import Ledger
from dag.rules import Context, Member, RoundTerms
from dag.store.sqlite import Store
from dag.sync import Check, Effect, Send, Spread, SyncConfig, SyncMachine, Verdict
from dag.transaction import Transaction, address_of
from node.errors import MedweaveError
from node.images.dataset import concatenate
from node.images.partition import partition, split_validation
from node.images.phantom import generate
from node.learning.descent import descent
from node.learning.metrics import evaluate
from node.learning.parameters import model_hash
from node.learning.training import train
from node.publishing.port import PublisherPort
from node.publishing.publisher import Publisher
from node.rounds.checks import UpdateChecks
from node.rounds.dsse import sign_statement
from node.rounds.history import PastRound
from node.rounds.journal import Journal
from node.rounds.onchain import OnChain
from node.rounds.plan import Plan
from node.rounds.ports import Consortium, Policy, Ports
from node.rounds.runner import RoundRunner
from node.rounds.state import Anchored, Attached, Ended, Tick
from node.rounds.steps.models import genesis_model
from node.rounds.worker import carry_out
from node.sealing.keys import EpochKeys
from node.sealing.quantising import plan_layout
from node.storage import BlobMissing, BlobUnavailable, MemoryStore
from node.work.learning import settings_of
from tests.flow.simchain import SimChain

if TYPE_CHECKING:
    from node.rounds.state import Ending, RoundFacts

STEP_SECONDS = 0.05
SYNC = SyncConfig(
    frontier_seconds=0.2,
    request_seconds=0.2,
    retry_seconds=0.05,
    longest_seconds=3.0,
    half_life_seconds=6.0,
    ignore_seconds=3.0,
)
"""In proportion to the rounds, which take a tenth of the time that they take in a hospital."""
CONTRACTS = [f"0x{digit * 40}" for digit in "1234"]


class SimBlobs:
    """A store of one's own; what is missing comes from the members that are up."""

    def __init__(self, net: SimNet, index: int) -> None:
        self.net, self.index, self.store = net, index, MemoryStore()

    def obtain(self, cid, first=None):
        try:
            return self.store.get(cid)
        except BlobMissing:
            for node in self.net.nodes:
                if node.up and node.blobs.store.has(cid) and not self.net.withheld(node.index, self.index, cid):
                    data = node.blobs.store.get(cid)
                    self.store.put(data)
                    return data
            raise BlobUnavailable(cid, ()) from None

    def stream(self, cids, first=None):
        return (self.obtain(cid, first) for cid in cids)

    def obtain_all(self, cids, first=None, look=None):
        for cid in cids:
            data = self.obtain(cid, first)
            if look is not None:
                look(data)


class SimLearner:
    """Real training on a few phantoms."""

    def __init__(self, images, member: int) -> None:
        self.train_set, self.held_out = split_validation(images, 0.34, 0)
        self.member = member

    def train(self, plan, base, number, progress):
        return train(base, self.train_set, settings_of(plan).for_round(number - 1, plan.rounds, self.member), progress)

    def score(self, plan, vector):
        return evaluate(vector, self.held_out, settings_of(plan))

    def descent(self, plan, vector):
        return descent(vector, concatenate([self.train_set, self.held_out], "its own"), settings_of(plan))

    def report(self, plan, vector):
        return None


@lru_cache(4)
def _phantoms(count: int, seed: int) -> Any:
    return generate(count, 32, seed)


@dataclass
class SimNode:
    index: int
    ports: Ports
    publisher: Publisher
    blobs: SimBlobs
    checks: UpdateChecks
    journal: Journal
    up: bool = True
    runner: RoundRunner | None = None
    quantised: dict[int, np.ndarray] = field(default_factory=dict)
    sync: SyncMachine | None = None


class SimNet:
    """N hospitals; `play(rounds)` runs until every one has adopted each round's model.

    What goes wrong is decided by the functions below `self.dropped`, which a test replaces.
    """

    def __init__(self, members: int, threshold: int, *, min_group: int = 3, seed: int = 0, **plan_fields) -> None:
        self.rng = random.Random(seed)
        self.now = 1_700_000_000.0
        keys = [hashlib.sha256(b"member" + bytes([seed, k])).digest() for k in range(members)]
        self.accounts = [Account.from_key(key) for key in keys]
        self.addresses = tuple(address_of(key) for key in keys)
        self.quorum = -(-2 * members // 3)
        self.queue: deque = deque()
        self.later: list[tuple[float, int, tuple]] = []
        self._order = itertools.count()
        self.replaying = False
        self.dropped = lambda sender, receiver: False
        self.delay = lambda sender, receiver: 0.0
        self.effort = lambda node, effect: 0.0
        self.withheld = lambda owner, asker, cid: False
        self.stopped_effects = lambda node, effect: False
        self.carried_out = lambda node, effect: None
        self.acts = {}
        consortium = hashlib.sha256(b"simulation" + bytes([seed])).digest()
        self.deployment = Deployment(31337, consortium, *CONTRACTS, 0)
        self.chain = self._chain()
        defaults = {"architecture": "cnn", "image_size": 16, "epochs": 1, "batch_size": 8, "rounds": 3}
        data = _phantoms(12 * members, seed)
        self.plan = Plan.create(
            **(
                defaults
                | {
                    "classes": data.class_names,
                    "parameter_set": "minimal",
                    "threshold": threshold,
                    "min_group": min_group,
                }
                | {"collect_seconds": 30, "slot_seconds": 4, "round_seconds": 120, "tolerance": "1"}
                | plan_fields
            )
        )
        self.parts = partition(data, members, "by-patient", seed)
        self.nodes: list[SimNode] = []
        epoch_keys = self._ceremony(members, threshold)
        for index, key in enumerate(keys):
            self.nodes.append(self._node(index, key, epoch_keys[index]))
        self.chain.genesis(model_hash(genesis_model(self.plan)))

    # ---- building -------------------------------------------------------------------------------------------------

    def _chain(self) -> Any:
        """The chain that all share."""
        return SimChain(self, self.deployment)

    def _learner(self, index: int) -> Any:
        """A member's images and what it learns from them."""
        return SimLearner(self.parts[index], index)

    def _ceremony(self, members: int, threshold: int) -> list[tuple]:
        boxes = [BoxKey.from_secret_bytes(self.rng.randbytes(32)) for _ in range(members)]
        params = parameter_set("minimal", allow_minimal=True)
        terms = Terms(params, self.deployment.consortium, 1, threshold, tuple(box.public for box in boxes))
        dealers = [Dealer.resume(terms, k, self.rng.randbytes(32)) for k in range(members)]
        dealings = [dealer.dealing() for dealer in dealers]
        return [
            finish(
                [
                    receive(
                        d.header,
                        d.public,
                        d.shares[k],
                        boxes[k],
                        terms=terms,
                        commitment=dealers[j].commitment,
                        dealer=j,
                        receiver=k,
                    )
                    for j, d in enumerate(dealings)
                ]
            )
            for k in range(members)
        ]

    def _node(self, index: int, key: bytes, keys: tuple) -> SimNode:
        member, joint = keys
        blobs = SimBlobs(self, index)
        blobs.store.put(self.plan.to_bytes())
        journal = Journal(":memory:")
        context = self._context
        members = {address: k for k, address in enumerate(self.addresses)}
        node: SimNode
        store = Store(":memory:")
        ledger = Ledger(store, context)
        publisher = Publisher(ledger, store, key, members, lambda tx, approvals: self._attached(index, tx, approvals))
        publisher._random.seed(index)
        size = plan_layout(self.plan.architecture, len(self.plan.classes), self.plan.value_range).size
        checks = UpdateChecks(blobs, lambda _epoch: joint, lambda _round: size)
        ports = Ports(
            me=index,
            consortium=Consortium(
                self.deployment.consortium,
                31337,
                bytes.fromhex(self.deployment.rounds[2:]),
                self.addresses,
                tuple(len(part) for part in self.parts),
                self.quorum,
            ),
            chain=OnChain(self.chain.client(index)),
            ledger=publisher,
            blobs=blobs,
            learner=self._learner(index),
            keys=EpochKeys(1, member, joint, blobs.store.put(joint.to_bytes())),
            journal=journal,
            policy=Policy(
                self.plan.min_group, allow_minimal=True, keep_quantised=lambda r, v: node.quantised.update({r: v})
            ),
            secret_for=lambda label: hashlib.sha256(key + label).digest(),
            sign_statement=lambda statement: sign_statement(statement, key),
            past=self._past,
        )
        node = SimNode(index, ports, publisher, blobs, checks, journal)
        return node

    def _past(self) -> list[PastRound]:
        """The rounds that the chain finalised so far."""
        seats = {address: k for k, address in enumerate(self.addresses)}
        ended = sorted(self.chain.endings.items())
        return [PastRound(number, ending.statement, seats) for number, ending in ended if ending.finalised]

    def _context(self) -> Context:
        sizes = [len(part) for part in self.parts]
        layout = plan_layout(self.plan.architecture, len(self.plan.classes), self.plan.value_range)
        terms = RoundTerms(
            1,
            self.plan.threshold_for(len(self.accounts)),
            parameter_set("minimal", allow_minimal=True).id,
            max(sizes),
            self.plan.epochs,
            self.plan.min_group,
            layout.digest,
            sections=self.plan.sections,
        )
        members = {address: Member(k, sizes[k]) for k, address in enumerate(self.addresses)}
        rounds = dict.fromkeys(self.chain.rounds, terms)
        return Context(
            self.deployment.consortium, 31337, bytes.fromhex(self.deployment.registry[2:]), members, self.quorum, rounds
        )

    # ---- running --------------------------------------------------------------------------------------------------

    def open_round(self) -> int:
        """Open the next round for everybody who is up."""
        facts = self.chain.open(self.plan)
        for node in self.nodes:
            self.begin(node, facts)
        return facts.round

    def begin(self, node: SimNode, facts: RoundFacts) -> None:
        """(Re)start a member's part in a round from chain, ledger and journal alone."""
        if node.runner is None or not node.runner.over:
            self._start_sync(node)
        ports = replace(node.ports, opened={}, unlocked={})
        node.runner = RoundRunner(ports, facts, lambda _r, e, n=node: self._started(n, e), lambda: self.now)
        self.replaying = True
        node.publisher.replay(facts.round)
        self.replaying = False
        node.runner.feed([Tick(self.now)])

    def run(self, number: int, seconds: float = 200.0) -> Ending | None:
        """Let time pass until all members that are up are done with a round; how it ended, None if it has not."""
        until = self.now + seconds
        while self.now < until:
            while self.queue:
                self._one()
            up = [node for node in self.nodes if node.up]
            awaited = any(item[0] == "wake" for _, _, item in self.later)
            if number in self.chain.endings and not awaited and all(node.runner and node.runner.over for node in up):
                return self.chain.endings[number]
            self._let_time_pass(number)
        return self.chain.endings.get(number)

    def settle(self, number: int, seconds: float) -> None:
        """Let what is on its way arrive, after a round has ended; who was away joins again."""
        for node in self.nodes:
            if node.runner is None or not node.runner.over:
                self.begin(node, self.chain.rounds[number])
        until = self.now + seconds
        while self.now < until:
            while self.queue:
                self._one()
            self._let_time_pass(number)

    def _let_time_pass(self, number: int) -> None:
        self.now += STEP_SECONDS
        while self.later and self.later[0][0] <= self.now:
            self.queue.append(heapq.heappop(self.later)[2])
        self.chain.look()
        for node in self.nodes:
            if node.up:
                self._look(node, number)

    def crash(self, node: SimNode, seconds: float | None) -> None:
        """Kill a member: what it had in memory and what was on its way to it is gone. It comes back, or never (None)."""
        node.up = False
        self.queue = deque(item for item in self.queue if item[1] != node.index)
        self.later = [entry for entry in self.later if entry[2][1] != node.index]
        heapq.heapify(self.later)
        if seconds is not None:
            self.after(seconds, ("wake", node.index))

    def after(self, seconds: float, item: tuple) -> None:
        """Put something into the queue, now or later."""
        if seconds <= 0:
            self.queue.append(item)
        else:
            heapq.heappush(self.later, (self.now + seconds, next(self._order), item))

    def _started(self, node: SimNode, effect: Any) -> None:
        self.after(self.effort(node, effect), ("effect", node.index, effect))

    def play(self, rounds: int) -> list[Ending]:
        """Open and run rounds one after the other."""
        return [self.run(self.open_round()) for _ in range(rounds)]

    def _look(self, node: SimNode, number: int) -> None:
        """What a member reads on chain, and what its sync does by the clock."""
        if node.sync.next_deadline() <= self.now:
            self._carry(node, node.sync.tick(self.now))
        events = [Anchored(a) for a in self.chain.anchors[number] if a not in node.runner.state.anchors]
        if number in self.chain.endings and node.runner.state.ending is None:
            events.append(Ended(self.chain.endings[number]))
        node.runner.feed([*events, Tick(self.now)])

    def _one(self) -> None:
        self.queue.rotate(-self.rng.randrange(min(len(self.queue), 8)))
        item = self.queue.popleft()
        node = self.nodes[item[1]]
        if item[0] == "wake":
            node.up = True
            self.begin(node, self.chain.rounds[max(self.chain.rounds)])
        if not node.up:
            return
        if item[0] == "message":
            self._carry(node, node.sync.receive(str(item[2]), item[3], self.now))
        elif item[0] == "call":
            item[2]()
        elif item[0] == "posted":
            self._carry(node, node.sync.created([item[2]], self.now))
        elif item[0] == "effect" and not self.stopped_effects(node, item[2]):
            told = self.acts.get(node.index, carry_out)(node.runner.ports, node.runner.state, item[2])
            self.carried_out(node, item[2])
            if node.up:
                node.runner.feed(told)

    def _attached(self, index: int, transaction: Transaction, approvals) -> None:
        """The ledger of a member took a transaction; own ones go to everybody."""
        node = self.nodes[index]
        if node.runner is not None and transaction.round == node.runner.state.facts.round:
            node.runner.feed([Attached(transaction, approvals)])
        if transaction.parents and transaction.issuer == self.addresses[index] and not self.replaying:
            self.queue.append(("posted", index, transaction.id))

    def _start_sync(self, node: SimNode) -> None:
        """A machine that knows what the ledger knows, as after a start."""
        node.sync = SyncMachine(
            PublisherPort(node.publisher),
            SYNC,
            random.Random(node.index),
            needs_check=lambda transaction: transaction.kind is Kind.UPDATE,
        )
        for other in self.nodes:
            if other is not node:
                self._carry(node, node.sync.connect(str(other.index), self.now))
        self._carry(node, node.sync.created([tx.id for tx in node.publisher.outbox()], self.now))

    def _carry(self, node: SimNode, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send():
                    other = self.nodes[int(effect.peer)]
                    if other.up and not self.dropped(node.index, other.index):
                        self.send(node.index, other.index, effect.message)
                case Check():
                    self._carry(node, node.sync.checked(effect.transaction.id, self._verdict(node, effect), self.now))
                case Spread():
                    for tx_id in effect.ids:
                        node.publisher.sent(tx_id)
        while node.sync.pending:
            self._carry(node, node.sync.work(self.now))

    def send(self, sender: int, receiver: int, message: bytes) -> None:
        """Put a message on its way."""
        self.after(self.delay(sender, receiver), ("message", receiver, sender, message))

    @staticmethod
    def _verdict(node: SimNode, check: Check) -> Verdict:
        try:
            node.checks.check(check.transaction, None)
        except (LedgerError, MedweaveError):
            return Verdict.LATER
        return Verdict.GOOD


def crash_before(net: SimNet, number: int, step: type) -> list[int]:
    """The first member that is about to take such a step in a round dies, and starts again from chain, ledger and journal.

    Returns:
        Filled with that member's index once it has happened.
    """
    crashed: list[int] = []

    def crash(node: SimNode, effect: object) -> bool:
        if isinstance(effect, step) and not crashed:
            crashed.append(node.index)
            net.queue = type(net.queue)(item for item in net.queue if item[1] != node.index)
            net.begin(node, net.chain.rounds[number])
            return True
        return False

    net.stopped_effects = crash
    return crashed
