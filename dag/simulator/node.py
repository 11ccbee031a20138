"""One simulated node: the daemon's ledger and sync machine, driven by virtual time instead of threads and sockets."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from dag.ledger import Ledger
from dag.simulator.memory_store import MemoryStore
from dag.simulator.seeds import stream
from dag.sync import (
    Attached,
    LedgerAccess,
    Misbehaved,
    Send,
    Spread,
    SyncConfig,
    SyncMachine,
)
from dag.transaction import Unsigned, sign

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from dag.bodies import Body
    from dag.rules import Context
    from dag.simulator.member import Member
    from dag.simulator.scenario import Scenario
    from dag.simulator.shared import Decoder
    from dag.simulator.world import World
    from dag.sync import Effect
    from dag.transaction import Transaction

_SHORTEST: Final = 0.001
"""Least pause before a timer, so that one that is due to the last bit does not come twice."""
_UNREACHABLE: Final = 2.0
"""Seconds until a sender finds that a push did not arrive."""
LARGE: Final = 64
"""Nodes from which announcements wait longer for company."""


def name_of(node: int) -> str:
    """What a node is called among its peers."""
    return f"n{node}"


def number_of(name: str) -> int:
    """The node that is called so."""
    return int(name[1:])


class SharedAccess(LedgerAccess):
    """The port of a ledger whose bytes are decoded once for all nodes."""

    def __init__(self, ledger: Ledger, decode: Decoder) -> None:
        """A view of `ledger`."""
        super().__init__(ledger)
        self._judge = ledger.verify_standalone
        self._decode = decode

    def inspect(self, raw: bytes) -> Transaction:
        """See `dag.sync.LedgerPort.inspect`."""
        transaction = self._decode(raw)
        self._judge(transaction)
        return transaction


class Node:
    """A member's node. What survives a crash is its store; all else is made anew by `start`.

    Attributes:
        index: member index and number on the network.
        store: the node's disk.
        ledger: its ledger; meaningless while the node is down.
        machine: its side of the exchange; likewise.
        member: who posts here; honest or not.
        up: whether the node runs.
        counts: how often each thing happened here: commits, crashes, kinds of misbehaviour seen.
        peaks: the largest size of every buffer of the machine, over all lives.
        peers: numbers of the nodes it has links with.
        blamed: which nodes misbehaved towards this one, and how often.
    """

    ledger: Ledger
    machine: SyncMachine
    member: Member

    def __init__(self, world: World, index: int, peers: Sequence[int]) -> None:
        """A node that has not started."""
        self.world = world
        self.index = index
        self.name = name_of(index)
        self.key = world.chain.keys[index]
        self.address = world.chain.addresses[index]
        self.store = MemoryStore(self.name, world.shared)
        self.up = False
        self.counts: Counter[str] = Counter()
        self.blamed: Counter[int] = Counter()
        self.peaks: dict[str, int] = {}
        self.peers = tuple(peers)
        self._life = 0
        self._context: Context = world.chain.context
        clock = stream(world.scenario.seed, f"clock {index}")
        self._skew = clock.uniform(0.0, world.scenario.skew_seconds)
        self._rate = 1.0 + clock.uniform(-1.0, 1.0) * world.scenario.drift_ppm * 1e-6
        self._tick_at = math.inf
        self._work_planned = False

    # -- coming and going ------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts the node, the first time or after a crash: opens the store, connects, offers what nobody confirmed having."""
        world, scenario = self.world, self.world.scenario
        self._life += 1
        self._tick_at, self._work_planned = math.inf, False
        self._context = world.chain.context
        self.ledger = Ledger(self.store, lambda: self._context, alpha=scenario.alpha, decode=world.decoder)
        self.rng = stream(scenario.seed, f"walks {self.index} {self._life}")
        chance = stream(scenario.seed, f"sync {self.index} {self._life}")
        self.machine = SyncMachine(SharedAccess(self.ledger, world.decoder), world.sync_config, chance)
        self.up = True
        self.member = world.member(self)
        for peer in self.peers:
            self.carry(self.machine.connect(name_of(peer), self.clock))
        self.carry(self.machine.created(self.ledger.outbox(), self.clock))
        self.hear(len(world.chain.anchors))
        self.member.start()

    def crash(self) -> None:
        """Stops the node between two commits, without a word: memory is gone, messages to it are lost."""
        self.up = False
        self._life += 1
        self.store.crash()
        self.counts["crashes"] += 1
        del self.ledger, self.machine, self.member

    @property
    def clock(self) -> float:
        """What the node's own clock shows, seconds: off by its skew, and running at its own rate."""
        return self._skew + self.world.agenda.now * self._rate

    def later(self, delay: float, label: str, action: Callable[[], None]) -> None:
        """Plans something for this life of the node; after a crash it does not happen."""
        life = self._life

        def act() -> None:
            if self._life == life:
                action()

        self.world.agenda.after(delay, f"{self.name} {label}", act)

    # -- what reaches the node -------------------------------------------------------------------------------------

    def deliver(self, source: int, message: bytes) -> bool:
        """A message comes in. False if the node is down."""
        if not self.up:
            return False
        self.member.heard(message)
        for effect in self.machine.receive(name_of(source), message, self.clock):
            self._carry_out(effect)
        self._plan_work()  # nothing else is due earlier because something came in
        return True

    def read_chain(self, context: Context) -> None:
        """The node's view of the chain is now this."""
        if self.up and len(context.rounds) > len(self._context.rounds):
            self._context = context
            self.carry(self.machine.context_changed(self.clock))
            self.member.opened(len(context.rounds))

    def hear(self, count: int) -> None:
        """The chain has anchored so many heads."""
        if self.up and count:
            heads = [anchor.head for anchor in self.world.chain.anchors[:count]]
            self.carry(self.machine.anchored(heads, self.clock))
            self.member.anchored(count)

    # -- what the node does ----------------------------------------------------------------------------------------

    def post(
        self, body: Body, *, parents: tuple[bytes, bytes] | None = None, payload: str | None = None
    ) -> Transaction:
        """Signs, stores, attaches and pushes a transaction of the newest round.

        Raises:
            LedgerError: the rules refuse it.
        """
        round_ = len(self._context.rounds)
        posted = self.ledger.create(body.kind, round_, 1, body, payload, self.key, self.rng, parents=parents)
        self.world.posted(self, posted)
        self.carry(self.machine.created((posted.id,), self.clock))
        return posted

    def forge(self, body: Body, parents: tuple[bytes, bytes], sequence: int, **changes: Any) -> Transaction:
        """Signs whatever it is told, past the ledger's own care; nothing is stored. For Byzantine members."""
        payload = self.world.payload if body.carries_payload else None
        round_, consortium = len(self._context.rounds), self._context.consortium
        unsigned = Unsigned(body.kind, consortium, 1, round_, sequence, parents, payload, body)
        return sign(replace(unsigned, **changes), self.key)

    def carry(self, effects: Iterable[Effect]) -> None:
        """Carries out what the machine asks, then sees to its timers."""
        for effect in effects:
            self._carry_out(effect)
        self._plan_work()
        self._plan_tick()

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Send():
                self._send(effect)
            case Attached(transactions):
                self._grew(transactions)
            case Spread(ids):
                for tx_id in ids:
                    self.ledger.sent(tx_id)
            case Misbehaved(peer, error):
                self.counts[type(error).__name__] += 1
                self.blamed[number_of(peer)] += 1
            case _:
                self.counts[type(effect).__name__] += 1

    def _grew(self, transactions: Sequence[Transaction]) -> None:
        members = self._context.members
        self.counts["honest"] += sum(self.world.is_honest(members[tx.issuer].index) for tx in transactions)
        self.world.metrics.grown(self)
        self.member.attached(transactions)

    def _send(self, send: Send) -> None:
        for message in self.member.sends(send):
            arrival = self.world.network.send(self.index, number_of(send.peer), message)
            if send.pushed:
                delay = _UNREACHABLE if arrival is None else 2 * arrival
                known = arrival is not None
                self.later(delay, "outcome", lambda known=known: self._outcome(send, known))  # type: ignore[misc]

    def _outcome(self, send: Send, arrived: bool) -> None:
        self.carry(self.machine.outcome(send, arrived, self.clock))

    def _plan_work(self) -> None:
        if self.machine.pending and not self._work_planned:
            self._work_planned = True
            self.later(self.world.scenario.work_seconds, "work", self._work)

    def _plan_tick(self) -> None:
        deadline = self.machine.next_deadline()
        if deadline < math.inf:
            now = self.world.agenda.now
            at = max((deadline - self._skew) / self._rate, now) + _SHORTEST
            if at < self._tick_at:
                self._tick_at = at
                self.later(at - now, "tick", lambda: self._tick(at))

    def _work(self) -> None:
        self._work_planned = False
        self.counts["commits"] += 1
        self._note_peaks()
        self.carry(self.machine.work(self.clock))

    def _tick(self, planned: float) -> None:
        if planned == self._tick_at:
            self._tick_at = math.inf
            self.carry(self.machine.tick(self.clock))

    def _note_peaks(self) -> None:
        peaks = self.peaks
        for name, size in vars(self.machine.stats()).items():
            if size > peaks.get(name, 0):
                peaks[name] = size


def sync_config(scenario: Scenario) -> SyncConfig:
    """The daemon's limits; in a large network ids wait longer for company, so that messages hold many of them."""
    usual = SyncConfig()
    config = replace(
        usual,
        frontier_seconds=scenario.frontier_seconds,
        request_seconds=usual.request_seconds + 4 * scenario.work_seconds,
    )
    if scenario.nodes < LARGE:
        return config
    relay_seconds = min(
        10.0, scenario.ack_seconds / 60
    )  # slower, and most transactions would be posted unaware of the rest
    return replace(config, relay=2, relay_seconds=relay_seconds, coalesce_seconds=0.5, max_known=256)
