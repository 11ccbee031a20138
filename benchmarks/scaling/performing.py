"""How a simulated hospital carries out what its machine asks for: what takes time and sends bytes in `node.rounds.steps`."""

from __future__ import annotations

from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from benchmarks.scaling.ledger import QUIET
from benchmarks.scaling.sizes import BLOB, share_manifest_bytes, statement_bytes
from dag.bodies import (
    AcknowledgementBody,
    CheckpointBody,
    ProposalBody,
    ShareBody,
    UpdateBody,
    VerdictBody,
    commit,
    proposal_roots,
)
from node.rounds import effects as do
from node.rounds import state as ev
from node.rounds.groups import choose_openers, draw_groups, group_seed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.scaling.world import Hospital, World
    from node.rounds.effects import Effect
    from node.rounds.state import Event

    Events = tuple[Event, ...]
    Work = tuple[float, Callable[[], Events]]
    """Seconds until it is done, and what is done then."""

_PAUSE: Final = 0.25
_HALF: Final = 500_000
_SIGNATURE: Final = bytes(65)
_LAYOUT: Final = sha256(b"layout").digest()
_MODEL: Final = sha256(b"model").digest()
_SEALED: Final = ev.SealedUpdate(BLOB, _HALF, 100, 1, _LAYOUT, bytes(16))


