"""One round of a schedule: the simulated network with its faults, and what came of it."""

from __future__ import annotations

import hashlib
import itertools
import random
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np

from crypto.randomness import Stream
from crypto.ring import multiply, small_spectrum, spectrum
from node.learning.training import TrainingResult
from node.sealing.quantising import plan_layout
from tests.flow.liveness.leaders import LEADERS
from tests.flow.liveness.members import MEMBERS
from tests.flow.simnet import SimNet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crypto.parameters import ParameterSet
    from node.rounds.state import Anchor, Ending, RoundState
    from tests.flow.liveness.faulty import Faulty
    from tests.flow.liveness.schedule import Crash, Schedule

FAULTS: dict[str, type[Faulty]] = {**LEADERS, **MEMBERS}


class DrawnLearner:
    """An update drawn from a seed in place of training: what is trained has no bearing on how a round ends."""

    def __init__(self, member: int, samples: int) -> None:
        self.member, self.samples = member, samples

    def train(self, _plan: Any, base: Any, number: int, _progress: Any) -> TrainingResult:
        drawn = np.random.default_rng((self.member, number)).normal(0.0, 0.01, base.shape)
        vector = base + drawn.astype(np.float32)
        return TrainingResult(vector=vector, steps=1, samples=self.samples, seconds=0.0, losses=(0.0,), kept=1)

    def score(self, _plan: Any, _vector: Any) -> Any:
        return SimpleNamespace(accuracy=0.5, n=3)

    def descent(self, _plan: Any, vector: Any) -> Any:
        return np.zeros_like(vector)

    def report(self, _plan: Any, _vector: Any) -> None:
        return None


class FaultyNet(SimNet):
    """The simulation, going wrong as a schedule says.

    Attributes:
        hidden: CIDs that their owners keep to themselves.
        faulty: The members that do not follow the protocol, by index.
    """

    def __init__(self, schedule: Schedule) -> None:
        super().__init__(schedule.members, schedule.threshold, min_group=schedule.min_group, seed=0)
        self.schedule = schedule
        self.hidden: set[str] = set()
        self.faulty: dict[int, Faulty] = {}
        self.rng = random.Random(schedule.seed)
        self.size = plan_layout(self.plan.architecture, len(self.plan.classes), self.plan.value_range).size

    def _learner(self, index: int) -> DrawnLearner:
        return DrawnLearner(index, len(self.parts[index]))

    def anchored(self, number: int) -> list[Anchor]:
        """What the chain recorded as proposed in a round."""
        return self.chain.anchors[number]

    def misbehave(self, number: int) -> None:
        """Put the schedule's faults in force for a round that is open."""
        s, ranking = self.schedule, self.chain.rounds[number].ranking
        self.faulty = {ranking[rank]: FAULTS[name](self, self.nodes[ranking[rank]], s.seed) for rank, name in s.faults}
        crashes = {(ranking[c.rank], c.step): c for c in s.crashes}
        self.dropped = lambda _sender, _receiver: self.rng.random() < s.loss
        self.delay = lambda _sender, _receiver: self.rng.uniform(0.0, s.delay)
        self.effort = lambda _node, _effect: self.rng.uniform(0.0, s.effort)
        self.withheld = lambda _owner, _asker, cid: cid in self.hidden
        self.stopped_effects = lambda node, effect: self._before(crashes, node, effect)
        self.carried_out = lambda node, effect: self._after(crashes, node, effect)

    def behave(self) -> None:
        """The faults are over; who was dead comes back."""
        self.dropped = lambda _sender, _receiver: False
        self.delay = self.effort = lambda _one, _other: 0.0
        self.withheld = lambda _owner, _asker, _cid: False
        self.stopped_effects = lambda _node, _effect: False
        self.carried_out = lambda _node, _effect: None
        for node in self.nodes:
            node.up = True

    def _before(self, crashes: dict[tuple[int, str], Crash], node: Any, effect: Any) -> bool:
        crash = crashes.get((node.index, type(effect).__name__))
        if crash is not None and not crash.after:
            del crashes[node.index, crash.step]
            self.crash(node, crash.seconds)
            return True
        return node.index in self.faulty and self.faulty[node.index].instead(effect)

    def _after(self, crashes: dict[tuple[int, str], Crash], node: Any, effect: Any) -> None:
        if node.index in self.faulty:
            self.faulty[node.index].then(effect)
        crash = crashes.pop((node.index, type(effect).__name__), None)
        if crash is not None:
            self.crash(node, crash.seconds)


