"""Machines on a virtual network: messages take time, get lost, come twice and out of order, by seed."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count

from dag.ledger import Ledger
from dag.sync import Attached, Check, LedgerAccess, Misbehaved, Send, Spread, SyncConfig, SyncMachine, Verdict
from dag.sync.messages import parse
from tests.dag.support import create, ledger, post
from tests.dag.test_ledger import QUIET


@dataclass
class Node:
    """One machine over one ledger."""

    name: str
    book: Ledger
    machine: SyncMachine
    up: bool = True
    blamed: list[Misbehaved] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    verdict: Callable[[Check], Verdict] = lambda _: Verdict.GOOD

    def contents(self) -> set[bytes]:
        return set(self.book.tangle.ids())


class Net:
    """Nodes by name, all connected to each other; `run` lets virtual time pass."""

    def __init__(
        self,
        size: int,
        *,
        seed: int = 0,
        loss: float = 0.0,
        duplicates: float = 0.0,
        latency: tuple[float, float] = (0.01, 0.05),
        config: SyncConfig | None = None,
        tells_outcome: bool = False,
        books: Sequence[Ledger] | None = None,
        connected: bool = True,
    ) -> None:
        self.rng = random.Random(seed)
        self.now = 0.0
        self.loss, self.duplicates, self.latency, self.tells_outcome = loss, duplicates, latency, tells_outcome
        self.config = config or SyncConfig()
        self.events: list[tuple[float, int, str, str, bytes]] = []
        self.order = count()
        self.sent: Counter[str] = Counter()
        self.bytes = 0
        self.log: list[tuple[str, str, str, int]] = []
        self.blocked: Callable[[str, str], bool] = lambda *_: False
        self.strangers: dict[str, Callable[[str, bytes], list[bytes]]] = {}
        self.nodes: dict[str, Node] = {}
        for k in range(size):
            self.add(f"n{k}", books[k] if books else ledger(members=max(4, size)), seed + k)
        if connected:
            for one in self.nodes:
                for other in self.nodes:
                    if one != other:
                        self.carry(one, self.nodes[one].machine.connect(other, self.now))

    def add(self, name: str, book: Ledger, seed: int = 0, needs_check=None) -> Node:
        machine = SyncMachine(LedgerAccess(book), self.config, random.Random(seed), needs_check=needs_check)
        self.nodes[name] = Node(name, book, machine)
        return self.nodes[name]

    def stranger(self, name: str, answer: Callable[[str, bytes], list[bytes]]) -> None:
        """Somebody who is no machine: `answer(sender, message)` gives the messages to send back."""
        self.strangers[name] = answer

    def post(self, member: int, **options) -> bytes:
        """The member's node makes an acknowledgement and announces it."""
        node = self.nodes[f"n{member}"]
        made = create(node.book, member, QUIET, seed=self.rng.getrandbits(30), **options)
        self.carry(node.name, node.machine.created([made.id], self.now))
        return made.id

    def send(self, sender: str, receiver: str, message: bytes) -> None:
        """Put a message on the network."""
        kind = parse(message).KIND if len(message) < 100_000 else "large"
        self.sent[kind] += 1
        self.bytes += len(message)
        self.log.append((sender, receiver, kind, len(message)))
        for _ in range(1 + (self.rng.random() < self.duplicates)):
            if self.rng.random() >= self.loss and not self.blocked(sender, receiver):
                at = self.now + self.rng.uniform(*self.latency)
                heapq.heappush(self.events, (at, next(self.order), sender, receiver, message))

    def carry(self, name: str, effects) -> None:
        """Carry a node's effects out."""
        node = self.nodes[name]
        for effect in effects:
            match effect:
                case Send():
                    self.send(name, effect.peer, effect.message)
                    if self.tells_outcome:
                        known = effect.peer in self.strangers or self.nodes[effect.peer].up
                        self.carry(name, node.machine.outcome(effect, known, self.now))
                case Misbehaved():
                    node.blamed.append(effect)
                case Check():
                    node.checks.append(effect)
                    verdict = node.verdict(effect)
                    self.carry(name, node.machine.checked(effect.transaction.id, verdict, self.now))
                case Spread():
                    for tx_id in effect.ids:
                        node.book.sent(tx_id)
                case Attached():
                    pass
        self.drain(name)

    def drain(self, name: str) -> None:
        node = self.nodes[name]
        while node.machine.pending:
            self.carry(name, node.machine.work(self.now))

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Let time pass; whether `until` came true on the way."""
        end = self.now + seconds
        while not until():
            due = min((n.machine.next_deadline() for n in self.nodes.values() if n.up), default=float("inf"))
            at = min(due, self.events[0][0] if self.events else float("inf"))
            if at > end:
                self.now = end
                return until()
            self.now = max(self.now, at)
            if self.events and self.events[0][0] <= at:
                self._deliver(*heapq.heappop(self.events)[2:])
            for node in self.nodes.values():
                if node.up and node.machine.next_deadline() <= self.now:
                    self.carry(node.name, node.machine.tick(self.now))
        return True

    def _deliver(self, sender: str, receiver: str, message: bytes) -> None:
        if receiver in self.strangers:
            for answer in self.strangers[receiver](sender, message):
                self.send(receiver, sender, answer)
        elif (node := self.nodes[receiver]).up:
            self.carry(receiver, node.machine.receive(sender, message, self.now))

    def same(self) -> bool:
        """Whether every node that is up holds the same transactions."""
        return len({frozenset(node.contents()) for node in self.nodes.values() if node.up}) == 1


SILENT = SyncConfig(relay=0, frontier_seconds=1e9)
"""Pushes and answers alone."""


def chain(book, count: int, member: int = 0) -> list[bytes]:
    """Transactions of one member, each approving the one before; their bytes."""
    rows = []
    parent = book.genesis_id
    for number in range(count):
        made = post((parent, parent), QUIET, member, number)
        book.receive(made.raw)
        rows.append(made.raw)
        parent = made.id
    return rows


def lone(book=None, config: SyncConfig = SILENT, peers: tuple[str, ...] = ("a", "b"), **options) -> SyncMachine:
    """A machine without a network; the test speaks for its peers."""
    machine = SyncMachine(LedgerAccess(book or ledger()), config, random.Random(1), **options)
    for peer in peers:
        machine.connect(peer, 0.0)
    return machine


def said(effects, peer: str | None = None) -> list:
    """The messages among effects, to one peer if named."""
    return [parse(e.message) for e in effects if isinstance(e, Send) and peer in {None, e.peer}]


def told(machine: SyncMachine, peer: str, message, now: float = 0.0, **options) -> list:
    """A message arrives and everything that waits is served."""
    raw = message if isinstance(message, bytes) else message.encode()
    effects = machine.receive(peer, raw, now, **options)
    while machine.pending:
        effects += machine.work(now)
    return effects