class Performer:
    """Carries out effects in a world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._units = world.units
        self._network = world.setting.network
        self._statements: dict[bytes, tuple[int, frozenset[bytes]]] = {}

    def begin(self, hospital: Hospital, effect: Effect) -> Work:
        """Start an effect.

        Returns:
            The seconds it takes, and what it leads to then.
        """
        match effect:
            case do.ReadPlan():
                return 2 * self._network.latency, partial(self._plan, hospital)
            case do.TrainAndSeal():
                return self._compute(hospital, self._units.seal) + hospital.training, lambda: (ev.Sealed(_SEALED),)
            case do.Unlock(update):
                return self._compute(hospital, self._units.unlock), lambda: (ev.Unlocked(update, ""),)
            case do.Propose():
                return self._compute(hospital, self._adding(hospital)), partial(self._propose, hospital, effect)
            case do.VerifyProposal(proposal):
                return self._compute(hospital, self._adding(hospital)), lambda: (ev.ProposalVerified(proposal),)
            case do.ReleaseShare(proposal):
                groups = len(hospital.state.proposals[proposal].groups)
                seconds = self._compute(hospital, groups * self._units.partial)
                return seconds + self._network.commit, partial(self._share, hospital, proposal)
            case do.OpenAndScore():
                return self._open(hospital, effect)
            case do.VerifyStatement(statement):
                return self._fetch_statement(hospital, statement), partial(self._endorse, hospital, effect)
            case do.Finalise(statement):
                signatures = sum(point.statement == statement for point in hospital.state.checkpoints)
                seconds = self._compute(hospital, 2 * signatures * self._units.verify)
                return seconds, partial(self._finalise, hospital, statement)
            case do.Adopt():
                return 0.0, lambda: (ev.Adopted(),)
            case _:
                return self._network.commit, partial(self._say, hospital, effect)

    def _compute(self, hospital: Hospital, seconds: float) -> float:
        self._world.seconds[hospital.me] += seconds
        return seconds

    def _adding(self, hospital: Hospital) -> float:
        return len(hospital.state.updates) * (self._units.unlock + self._units.add)

    # ---- what is over at once --------------------------------------------------------------------------------------

    def _say(self, hospital: Hospital, effect: Effect) -> Events:
        """One transaction, or as many acknowledgements as it takes to get above what it has to show."""
        world, state = self._world, hospital.state
        match effect:
            case do.PostUpdate():
                commitment = commit(secret(hospital.me))
                world.post(hospital, UpdateBody(_HALF, 100, 1, commitment, bytes(16), _LAYOUT), payload=BLOB)
            case do.Approve(update):
                parents = world.ledger.choose(hospital.me, world.agenda.now, QUIET, update)
                world.post(hospital, QUIET, parents)
            case do.Close():
                parents = world.gather(hospital, [update.id for update in state.updates])
                world.post(hospital, AcknowledgementBody(None, close=True), parents)
            case do.Reveal():
                return self._reveal(hospital, effect)
            case do.PostVerdict() if state.scores:
                scores = state.scores
                body_ = VerdictBody(scores.proposal, scores.scores_ppm, scores.base_ppm, scores.accept, scores.samples)
                world.post(hospital, body_)
            case do.WriteStatement(proposal, verdicts):
                return self._write(hospital, proposal, verdicts)
            case do.PostCheckpoint(statement) if state.scores:
                fields = (
                    state.scores.proposal,
                    _MODEL,
                    statement,
                    _SIGNATURE,
                    _SIGNATURE,
                    bytes(32),
                )
                world.post(hospital, CheckpointBody(*fields), payload=BLOB)
        return ()

    def _reveal(self, hospital: Hospital, effect: Effect) -> Events:
        world, state = self._world, hospital.state
        mine = next(update.id for update in state.updates if update.issuer == hospital.me)
        if world.ledger.closers(hospital.me, world.agenda.now, mine) < state.members.quorum:
            return (self._later(effect),)
        shown = (mine, *(tx_id for tx_id, _ in state.closes))
        parents = world.ledger.over(hospital.me, world.agenda.now, shown)
        world.post(hospital, AcknowledgementBody(secret(hospital.me)), parents)
        return ()

    def _later(self, effect: Effect) -> Event:
        return ev.Failed(effect, self._world.agenda.now + _PAUSE)

    def _plan(self, hospital: Hospital) -> Events:
        self._world.wires.came["statement"][hospital.me] += len(self._world.plan.to_bytes())
        return (ev.PlanRead(self._world.plan),)

    # ---- sums --------------------------------------------------------------------------------------------------------

    def _propose(self, hospital: Hospital, effect: do.Propose) -> Events:
        world, state = self._world, hospital.state
        shown = (*(tx_id for tx_id, _ in state.closes), *(tx_id for tx_id, _, _ in state.reveals))
        parents = world.gather(hospital, shown)
        updates = world.ledger.listable([update.id for update in state.revealed], parents)
        if not set(effect.updates) <= set(updates):
            return (self._later(effect),)
        issuers = {update.issuer for update in state.revealed if update.id in set(updates)}
        reveals = tuple(sorted(tx_id for tx_id, member, _ in state.reveals if member in issuers))
        sums_of = self._groups(state, updates)
        sums = (BLOB,) * len(sums_of)
        seed = state.facts.seed
        openers = choose_openers(seed, [range(state.members.count)], world.setting.quorum)
        roots = proposal_roots(updates, sums)
        world.post(hospital, ProposalBody(updates, reveals, sums_of, sums, openers, effect.attempt, *roots), parents)
        proposal = world.ledger.transactions[-1]
        anchor = ev.Anchor(hospital.me, proposal.id, *roots)
        world.on_chain(ev.Anchored(anchor))
        return (ev.Anchored(anchor),)

    def _groups(self, state: ev.RoundState, updates: tuple[bytes, ...]) -> tuple[tuple[int, ...], ...]:
        seed = group_seed(state.facts.seed, proposal_roots(updates, ())[0], [value for _, _, value in state.reveals])
        return draw_groups(seed, len(updates), self._world.setting.min_group)

    def _share(self, hospital: Hospital, proposal: bytes) -> Events:
        self._world.post(hospital, ShareBody(proposal, hospital.me), payload=BLOB)
        return ()

    def _open(self, hospital: Hospital, effect: do.OpenAndScore) -> Work:
        world, state, units = self._world, hospital.state, self._units
        groups = len(state.proposals[effect.proposal].groups)
        openers = state.proposals[effect.proposal].openers
        size = groups * units.share_bytes + share_manifest_bytes(units.chunks, groups)
        others = [member for member in openers if member != hospital.me]
        now = world.agenda.now
        fetched = world.wires.collect("openings", hospital.me, others, size, now) - now
        read = len(others) * groups * units.share_bytes * units.digest
        seconds = self._compute(hospital, read + groups * len(openers) * units.combine)
        scoring = (groups + 1) * self._network.score
        scores = ev.Scores(effect.proposal, effect.shares, _HALF, (_HALF,) * groups, (True,) * groups, 20)
        return fetched + seconds + scoring, lambda: (ev.Scored(scores),)

    # ---- the statement -------------------------------------------------------------------------------------------

    def _write(self, hospital: Hospital, proposal: bytes, verdicts: Sequence[bytes]) -> Events:
        state = hospital.state
        shares = tuple(share.id for share in state.shares_for(state.proposals[proposal]))
        digest = sha256(b"statement" + b"".join(verdicts)).digest()
        self._statements.setdefault(digest, (hospital.me, frozenset(verdicts)))
        parents = self._world.gather(hospital, (*shares, *verdicts))
        self._world.post(hospital, QUIET, parents)
        return (ev.Endorsed(digest),)

    def statement_size(self, hospital: Hospital) -> int:
        """Bytes of the statement of the sums that a hospital opened."""
        state = hospital.state
        opened = next(p for p in state.proposals.values() if state.scores and p.id == state.scores.proposal)
        return statement_bytes(len(opened.updates), len(opened.groups), len(opened.openers), len(state.verdicts))

    def _fetch_statement(self, hospital: Hospital, statement: bytes) -> float:
        writer, now = self._statements[statement][0], self._world.agenda.now
        size = self.statement_size(self._world.hospitals[writer])
        return self._world.wires.collect("statement", hospital.me, [writer], size, now) - now

    def _endorse(self, hospital: Hospital, effect: do.VerifyStatement) -> Events:
        counted = self._statements[effect.statement][1]
        if counted <= {verdict.id for verdict in hospital.state.verdicts}:
            return (ev.Endorsed(effect.statement),)
        return (self._later(effect),)

    def _finalise(self, hospital: Hospital, statement: bytes) -> Events:
        signed = [point.id for point in hospital.state.checkpoints if point.statement == statement]
        ended = ev.Ended(ev.Ending(finalised=True, model=_MODEL, statement=statement))
        self._world.on_chain(ended)
        self._world.post(hospital, QUIET, self._world.gather(hospital, signed))
        return (ended,)


def secret(member: int) -> bytes:
    """What a member reveals."""
    return sha256(b"secret %d" % member).digest()
