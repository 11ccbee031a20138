"""A round of many hospitals on virtual time: `node.rounds.machine` runs for each of them, as in its daemon.

Nothing is encrypted here: what a machine asks for takes the time and sends the bytes that the real thing was measured to.
All hospitals are honest and stay; what happens when they do not, real networks show (`benchmarks.faults`).
"""

from __future__ import annotations

import math
import random
from collections import deque
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from benchmarks.errors import NotMeasured
from benchmarks.scaling.counting import load_of
from benchmarks.scaling.ledger import EPOCH, QUIET, ROUND, Ledger, is_plain
from benchmarks.scaling.performing import Performer
from benchmarks.scaling.setting import SIMULTANEOUS
from benchmarks.scaling.sizes import bounds_lifted, model_file_bytes, update_manifest_bytes
from benchmarks.scaling.wires import Wires
from dag.bodies import UpdateBody
from dag.simulator.agenda import Agenda
from node.rounds.groups import shuffled
from node.rounds.machine import apply
from node.rounds.plan import Plan
from node.rounds.state import Attached, Failed, Finished, Members, RoundFacts, RoundState, Tick

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from benchmarks.scaling.counting import Units
    from benchmarks.scaling.setting import Setting
    from dag.bodies import Body
    from dag.transaction import Transaction
    from node.rounds.effects import Effect
    from node.rounds.state import Event

    Numbers = NDArray[np.float64]

_LONGEST_SLOT: Final = 43_200
_SLOTS: Final = 20
_TICKS_A_SLOT: Final = 40
_SOON: Final = 1e-6


@dataclass(eq=False)
class Hospital:
    """One that takes part: its machine, and what it has to do."""

    state: RoundState
    training: float
    """Seconds."""
    waiting: deque[Effect] = field(default_factory=deque)
    busy: int = 0
    unapproved: set[bytes] = field(default_factory=set)
    """Updates it has and does not approve yet. A machine is told of each once that it does: it reads no other approval."""

    @property
    def me(self) -> int:
        """Its index."""
        return self.state.members.me


@dataclass(frozen=True, slots=True)
class Observed:
    """What one simulated round took."""

    seconds: float
    """From the last update's posting until the chain has the outcome."""
    phases: dict[str, float]
    """The same by phase, at the leader."""
    came: dict[str, Numbers]
    """Bytes that arrived at each hospital, by what they were; those that rest last."""
    left: dict[str, Numbers]
    core: Numbers
    """Seconds of one core, by hospital that takes part."""
    transactions: int
    ledger_bytes: int

    def arrived(self) -> Numbers:
        """All bytes that arrived, by hospital."""
        return sum(self.came.values(), np.zeros(1))

    def sent(self) -> Numbers:
        """All bytes that left, by hospital."""
        return sum(self.left.values(), np.zeros(1))


