"""The same schedules on the real contracts: every member writes through its own chain client, and reads real events.

Members run on virtual time and Anvil's clock follows it, so a round of two minutes takes seconds.
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chain.anvil import Anvil, dev_account
from chain.client import Chain
from chain.connection import Connection
from chain.deployment import deploy, fund
from chain.records import Hospital
from node.audit import audit, open_evidence
from node.consortium.follower import Follower
from node.images.partition import partition
from node.rounds.state import Anchor, Ending, RoundFacts
from node.storage import raw_cid
from tests.audit.network import MINIMAL, AuditedNet, _write_blobs, box
from tests.flow.liveness.network import FaultyNet
from tests.flow.simnet import _phantoms

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from chain.deployment import Deployment
    from node.audit.report import Report
    from node.rounds.plan import Plan
    from tests.flow.liveness.schedule import Schedule

FUNDS = 10
"""Ether for each member's gas."""
CATCH_UP_SECONDS = 10.0


class AnvilChain:
    """What `SimChain` is to the network, over TrainingRounds on Anvil."""

    def __init__(self, net: AnvilNet, anvil: Anvil, hospitals: list[Hospital], consortium: bytes) -> None:
        self.net, self.url = net, anvil.url
        self.endpoint = Connection(anvil.url)
        self.endpoint.request("anvil_setBlockTimestampInterval", 1)
        self.deployment = deploy(anvil.url, dev_account(0), consortium, hospitals)
        fund(anvil.url, dev_account(0), [account.address for account in net.accounts], FUNDS)
        self.clients = [Chain(anvil.url, self.deployment, account) for account in net.accounts]
        self.follower = Follower(Chain(anvil.url, self.deployment))
        self.outcomes: dict[int, tuple[Any, dict[int, bytes]]] = {}
        self.news = True
        self.look()

    def genesis(self, model: bytes) -> None:
        """Activate the key epoch with what the ceremony gave, and record the first model."""
        net, clients = self.net, self.clients
        clients[0].epochs.open(MINIMAL.id + bytes(16), net.schedule.threshold, clients[0].now() + 1000)
        for k, client in enumerate(clients):
            client.epochs.announce(1, box(k).public)
        for k, client in enumerate(clients):
            client.epochs.commit(1, net.commitments[k])
        for k, client in enumerate(clients):
            client.epochs.deal(1, hashlib.sha256(net.dealings[k].header.to_bytes()).digest())
        for client in clients:
            client.epochs.test(1, hashlib.sha256(b"report").digest())
        for client in clients:
            client.epochs.confirm(1, net.nodes[0].ports.keys.joint.digest)
        clients[0].rounds.genesis(model, net.plan.digest)
        net.now = float(clients[0].now() + 10)
        self.news = True
        self.look()

    # ---- what the network asks ------------------------------------------------------------------------------------

    def client(self, member: int) -> Punctual:
        """A member's own client."""
        return Punctual(self, PunctualRounds(self, self.clients[member].rounds))

    def open(self, plan: Plan) -> RoundFacts:
        """Open the next round as the first member."""
        self.on_time()
        self.clients[0].rounds.open(plan.digest, self.head, plan.collect_seconds, plan.round_seconds)
        self.news = True
        self.look()
        return self.rounds[max(self.rounds)]

    def look(self) -> None:
        """Read the chain's new events, if anybody has written since."""
        if self.news:
            self.news = False
            self.follower.look()

    def on_time(self) -> None:
        """Let the next block carry the network's time, unless the chain is there already."""
        latest = self.endpoint.w3.eth.get_block("latest")["timestamp"]
        if int(self.net.now) > latest:
            self.endpoint.request("evm_setNextBlockTimestamp", int(self.net.now))

    @property
    def head(self) -> bytes:
        """The newest model."""
        return self.follower.view.head or b""

    @property
    def rounds(self) -> dict[int, RoundFacts]:
        """Every round as it was opened."""
        return {
            row.round: RoundFacts(
                row.round, row.epoch, row.plan, row.base, row.seed, row.ranking, row.collect_by, row.finalise_by
            )
            for row in self.follower.view.rounds.values()
        }

    @property
    def anchors(self) -> dict[int, list[Anchor]]:
        """What was proposed, by round."""
        seats = self.follower.view.addresses
        return {
            row.round: [Anchor(seats.index(p.leader), p.proposal, p.updates_root, p.sums_root) for p in row.proposals]
            for row in self.follower.view.rounds.values()
        }

    @property
    def endings(self) -> dict[int, Ending]:
        """How the rounds that are over ended."""
        return {
            row.round: Ending(row.finalised, row.model or row.base, row.statement or bytes(32))
            for row in self.follower.view.rounds.values()
            if not row.open
        }


@dataclass(frozen=True)
class PunctualRounds:
    """TrainingRounds as a member writes it, in blocks that carry the network's time."""

    chain: AnvilChain
    rounds: Any

    def propose(self, *said: Any) -> Any:
        return self._send(self.rounds.propose, *said)

    def finalise(self, outcome: Any, signatures: Any) -> Any:
        receipt = self._send(self.rounds.finalise, outcome, signatures)
        self.chain.outcomes[outcome.round] = (outcome, dict(signatures))
        return receipt

    def abort(self, number: int) -> Any:
        return self._send(self.rounds.abort, number)

    def sign_outcome(self, outcome: Any) -> bytes:
        return self.rounds.sign_outcome(outcome)

    def _send(self, call: Any, *said: Any) -> Any:
        self.chain.on_time()
        receipt = call(*said)
        self.chain.news = True
        return receipt


@dataclass(frozen=True)
class Punctual:
    """The part of a chain client that a round uses."""

    chain: AnvilChain
    rounds: PunctualRounds

    @property
    def deployment(self) -> Deployment:
        return self.chain.deployment


class AnvilNet(FaultyNet, AuditedNet):
    """The network of a schedule on Anvil, with a key ceremony whose public part an auditor can check."""

    def __init__(self, schedule: Schedule, anvil: Anvil) -> None:
        self.anvil = anvil
        self.schedule = schedule
        super().__init__(schedule)

    def _chain(self) -> AnvilChain:
        members = len(self.accounts)
        sizes = [len(part) for part in partition(_phantoms(12 * members, 0), members, "by-patient", 0)]
        hospitals = [
            Hospital(account.address, box(k).public, sizes[k], f"Hospital {k}", "")
            for k, account in enumerate(self.accounts)
        ]
        chain = AnvilChain(self, self.anvil, hospitals, self.deployment.consortium)
        self.deployment = chain.deployment
        return chain


@contextmanager
def on_anvil(schedule: Schedule, folder: Path) -> Iterator[AnvilNet]:
    """A network of a schedule on an Anvil of its own."""
    with Anvil(None, folder / "state.json") as anvil:
        yield AnvilNet(schedule, anvil)


def audited(net: AnvilNet, folder: Path) -> Report:
    """What an auditor finds who has the chain and the members' blobs, once all are back and have caught up."""
    net.behave()
    net.settle(max(net.chain.rounds), CATCH_UP_SECONDS)
    for node in net.nodes:
        for ending in net.chain.endings.values():
            if ending.finalised:
                node.blobs.obtain(raw_cid(ending.statement))
    _write_blobs(net, folder)
    return audit(Chain(net.chain.url, net.deployment), open_evidence([folder]), None)