@dataclass(frozen=True)
class Played:
    """A round that is over, or that did not end."""

    net: FaultyNet
    number: int
    ending: Ending | None
    seconds: float
    """From the opening until everybody was done."""
    story: str
    """What was to go wrong and what came of it, in a few lines."""
    states: tuple[RoundState, ...]
    """What each member knew in the end."""
    head: bytes
    """The newest model then."""
    after: Ending | None = None
    """How the round after an aborted one ended."""

    @classmethod
    def of(cls, net: FaultyNet, number: int, ending: Ending | None, seconds: float) -> Played:
        """What there is to be judged now."""
        states = tuple(node.runner.state for node in net.nodes if node.runner)
        return cls(net, number, ending, seconds, _story(net, number, ending, seconds), states, net.chain.head)


def _story(net: FaultyNet, number: int, ending: Ending | None, seconds: float) -> str:
    facts = net.chain.rounds[number]
    rank = {member: place for place, member in enumerate(facts.ranking)}
    how = "did not end" if ending is None else "finalised" if ending.finalised else "aborted"
    lines = [str(net.schedule), f"round {how} after {seconds:.1f} s; ranking {facts.ranking}"]
    lines += [f"  rank {rank[a.leader]} anchored {a.proposal.hex()[:8]}" for a in net.anchored(number)]
    for node in net.nodes:
        s = node.runner.state
        lines.append(
            f"  rank {rank[node.index]}{'' if node.up else ' (dead)'}: {node.runner.phase}, {len(s.updates)} updates, "
            f"{len(s.closes)} closes, {len(s.reveals)} reveals, verified {sorted(p.hex()[:8] for p in s.verified)}, "
            f"refused {[f'{p.hex()[:8]}: {why[:90]}' for p, why in s.refused.items()]}, {len(s.shares)} shares, "
            f"{len(s.verdicts)} verdicts, signed {sorted(c.statement.hex()[:6] for c in s.checkpoints)}"
        )
    return "\n".join(lines)


@contextmanager
def reproducible(net: FaultyNet) -> Iterator[None]:
    """Draw encryptions from the schedule's seed, where SEAL asks the operating system: the ids of transactions follow from them."""
    joint, count = net.nodes[0].ports.keys.joint, itertools.count()

    def encrypt_zero(_context: Any, params: ParameterSet) -> Any:
        primes = params.chunk_primes
        stream = Stream(hashlib.sha256(f"{net.schedule.seed} {next(count)}".encode()).digest())
        u = small_spectrum(stream.ternary(params.ring))
        rows = (row[: len(primes)] for row in (joint.b, joint.a))
        return np.stack([multiply(spectrum(row, primes), u, primes) for row in rows])

    with patch("crypto.sealing.encrypt_zero", encrypt_zero):
        yield


def play(schedule: Schedule) -> Played:
    """Play one round of a schedule on the simulated chain."""
    return play_on(FaultyNet(schedule))


def play_on(net: FaultyNet) -> Played:
    """Play one round of a network's schedule, and after an aborted one another round in which nothing goes wrong."""
    begin, after = net.now, None
    with reproducible(net):
        number = net.open_round()
        net.misbehave(number)
        ending = net.run(number, net.plan.round_seconds + 60.0)
        played = Played.of(net, number, ending, net.now - begin)
        if ending is not None and not ending.finalised:
            net.behave()
            after = net.run(net.open_round())
    return replace(played, after=after)