class World:
    """A round that has not begun; `run` plays it once.

    Attributes:
        agenda: the clock.
        ledger: what was said.
        wires: what was sent.
        hospitals: those that take part.
        seconds: core-seconds spent, by hospital.
    """

    def __init__(self, setting: Setting, units: Units) -> None:
        self.setting, self.units = setting, units
        rng = random.Random(setting.seed)
        self.agenda = Agenda()
        self.ledger = Ledger(setting.members, setting.quorum, rng)
        self.wires = Wires(setting.members + setting.resting, setting.network)
        self.seconds = np.zeros(setting.members)
        self.plan, facts = _terms(setting, units)
        self._addresses = tuple(sha256(b"member %d" % index).digest()[:20] for index in range(setting.members))
        network = setting.network
        self.hospitals = [
            Hospital(
                RoundState(facts, Members(self._addresses, index, setting.quorum)),
                network.training * (1 + network.spread * rng.uniform(-1, 1)),
            )
            for index in range(setting.members)
        ]
        self._performer = Performer(self)
        self._inbox = np.zeros(setting.members)
        self._checked = np.zeros(setting.members)
        self._rng = rng
        self._leader = facts.ranking[0]
        self._marks: dict[str, float] = {}
        self._offset = 0.0
        self._over = 0

    # ---- running -----------------------------------------------------------------------------------------------------

    def run(self) -> Observed:
        """Play the round.

        Raises:
            NotMeasured: It was not finalised.
        """
        deadline = self.hospitals[0].state.facts.finalise_by
        with bounds_lifted(self.setting.members):
            self._tick()
            self.agenda.run(deadline)
        if self._over < len(self.hospitals):
            raise NotMeasured(f"{len(self.hospitals) - self._over} simulated hospitals did not end their round")
        self._tell_resting()
        marks = list(self._marks.items())
        phases = {name: at - before for (_, before), (name, at) in pairwise(marks)}
        return Observed(
            marks[-1][1] - marks[0][1],
            phases,
            dict(self.wires.came),
            dict(self.wires.left),
            self.seconds,
            len(self.ledger.transactions),
            self.ledger.count_bytes,
        )

    def _tick(self) -> None:
        """Time passes at all that are not done."""
        if self._over == len(self.hospitals):
            return
        for hospital in self.hospitals:
            if not hospital.state.adopted:
                self._feed(hospital, (Tick(self.agenda.now),))
        self.agenda.after(self.plan.slot_seconds / _TICKS_A_SLOT, "tick", self._tick)

    def _feed(self, hospital: Hospital, events: Iterable[Event]) -> None:
        for event in events:
            hospital.state, effects = apply(hospital.state, event)
            hospital.waiting.extend(effects)
            if isinstance(event, Failed):
                self.agenda.at(event.retry_at + _SOON, "again", lambda: self._feed(hospital, (Tick(self.agenda.now),)))
        if hospital.me == self._leader:
            self._note(hospital.state)
        while hospital.waiting and hospital.busy < SIMULTANEOUS:
            self._begin(hospital, hospital.waiting.popleft())

    def _begin(self, hospital: Hospital, effect: Effect) -> None:
        hospital.busy += 1
        seconds, finish = self._performer.begin(hospital, effect)

        def done() -> None:
            hospital.busy -= 1
            self._offset = 0.0
            events = finish()
            if not any(isinstance(event, Failed) for event in events):
                events = (*events, Finished(effect))
            self._feed(hospital, events)
            self._over += hospital.state.adopted and type(effect).__name__ == "Adopt"

        self.agenda.after(seconds, "done", done)

    def _note(self, state: RoundState) -> None:
        """When the leader's phases ended."""
        over = {
            "collected": state.closed_at is not None,
            "closed": state.revealable_at is not None,
            "proposed": bool(state.anchors),
            "verified": bool(state.verified),
            "scored": state.scores is not None,
            "judged": state.quorum_at is not None,
            "signed": state.sendable_at is not None,
            "finalised": state.ending is not None,
        }
        for name, is_over in over.items():
            if is_over:
                self._marks.setdefault(name, self.agenda.now)

    # ---- what effects do ---------------------------------------------------------------------------------------------

    def post(
        self, hospital: Hospital, body: Body, parents: tuple[bytes, bytes] | None = None, payload: str | None = None
    ) -> Transaction:
        """A member says something; every machine hears of it when it is there."""
        me, now = hospital.me, self.agenda.now
        parents = parents or self.ledger.choose(me, now, body)
        begins = now + self._offset
        self._offset += self.setting.network.commit
        if isinstance(body, UpdateBody):
            arrivals = self._sent_update(me, begins)
            self._marks = {"posted": now}  # until the last one
        else:
            arrivals = self._heard(begins)
        arrivals[me] = now
        posted = self.ledger.post(me, self._addresses[me], body, parents, arrivals, payload)
        self.wires.flood("ledger", len(posted.raw))
        self._tell(hospital, posted)
        if not is_plain(posted):
            self._deliver(posted, me)
        return posted

    def gather(self, hospital: Hospital, ids: Sequence[bytes]) -> tuple[bytes, bytes]:
        """Acknowledge until two transactions hold all of these; the two."""
        me, now = hospital.me, self.agenda.now
        parents = self.ledger.over(me, now, ids)
        while missing := self.ledger.missing(ids, parents):
            joint = self.post(hospital, QUIET, parents)
            parents = self.ledger.beside(me, now, joint.id, missing)
        return parents

    def on_chain(self, event: Event) -> None:
        """Something was sent to the chain: all hear of it in the next block."""

        def tell() -> None:
            for hospital in self.hospitals:
                self._feed(hospital, (event,))

        self.agenda.after(self.setting.network.block, "block", tell)

    def _heard(self, begins: float) -> Numbers:
        self._inbox = np.maximum(self._inbox, begins + self.setting.network.latency) + self.units.verify
        self.seconds += self.units.verify
        return self._inbox.copy()

    def _sent_update(self, me: int, begins: float) -> Numbers:
        size = self.units.update_bytes + update_manifest_bytes(self.units.chunks)
        order = [index for index in range(len(self.hospitals)) if index != me]
        self._rng.shuffle(order)
        arrivals = np.full(len(self.hospitals), begins)
        arrivals[order] = self.wires.spread("updates", me, order, size, begins)
        check = self.units.update_bytes * self.units.digest + self.units.verify
        others = np.arange(len(self.hospitals)) != me
        self._checked[others] = np.maximum(self._checked, arrivals)[others] + check
        self.seconds[others] += check
        return self._checked.copy()

    def _deliver(self, posted: Transaction, me: int) -> None:
        """Tell every machine of a transaction in the moment it has it."""
        moments = self.ledger.moments(posted.id)
        order = np.argsort(moments, kind="stable")
        order = order[order != me]
        times = moments[order]
        starts = np.flatnonzero(np.diff(times, prepend=-1.0)).tolist()
        batches = [
            (float(times[a]), order[a:b].tolist()) for a, b in zip(starts, [*starts[1:], len(order)], strict=True)
        ]
        self._next(iter(batches), posted)

    def _next(self, batches: Iterator[tuple[float, list[int]]], posted: Transaction) -> None:
        time, members = next(batches, (math.inf, []))
        if not members:
            return

        def tell() -> None:
            for member in members:
                self._tell(self.hospitals[member], posted)
            self._next(batches, posted)

        self.agenda.at(time, "attached", tell)

    def _tell(self, hospital: Hospital, posted: Transaction) -> None:
        me, issuer = hospital.me, hospital.state.members.index(posted.issuer)
        approvals: dict[bytes, int] = {}
        if isinstance(posted.body, UpdateBody):
            hospital.unapproved.add(posted.id)
        if issuer == me:
            approvals = {known: 1 << me for known in hospital.unapproved if self.ledger.approves(me, known)}
            hospital.unapproved -= approvals.keys()
        self._feed(hospital, (Attached(posted, approvals),))

    def _tell_resting(self) -> None:
        """Who rests fetches the statement and the model, from one of those who made it."""
        members = len(self.hospitals)
        size = self._performer.statement_size(self.hospitals[self._leader]) + model_file_bytes()
        for resting in range(members, members + self.setting.resting):
            source = self._rng.randrange(members)
            self.wires.collect("model", resting, [source], size, self.agenda.now)


def _terms(setting: Setting, units: Units) -> tuple[Plan, RoundFacts]:
    """A plan whose times leave every leader enough: nobody is passed over because links are slow."""
    network, load = setting.network, load_of(units, setting.members, setting.groups)
    work = load.seconds + 2 * load.openings_bytes / network.bandwidth + setting.groups * network.score
    slot = min(_LONGEST_SLOT, math.ceil(20 + 4 * work))
    fetching = 4 * load.updates_bytes / network.bandwidth
    collect = math.ceil(60 + network.training * (1 + network.spread) + fetching)
    plan = Plan.create(
        classes=("a", "b", "c"),
        min_group=setting.min_group,
        slot_seconds=slot,
        collect_seconds=collect,
        round_seconds=collect + _SLOTS * slot,
    )
    seed = sha256(b"seed %d" % setting.seed).digest()
    order = tuple(shuffled(seed, range(setting.members)))
    base = sha256(b"base").digest()
    return plan, RoundFacts(ROUND, EPOCH, plan.digest, base, seed, order, collect, collect + _SLOTS * slot)
