"""Carries out a round's effects: one table from effect to step."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from chain.errors import ChainError
from crypto.errors import CryptoError
from dag.errors import LedgerError
from node.errors import LyingPeer, MedweaveError
from node.images.errors import DataError
from node.learning.errors import LearningError
from node.rounds import effects as do
from node.rounds.state import Failed, Finished, Refused
from node.rounds.steps import aggregate, conclude, learn, opening, unlocking

if TYPE_CHECKING:
    from node.rounds.effects import Effect
    from node.rounds.ports import Ports
    from node.rounds.state import Event, Proposal, RoundState

log = logging.getLogger("medweave.rounds")

EXPECTED = (MedweaveError, CryptoError, LedgerError, ChainError, DataError, LearningError)
"""What may go wrong in a round without being a bug of this node: it is logged, and the effect is tried again."""
ON_CHAIN = (do.Propose, do.Finalise, do.Abort)
"""What a member sends to the chain; it is over when the chain tells it."""
FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 15.0


def carry_out(ports: Ports, state: RoundState, effect: Effect) -> tuple[Event, ...]:
    """Do one effect.

    Returns:
        The events it led to; the last is `Finished`, or `Failed` with the time to try again. A proposal, statement or
        share that proves false is `Refused` with the reason.
    """
    try:
        events = _do(ports, state, effect)
    except LyingPeer as error:
        log.warning("round %d: %s: %s %s", state.facts.round, type(effect).__name__, error, error.evidence)
        if isinstance(effect, do.VerifyProposal):
            return (Refused(effect.proposal, str(error)), Finished(effect))
        if isinstance(effect, do.VerifyStatement):
            return (Refused(effect.statement, str(error)), Finished(effect))
        if isinstance(effect, do.OpenAndScore) and "share" in error.evidence:
            return (Refused(bytes.fromhex(error.evidence["share"]), str(error)), Finished(effect))
        return (_later(state, effect),)
    except EXPECTED as error:
        level = logging.INFO if state.failures.get(effect, 0) < 3 else logging.WARNING
        log.log(level, "round %d: %s: %s", state.facts.round, type(effect).__name__, error)
        return (_later(state, effect),)
    if isinstance(effect, ON_CHAIN) and not events:
        return (_later(state, effect),)  # another did it: until the chain's event comes in, asking at once would spin
    return (*events, Finished(effect))


def _later(state: RoundState, effect: Effect) -> Failed:
    pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** state.failures.get(effect, 0))
    return Failed(effect, state.now + pause)


def _do(ports: Ports, state: RoundState, effect: Effect) -> tuple[Event, ...]:
    match effect:
        case do.ReadPlan():
            return learn.read_plan(ports, state)
        case do.TrainAndSeal():
            return learn.train_and_seal(ports, state)
        case do.PostUpdate():
            return learn.post_update(ports, state)
        case do.Approve(update):
            return learn.approve(ports, state, update)
        case do.Close():
            return learn.close(ports, state)
        case do.Reveal():
            return learn.reveal(ports, state)
        case do.Unlock(update):
            events = unlocking.unlock(ports, state, update)
            aggregate.foresee(ports, state)
            return events
        case do.Propose():
            return aggregate.propose(ports, state, effect)
        case do.VerifyProposal(proposal):
            return aggregate.check_proposal(ports, state, _known(state, proposal))
        case do.ReleaseShare(proposal):
            return opening.release_share(ports, state, _known(state, proposal))
        case do.OpenAndScore(proposal, _):
            return opening.open_and_score(ports, state, _known(state, proposal))
        case do.PostVerdict():
            return opening.post_verdict(ports, state)
        case do.WriteStatement(proposal, verdicts):
            return conclude.write_statement(ports, state, _known(state, proposal), verdicts)
        case do.VerifyStatement(statement, proposal):
            return conclude.check_statement(ports, state, statement, _known(state, proposal))
        case do.PostCheckpoint(statement):
            return conclude.post_checkpoint(ports, state, statement)
        case do.Finalise(statement):
            return conclude.finalise(ports, state, statement)
        case do.Abort():
            return conclude.abort(ports, state)
        case do.Adopt():
            return conclude.adopt(ports, state, effect)


def _known(state: RoundState, proposal: bytes) -> Proposal:
    return state.proposals[proposal]
