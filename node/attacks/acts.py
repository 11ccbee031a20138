"""What a lying hospital does in a round instead of what the protocol says: `carry_out` for liars.

Everything it sends is well formed and signed by its own key; what it could not do without another's key it cannot do here.
"""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from crypto.locking import UpdateLock
from node.attacks.poison import poisoned_update, told_pointing, told_scores
from node.rounds import effects as do
from node.rounds.records import UpdateManifest
from node.rounds.state import Failed, Scored, Sealed
from node.rounds.steps.learn import reveal_for
from node.rounds.worker import carry_out
from node.sealing.keys import EpochKeys
from node.sealing.updates import store_locked

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from dag.bodies import Body, Kind
    from dag.transaction import Transaction
    from node.attacks.spec import Attack
    from node.learning.training import Progress, TrainingResult
    from node.rounds.effects import Effect
    from node.rounds.plan import Plan
    from node.rounds.ports import Learner, Ports
    from node.rounds.state import Event, Proposal, RoundState

log = logging.getLogger("medweave.attacks")

NEVER_SECONDS = 1e9
UNBOUNDED = Decimal(999_999)
"""A liar's own idea of the plan's L2 bound on an update."""


class Liar:
    """One member that carries out an attack; the others' `carry_out` is the product's.

    Args:
        attack: What it does.
    """

    def __init__(self, attack: Attack) -> None:
        self.attack = attack
        self._first: dict[int, NDArray[np.float32]] = {}
        self._own: dict[str, bytes] = {}

    def carry_out(self, ports: Ports, state: RoundState, effect: Effect) -> tuple[Event, ...]:
        """Do one effect its own way where the attack wants that; see `node.rounds.worker.carry_out`."""
        kind = self.attack.kind
        match effect:
            case do.TrainAndSeal():
                return self._seal(ports, state, effect)
            case do.Propose() if kind == "lying-leader":
                return carry_out(ports, _one_group(state), effect)
            case do.ReleaseShare() if kind == "withheld-share":
                return (Failed(effect, state.now + NEVER_SECONDS),)
            case do.ReleaseShare() if kind == "wrong-share":
                return carry_out(replace(ports, keys=_other_share(ports.keys)), state, effect)
            case do.OpenAndScore(proposal, _):
                return self._told(state, state.proposals[proposal], carry_out(ports, state, effect))
            case _ if kind == "parasite-chain":
                return carry_out(replace(ports, ledger=_Alone(ports.ledger, self._own)), state, effect)
            case _:
                return carry_out(ports, state, effect)

    def _seal(self, ports: Ports, state: RoundState, effect: Effect) -> tuple[Event, ...]:
        """Train, but on its own terms: no clipping, another update, other ciphertexts."""
        unclipped = None if state.plan is None else state.plan.model_copy(update={"clip_norm": UNBOUNDED})
        learner = _Poisoner(ports.learner, self, ports.me)
        told = carry_out(replace(ports, learner=learner), replace(state, plan=unclipped), effect)
        if self.attack.kind != "malformed-ciphertext":
            return told
        return tuple(Sealed(_garbage(ports, state, event)) if isinstance(event, Sealed) else event for event in told)

    def _told(self, state: RoundState, proposal: Proposal, told: tuple[Event, ...]) -> tuple[Event, ...]:
        """What its verdict will say of the sums."""
        issuers = {update.id: update.issuer for update in state.updates}
        groups = [[issuers[proposal.updates[position]] for position in group] for group in proposal.groups]
        return tuple(self._lied(event, groups) if isinstance(event, Scored) else event for event in told)

    def _lied(self, event: Scored, groups: list[list[int]]) -> Scored:
        scores = event.scores
        base, stated = told_scores(self.attack, scores.base_ppm, scores.scores_ppm, groups)
        if (base, stated) == (scores.base_ppm, scores.scores_ppm):
            return event
        accept = tuple(score >= base for score in stated)
        aligned, falling = told_pointing(self.attack, scores.alignment_ppm, scores.descent_ppm, groups)
        told = replace(scores, alignment_ppm=aligned, descent_ppm=falling)
        return Scored(replace(told, base_ppm=base, scores_ppm=stated, accept=accept))

    def poisoned(
        self, base: NDArray[np.float32], vector: NDArray[np.float32], number: int, seat: int
    ) -> NDArray[np.float32]:
        """The model it pretends to have trained."""
        delta = poisoned_update(self.attack, vector - base, self._first.get(seat), number, seat)
        self._first.setdefault(seat, delta)
        return base + delta


class _Poisoner:
    """A learner whose training ends elsewhere; scores are its honest ones."""

    def __init__(self, learner: Learner, liar: Liar, seat: int) -> None:
        self._learner, self._liar, self._seat = learner, liar, seat
        self.score, self.report, self.descent = learner.score, learner.report, learner.descent

    def train(
        self, plan: Plan, base: NDArray[np.float32], number: int, progress: Callable[[Progress], None]
    ) -> TrainingResult:
        """Train, then bend the result."""
        result = self._learner.train(plan, base, number, progress)
        samples = result.samples
        if self._liar.attack.kind == "inflated-size":
            samples = round(samples * self._liar.attack.amount)
        return replace(result, vector=self._liar.poisoned(base, result.vector, number, self._seat), samples=samples)


class _Alone:
    """A ledger whose new transactions stand on this member's own last one."""

    def __init__(self, ledger: Any, own: dict[str, bytes]) -> None:
        self._ledger = ledger
        self._own = own

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def post(
        self,
        kind: Kind,
        body: Body,
        *,
        epoch: int,
        round_number: int,
        payload: str | None = None,
        approve: bytes | None = None,
        parents: tuple[bytes, bytes] | None = None,
    ) -> Transaction:
        """Attach to nobody else's tips, unless the kind needs others below it."""
        own = self._own.get("last")
        if own is not None and parents is None and approve is None:
            parents = (own, own)
        about = {"epoch": epoch, "round_number": round_number, "payload": payload, "approve": approve}
        posted: Transaction = self._ledger.post(kind, body, parents=parents, **about)
        self._own["last"] = posted.id
        return posted


def _one_group(state: RoundState) -> RoundState:
    """A round whose plan puts everybody into one sum, in which a bad update can be told from nobody's."""
    if state.plan is None:
        return state
    everybody = max(state.plan.min_group, len(state.revealed))
    return replace(state, plan=state.plan.model_copy(update={"min_group": everybody}))


def _other_share(keys: EpochKeys) -> EpochKeys:
    """Keys whose openings have every form of openings and open other values."""
    moved = keys.member.sigma + np.uint64(1)
    return EpochKeys(keys.epoch, replace(keys.member, sigma=moved), keys.joint, keys.joint_cid)


def _garbage(ports: Ports, state: RoundState, event: Sealed) -> Any:
    """The sealed update with random bytes locked in the place of every ciphertext."""
    manifest = UpdateManifest.from_bytes(ports.blobs.obtain(event.update.manifest))
    lock = UpdateLock.from_reveal(reveal_for(ports, state), ports.address, state.facts.epoch, state.facts.round)
    lengths = [len(lock.unlock(index, ports.blobs.obtain(cid))) for index, cid in enumerate(manifest.chunks)]
    chunks, _ = store_locked((os.urandom(length) for length in lengths), lock, ports.blobs.store)
    return replace(event.update, manifest=ports.blobs.store.put(replace(manifest, chunks=chunks).to_bytes()))
