"""A consortium in one process on a real Anvil: real contracts, chain clients, followers, conductors and ledgers, in real time.

Hospitals exchange ledger messages in memory (`simnet`); everything about the chain is what a daemon runs. Anvil can be
killed at any moment and started again from its state file, or from an older one.
"""

from __future__ import annotations

import os
import queue
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from chain.anvil import Anvil, dev_account
from chain.anvilstate import is_whole
from chain.client import Chain
from chain.connection import Connection
from chain.deployment import deploy, fund
from chain.errors import ChainError
from chain.eventlog import EventLog
from chain.intents import IntentBook
from chain.records import Hospital
from node.consortium.follower import Follower
from node.consortium.view import ConsortiumView
from node.daemon.conductor import Conductor
from node.daemon.plans import PlanBook
from node.learning.parameters import model_hash
from node.rounds.onchain import OnChain
from node.rounds.ports import Ports
from node.rounds.steps.models import genesis_model
from tests.flow.simnet import SimNet

RETRY_SECONDS = 0.2


class Loop:
    """The part of an event loop that a conductor uses: calls from other threads, run by whoever drains it."""

    def __init__(self) -> None:
        self.calls: queue.SimpleQueue[tuple[Callable[..., None], tuple[Any, ...]]] = queue.SimpleQueue()

    def call_soon_threadsafe(self, call: Callable[..., None], *arguments: Any) -> None:
        self.calls.put((call, arguments))

    def drain(self) -> None:
        while not self.calls.empty():
            call, arguments = self.calls.get()
            call(*arguments)


class Gated(OnChain):
    """Waits before a call to the contracts while a test holds it back."""

    def __init__(self, chain: Chain, held: set[str]) -> None:
        super().__init__(chain)
        self.held = held

    def propose(self, *arguments: Any) -> int:
        self.wait("propose")
        return super().propose(*arguments)

    def finalise(self, *arguments: Any) -> int:
        self.wait("finalise")
        return super().finalise(*arguments)

    def wait(self, call: str) -> None:
        while call in self.held:
            time.sleep(0.02)


@dataclass
class Desk:
    """What one hospital has for the chain."""

    chain: Chain
    follower: Follower
    conductor: Conductor
    book: IntentBook
    next_look: float = 0.0
    looks: int = 0
    went_back: int = 0


