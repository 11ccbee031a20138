"""The contracts' round logic in memory, one for all members; `client(k)` is what member k writes through.

Refuses what `contracts/src/TrainingRounds.sol` refuses, by the same custom errors, so that the adapter under test is the
product's own (`node.rounds.onchain`).
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING

from eth_utils.crypto import keccak

from chain.errors import ContractReverted
from chain.leader import ranking
from chain.outcome import recover_outcome_signer, sign_outcome
from node.rounds.state import Anchor, Ending, RoundFacts

if TYPE_CHECKING:
    from chain.deployment import Deployment
    from node.rounds.plan import Plan
    from tests.flow.simnet import SimNet

MINED = SimpleNamespace(gas_used=1)
"""The receipt of a transaction."""


class SimChain:
    """Rounds, who proposed what in them, how they ended; time is the network's."""

    def __init__(self, net: SimNet, deployment: Deployment) -> None:
        self.net, self.deployment = net, deployment
        self.seed = keccak(deployment.consortium)
        self.head = b""
        self.rounds: dict[int, RoundFacts] = {}
        self.anchors: dict[int, list[Anchor]] = {}
        self.endings: dict[int, Ending] = {}
        self.outcomes: dict[int, tuple[object, dict[int, bytes]]] = {}

    def genesis(self, model: bytes) -> None:
        """Record the lineage's first model."""
        self.head = model

    def client(self, member: int) -> SimClient:
        """What a member writes through; has of `chain.client.Chain` what a round uses."""
        return SimClient(self.deployment, SimRounds(self, member))

    def open(self, plan: Plan) -> RoundFacts:
        """Open the next round."""
        number, now = len(self.rounds) + 1, int(self.net.now)
        order = ranking(self.seed, self.net.addresses, [1] * len(self.net.addresses))
        facts = RoundFacts(
            number, 1, plan.digest, self.head, self.seed, order, now + plan.collect_seconds, now + plan.round_seconds
        )
        self.rounds[number] = facts
        self.anchors[number] = []
        return facts

    def look(self) -> None:
        """Read what is new; here everything is known at once."""

    def end(self, number: int, ending: Ending, material: bytes) -> None:
        """What a finalised or aborted round leaves behind."""
        self.endings[number] = ending
        self.head = ending.model
        self.seed = keccak(self.seed + material + number.to_bytes(32, "big"))


@dataclass(frozen=True)
class SimRounds:
    """TrainingRounds as one member calls it; refuses by the contract's errors."""

    chain: SimChain
    member: int

    def propose(self, number, proposal, updates_root, sums_root):
        self._require_open("propose", number)
        if any(a.leader == self.member for a in self.chain.anchors[number]):
            raise _reverted("propose", "AlreadyProposed")
        self.chain.anchors[number].append(Anchor(self.member, proposal, updates_root, sums_root))
        return MINED

    def finalise(self, outcome, signatures):
        facts, net = self._require_open("finalise", outcome.round), self.chain.net
        if outcome.base != self.chain.head:
            raise _reverted("finalise", "WrongBase")
        if outcome.plan != facts.plan:
            raise _reverted("finalise", "WrongPlan")
        leader = net.addresses.index(bytes.fromhex(outcome.leader[2:]))
        pledge = Anchor(leader, outcome.proposal, outcome.updates_root, outcome.sums_root)
        if pledge not in self.chain.anchors[outcome.round]:
            raise _reverted("finalise", "NotProposed")
        for index, signature in signatures.items():
            signer = bytes.fromhex(recover_outcome_signer(outcome, signature, self.chain.deployment)[2:])
            if signer != net.addresses[index]:
                raise _reverted("finalise", "BadSignature")
        if len(signatures) < net.quorum:
            raise _reverted("finalise", "NoQuorum")
        self.chain.outcomes[outcome.round] = (outcome, dict(signatures))
        self.chain.end(outcome.round, Ending(True, outcome.model, outcome.statement), outcome.seed_material)
        return MINED

    def abort(self, number):
        facts = self.chain.rounds[number]
        if number in self.chain.endings:
            raise _reverted("abort", "RoundNotOpen")
        if int(self.chain.net.now) <= facts.finalise_by:
            raise _reverted("abort", "RoundNotExpired")
        self.chain.end(number, Ending(False, facts.base, bytes(32)), bytes(32))
        return MINED

    def sign_outcome(self, outcome):
        return sign_outcome(outcome, self.chain.deployment, self.chain.net.accounts[self.member])

    def _require_open(self, call: str, number: int) -> RoundFacts:
        if number in self.chain.endings or number not in self.chain.rounds:
            raise _reverted(call, "RoundNotOpen")
        facts = self.chain.rounds[number]
        if int(self.chain.net.now) > facts.finalise_by:
            raise _reverted(call, "RoundExpired")
        return facts


@dataclass(frozen=True)
class SimClient:
    """The part of a chain client that a round uses."""

    deployment: Deployment
    rounds: SimRounds


def _reverted(call: str, name: str) -> ContractReverted:
    return ContractReverted(f"TrainingRounds.{call}", name, {})