class AnvilNet(SimNet):
    """`with AnvilNet(...).running() as net`: an active key epoch and a genesis model are on chain; no round yet."""

    plans: PlanBook | None = None

    def __init__(self, folder: Path, members: int = 4, threshold: int = 3, **plan_fields: Any) -> None:
        super().__init__(members, threshold, **plan_fields)
        self.folder = folder
        self.loop = Loop()
        self.pool = ThreadPoolExecutor(6)
        self.anvil = Anvil(None, folder / "state.json", log=folder / "anvil.log")
        self.desks: list[Desk] = []
        self.held: set[str] = set()
        """Calls to the contracts (`propose`, `finalise`) that wait until they are taken out."""

    # ---- building -------------------------------------------------------------------------------------------------

    @contextmanager
    def running(self) -> Iterator[AnvilNet]:
        self.anvil.start()
        try:
            self._found()
            yield self
        finally:
            self.held.clear()
            self.pool.shutdown(wait=True, cancel_futures=True)
            self.anvil.stop()

    def _found(self) -> None:
        hospitals = [
            Hospital(account.address, bytes([k + 1]) * 32, len(self.parts[k]), f"Hospital {k}", "")
            for k, account in enumerate(self.accounts)
        ]
        self.deployment = deploy(self.anvil.url, dev_account(0), self.deployment.consortium, hospitals)
        fund(self.anvil.url, dev_account(0), [account.address for account in self.accounts], 10)
        self.view = ConsortiumView()
        keys = [(node.ports.keys.member, node.ports.keys.joint) for node in self.nodes]
        private = [bytes(account.key) for account in self.accounts]
        self.nodes = [self._node(k, private[k], keys[k]) for k in range(len(keys))]
        self.plans = PlanBook(self.deployment, self.nodes[0].blobs, allow_minimal=True)
        self.desks = [self._desk(k) for k in range(len(keys))]
        self._activate(keys[0][1])
        self.desks[0].chain.rounds.genesis(model_hash(genesis_model(self.plan)), self.plan.digest)
        self.now = time.time()
        for node in self.nodes:
            self._start_sync(node)

    def _desk(self, k: int) -> Desk:
        book = IntentBook(self.folder / f"intents-{k}.sqlite")
        chain = Chain(self.anvil.url, self.deployment, self.accounts[k], attempts=2, timeout=5.0, book=book)
        node = self.nodes[k]
        node.ports = replace(node.ports, chain=Gated(chain, self.held))
        follower = Follower(chain, EventLog(self.folder / f"events-{k}.sqlite", self.deployment))

        def ports_for(_epoch: int) -> Ports:
            return replace(node.ports, opened={}, unlocked={})

        def holds(model: bytes) -> bool:
            return node.journal.model(model) is not None

        conductor = Conductor(self.loop, self.pool, ports_for, node.publisher.replay, holds)  # type: ignore[arg-type]
        return Desk(chain, follower, conductor, book)

    def _activate(self, joint: Any) -> None:
        clients = [desk.chain for desk in self.desks]
        parameters = joint.params.id + bytes(16)
        clients[0].epochs.open(parameters, self.plan.threshold, clients[0].now() + 1000)
        for k, client in enumerate(clients):
            client.epochs.announce(1, bytes([k + 101]) * 32)
        for step in ("commit", "deal", "test"):
            for client in clients:
                getattr(client.epochs, step)(1, step.encode().ljust(32))
        for client in clients:
            client.epochs.confirm(1, joint.digest)

    def _context(self) -> Any:
        if self.plans is None:
            return super()._context()
        return self.plans.context(self.view)

    # ---- the chain -------------------------------------------------------------------------------------------------

    def open_next(self) -> None:
        """Open the next round, in the background."""
        chain, plan = self.desks[0].chain, self.plan
        head = self.desks[0].follower.view.head or model_hash(genesis_model(plan))
        self.pool.submit(chain.rounds.open, plan.digest, head, plan.collect_seconds, plan.round_seconds)

    def saved(self) -> Path:
        """A copy of the state file that holds everything mined so far."""
        file, now = self.folder / "state.json", time.time_ns()
        copy = self.folder / f"state-{now}.json"

        def copied() -> bool:
            if not file.exists() or file.stat().st_mtime_ns < now + 10**9:
                return False
            shutil.copyfile(file, copy)
            return is_whole(copy)

        assert self.until(copied, 10)
        return copy

    def kill(self, back_to: Path | None = None, down: float = 0.5) -> None:
        """Kill -9, a pause, and a start from the state file, or from an older one: what an earlier kill had left.

        Ends when all have looked at what is there.
        """
        assert self.anvil.pid is not None
        os.kill(self.anvil.pid, signal.SIGKILL)
        self.anvil.stop()
        self.until(lambda: False, down)
        if back_to is not None:
            shutil.copyfile(back_to, self.folder / "state.json")
        self.anvil.start()
        # A block made again gets another time: a round that is opened again has other deadlines.
        Connection(self.anvil.url).request("evm_increaseTime", 3)
        looks = [desk.looks for desk in self.desks]
        self.until(lambda: all(d.looks > before for d, before in zip(self.desks, looks, strict=True)), 10)

    # ---- running --------------------------------------------------------------------------------------------------

    def until(self, ready: Callable[[], bool], seconds: float) -> bool:
        """Let time pass until something holds; False if it does not in time."""
        end = time.monotonic() + seconds
        while not ready():
            if time.monotonic() > end:
                return False
            self.step()
        return True

    def step(self) -> None:
        """What each daemon's event loop does in a moment."""
        self.now = time.time()
        for node, desk in zip(self.nodes, self.desks, strict=True):
            if self.now >= desk.next_look:
                self._look_at_chain(desk)
            desk.conductor.tick()
            if node.sync is not None and node.sync.next_deadline() <= self.now:
                self._carry(node, node.sync.tick(self.now))
        self.loop.drain()
        while self.queue:
            self._one()
            self.loop.drain()
        time.sleep(0.01)

    def _look_at_chain(self, desk: Desk) -> None:
        try:
            if desk.follower.look() and self.plans is not None:
                self.view = desk.follower.view
                self.plans.read_all(self.view)
            news = desk.follower.news
            assert news is not None
            desk.looks += 1
            desk.went_back += news.went_back is not None
            desk.conductor.look(desk.follower.view)
            desk.chain.watch(news)
            desk.next_look = self.now + 0.05
        except ChainError:
            desk.next_look = self.now + RETRY_SECONDS

    def _attached(self, index: int, transaction: Any, approvals: Any) -> None:
        """As the daemon does it: from any thread, under the ledger's lock."""
        self.loop.call_soon_threadsafe(self._tell, index, transaction, approvals)

    def _tell(self, index: int, transaction: Any, approvals: Any) -> None:
        if transaction.parents and transaction.issuer == self.addresses[index]:
            self.queue.append(("posted", index, transaction.id))
        self.desks[index].conductor.attached(transaction, approvals)

    # ---- asking ----------------------------------------------------------------------------------------------------

    def states(self, number: int) -> list[Any]:
        """Each hospital's state of a round; None where it has not begun it."""
        runners = [desk.conductor.runners.get(number) for desk in self.desks]
        return [None if runner is None else runner.state for runner in runners]

    def over(self, number: int) -> bool:
        """Whether every hospital is done with a round, as its follower tells it."""
        for node, desk in zip(self.nodes, self.desks, strict=True):
            runner, row = desk.conductor.runners.get(number), desk.follower.view.rounds.get(number)
            if row is None or row.open or (runner is not None and not runner.over):
                return False
            if runner is None and row.finalised and node.journal.model(row.model or b"") is None:
                return False
        return True

    def at_rest(self) -> bool:
        """Whether nobody has anything to bring into the chain."""
        return all(
            intent.block is not None
            for desk in self.desks
            for intent in desk.book.unresolved(str(desk.chain.account), self.deployment.chain_id)
        )

    def nonces(self) -> list[tuple[int, int]]:
        """Every account's next nonce, by what is mined and by what waits."""
        eth = Connection(self.anvil.url).w3.eth
        return [
            (eth.get_transaction_count(a.address, "latest"), eth.get_transaction_count(a.address, "pending"))
            for a in self.accounts
        ]
