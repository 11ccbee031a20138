"""The round as a pure function: `apply(state, event) -> (state, effects)`; reads like docs/spec/round.md.

Level-triggered: an event only changes what is known, and `due` says what ought to be going on given what is known. An
effect that is due and not running is emitted. After a crash nothing is running, so replaying chain, ledger and journal
re-emits exactly what is still to be done.
"""

from __future__ import annotations

from bisect import bisect, bisect_left
from dataclasses import replace
from functools import reduce
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from dag.bodies import (
    AcknowledgementBody,
    CheckpointBody,
    Kind,
    ProposalBody,
    ShareBody,
    UpdateBody,
    VerdictBody,
    commit,
)
from node.rounds import effects as do
from node.rounds import state as ev
from node.rounds.state import REVEAL_GRACE_SLOTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dag.transaction import Transaction
    from node.rounds.effects import Effect
    from node.rounds.plan import Plan
    from node.rounds.state import Event, Proposal, RoundState

_KINDS = {kind: number for number, kind in enumerate(Kind)}
MAX_ATTEMPT = 255
"""Largest slot number a proposal can carry; later slots share it."""
ACKNOWLEDGEMENTS = 16
"""A member acknowledges when this share of all members' updates wait for it (a sixteenth), so about so many times a round."""
UNLOCKING = 8
"""Revealed updates that are looked at in a row before whatever else has become due."""
LATE_SLOTS = 0.25
"""A leader whose own slot is over leaves this share of each later one to the leader whose it is, and to what stands on chain then:
two that propose at once, where the one repeats what the other has not judged yet, divide the openers."""
TURN_SECONDS = 2.0
TURN_SLOTS = 0.25
"""A turn: two seconds, or this share of a time slot where that is longer.

Once a quorum has scored, the slower members get one turn before the statement is written without them. Member of rank k
waits k + 1 turns before it writes or sends what the leader should have. A turn must be longer than it takes to fetch what was
lost on the way: members that write at once write different statements, whose signatures none has enough of.
"""


def apply(state: RoundState, event: Event) -> tuple[RoundState, tuple[Effect, ...]]:
    """Take one event in and say what to start.

    Args:
        state: What this member knew.
        event: What it learnt.

    Returns:
        The new state and the effects to start now; each is `running` until `Finished` or `Failed` comes back.
    """
    state = _note_times(_fold(state, event))
    waiting = {effect for effect, at in state.retry_at.items() if at > state.now}
    start = tuple(
        effect for effect in dict.fromkeys(due(state)) if effect not in state.running and effect not in waiting
    )
    return (_but(state, running=state.running | frozenset(start)) if start else state), start


def _but(state: RoundState, **changes: object) -> RoundState:
    """As `dataclasses.replace`, which costs more than all the rest of an event: it sets thirty fields one by one."""
    made = object.__new__(type(state))
    made.__dict__.update(state.__dict__, **changes)
    return made


# ---- what is known --------------------------------------------------------------------------------------------------


def _fold(state: RoundState, event: Event) -> RoundState:
    match event:
        case ev.Tick(now):
            return _but(state, now=max(now, state.now))
        case ev.PlanRead(plan):
            return replace(state, plan=plan)
        case ev.Sealed(update):
            return replace(state, sealed=update)
        case ev.Attached(transaction, approvals):
            taken, mine = _taken(state, transaction), 1 << state.members.me
            waiting = taken.pop("unapproved", state.unapproved)
            left = tuple(update for update in waiting if not approvals.get(update, 0) & mine)
            return _but(state, **taken, approvals=MappingProxyType(dict(approvals)), unapproved=left)
        case ev.Unlocked(update, problem):
            place = bisect_left(state.locked, update)
            after = place + (state.locked[place : place + 1] == (update,))
            locked = state.locked[:place] + state.locked[after:]
            return _but(state, unlocked=MappingProxyType({**state.unlocked, update: problem}), locked=locked)
        case ev.Anchored(anchor):
            return state if anchor in state.anchors else replace(state, anchors=(*state.anchors, anchor))
        case ev.ProposalVerified(proposal):
            return replace(state, verified=state.verified | {proposal})
        case ev.Refused(subject, reason):
            return replace(state, refused=MappingProxyType({**state.refused, subject: reason}))
        case ev.Scored(scores):
            return state if state.scores else replace(state, scores=scores)
        case ev.Endorsed(statement):
            return state if state.endorsed else replace(state, endorsed=statement)
        case ev.Ended(ending):
            return replace(state, ending=ending)
        case ev.Adopted():
            return replace(state, adopted=True)
        case ev.Finished(effect):
            rest = {e: at for e, at in state.retry_at.items() if e != effect}
            return _but(state, running=state.running - {effect}, retry_at=MappingProxyType(rest))
        case ev.Failed(effect, retry_at):
            later = MappingProxyType({**state.retry_at, effect: retry_at})
            count = MappingProxyType({**state.failures, effect: state.failures.get(effect, 0) + 1})
            return replace(state, running=state.running - {effect}, retry_at=later, failures=count)


def _taken(state: RoundState, tx: Transaction) -> dict[str, Any]:
    """What a ledger transaction of this round tells, by the state's fields."""
    issuer = state.members.index(tx.issuer) if tx.parents else None
    taken: dict[str, Any] = {}
    if issuer is None or tx.round != state.facts.round or tx.epoch != state.facts.epoch:
        return taken
    bit = 1 << (_KINDS[tx.kind] * len(state.members.addresses) + issuer)
    again = bool(state.heard & bit)
    match tx.body:
        case UpdateBody() as body if tx.payload and not (again and _known(state.updates, tx.id)):
            seen = ev.UpdateSeen(tx.id, issuer, body.weight_ppm, body.samples, body.commitment, tx.payload)
            taken["updates"] = (*state.updates, seen)
            theirs = (*state.by_issuer.get(issuer, ()), seen)
            taken["by_issuer"] = MappingProxyType({**state.by_issuer, issuer: theirs})
            taken["unapproved"] = (*state.unapproved, tx.id)
            if issuer in state.revealers:
                taken["locked"] = _with(state.locked, tx.id)
        case AcknowledgementBody(close=True) if issuer not in state.closers or all(c[0] != tx.id for c in state.closes):
            taken["closes"] = _with(state.closes, (tx.id, issuer))
            taken["closers"] = state.closers | {issuer}
        case AcknowledgementBody(reveal=bytes() as reveal) if all(
            r[0] != tx.id for r in (state.reveals if issuer in state.revealers else ())
        ):
            theirs = state.by_issuer.get(issuer, ())
            if any(u.commitment == commit(reveal) for u in theirs):
                taken["reveals"] = _with(state.reveals, (tx.id, issuer, reveal))
                taken["revealers"] = state.revealers | {issuer}
                if issuer not in state.revealers:
                    taken["locked"] = reduce(_with, (u.id for u in theirs), state.locked)
        case ProposalBody() as body:
            taken["proposals"] = MappingProxyType({**state.proposals, tx.id: _proposal(tx.id, issuer, body)})
        case ShareBody() as body if (
            tx.payload and body.member == issuer and not (again and _known(state.shares, tx.id))
        ):
            taken["shares"] = (*state.shares, ev.Share(tx.id, issuer, body.proposal, tx.payload))
        case VerdictBody() as body if not (again and _known(state.verdicts, tx.id)):
            pointing = (body.alignment_ppm, body.descent_ppm)
            verdict = ev.Verdict(tx.id, issuer, body.proposal, body.accept, *pointing)
            taken["verdicts"] = (*state.verdicts, verdict)
            if issuer == state.members.me:
                taken["judged"] = (*state.judged, verdict)
        case CheckpointBody() as body if not (again and _known(state.checkpoints, tx.id)):
            signed = (body.outcome_signature, body.statement_signature)
            point = ev.Checkpoint(tx.id, issuer, body.proposal, body.model, body.statement, *signed)
            taken["checkpoints"] = (*state.checkpoints, point)
        case _:
            pass
    if taken and not again:
        taken["heard"] = state.heard | bit
    return taken


def _with(rows: tuple[Any, ...], row: Any) -> tuple[Any, ...]:
    """Sorted rows and one more in its place."""
    place = bisect(rows, row)
    return (*rows[:place], row, *rows[place:])


def _known(seen: tuple[Any, ...], tx_id: bytes) -> bool:
    return any(item.id == tx_id for item in seen)


def _proposal(tx_id: bytes, leader: int, body: ProposalBody) -> Proposal:
    return ev.Proposal(
        tx_id,
        leader,
        body.updates,
        body.reveals,
        body.groups,
        body.sums,
        body.openers,
        body.attempt,
        body.updates_root,
        body.sums_root,
    )


def _note_times(state: RoundState) -> RoundState:
    """The moments that later waiting is counted from."""
    if state.closed_at is None and collecting_ended(state):
        state = replace(state, closed_at=state.now)
    if state.revealable_at is None and len(state.closers) >= state.members.quorum:
        state = replace(state, revealable_at=state.now)
    quorum, opened = state.members.quorum, _opened(state)
    enough = state.quorum_at is None and len(state.verdicts) >= quorum  # not all of them need be about these sums
    if opened and enough and len(state.verdicts_for(opened.sums_root)) >= quorum:
        state = replace(state, quorum_at=state.now)
    if state.sendable_at is None and len(state.checkpoints) >= quorum and len(signers(state)) >= quorum:
        state = replace(state, sendable_at=state.now)
    return state


def collecting_ended(state: RoundState) -> bool:
    """All members' updates are here, or the collecting deadline has passed."""
    if state.now >= state.facts.collect_by:
        return True
    return len(state.updates) >= state.members.count and len({u.issuer for u in state.updates}) == state.members.count


def signers(state: RoundState) -> frozenset[int]:
    """Indices of the members whose checkpoints are of the endorsed statement; their signatures are not verified here."""
    return frozenset(c.issuer for c in state.checkpoints if c.statement == state.endorsed)


def _opened(state: RoundState) -> Proposal | None:
    return state.proposals.get(state.scores.proposal) if state.scores else None


# ---- what ought to be going on --------------------------------------------------------------------------------------


def due(state: RoundState) -> Iterator[Effect]:
    """Every effect that is called for by what is known, in the order of the steps of a round."""
    if state.ending is not None:
        if not state.adopted and state.ending.finalised:
            yield do.Adopt(state.ending.model, state.ending.statement)
        return
    if state.now >= state.facts.finalise_by + 1:  # a chain counts whole seconds and takes an outcome in the last one
        yield do.Abort()
        return
    if state.plan is None:
        yield do.ReadPlan()
        return
    for step in _STEPS:
        yield from step(state)


def _train_and_post(state: RoundState) -> Iterator[Effect]:
    if state.closed_at is not None or state.mine_posted:
        return  # where collecting has ended, this member's update is here or comes too late
    yield do.PostUpdate() if state.sealed else do.TrainAndSeal()


def _approve(state: RoundState) -> Iterator[Effect]:
    """Approve the updates this member checked and has not approved yet, one acknowledgement at a time.

    In a large consortium as soon as enough of them wait; what is left is approved by the close. An acknowledgement of each
    member for each update would be as many as the square of the members.
    """
    waiting = state.unapproved
    enough = len(waiting) * ACKNOWLEDGEMENTS >= state.members.count or state.members.me in state.closers
    if waiting and enough and not any(isinstance(effect, do.Approve) for effect in state.running):
        yield do.Approve(waiting[0])


def _close(state: RoundState) -> Iterator[Effect]:
    if state.closed_at is not None and state.members.me not in state.closers:
        yield do.Close()


def _reveal(state: RoundState) -> Iterator[Effect]:
    """Only above the closes of a quorum: no update that is made with this member's in view can be listed any more."""
    me = state.members.me
    if state.revealable_at is None or me not in state.closers or me in state.revealers:
        return
    if state.mine_posted:
        yield do.Reveal()


def _unlock(state: RoundState) -> Iterator[Effect]:
    """A few at a time, those that wait for another try aside: so that many do not make other work wait."""
    for update in state.locked[: UNLOCKING + len(state.retry_at)]:
        yield do.Unlock(update)


def _propose(state: RoundState) -> Iterator[Effect]:
    plan, since = state.plan, state.revealable_at
    if plan is None or since is None or state.slot < state.rank:
        return
    if any(a.leader == state.members.me for a in state.anchors) or state.scores:
        return
    if any(isinstance(effect, do.Propose) for effect in state.running):
        return
    stalled = [p for p in state.proposals.values() if p.id in state.verified and state.anchored(p)]
    if not stalled and state.slot == state.rank and _unjudged(state):
        return  # another partition would split the openers; a slot is left to the proposal that stands on chain
    if not stalled and state.slot > state.rank and state.into_slot < LATE_SLOTS * plan.slot_seconds:
        return
    if not stalled:
        looked_at = all(u.id in state.unlocked for u in state.revealed)
        sound = tuple(u.id for u in state.revealed if not state.unlocked.get(u.id))
        waited = state.now - since >= REVEAL_GRACE_SLOTS * plan.slot_seconds
        everyone = {u.issuer for u in state.updates} <= {u.issuer for u in state.revealed}
        if looked_at and len(sound) >= plan.min_group and (everyone or waited):
            yield do.Propose(min(state.slot, MAX_ATTEMPT), () if waited else sound, (), repeats=False)
        return
    # A verified proposal stalled (an opener is silent): the same updates and reveals, so the same sums, other openers. Of
    # several partitions the one that most members have begun to open: these open no other.
    again = max(stalled, key=lambda p: len(state.promised.get(p.partition, ()))) if len(stalled) > 1 else stalled[0]
    yield do.Propose(min(state.slot, MAX_ATTEMPT), again.updates, again.reveals, repeats=True)


def _unjudged(state: RoundState) -> bool:
    """Whether the chain records a proposal, by a leader in its turn, of which this member does not know yet what it is."""
    return any(
        anchor.proposal not in state.verified
        and anchor.proposal not in state.refused
        and state.facts.places[anchor.leader] <= state.slot
        for anchor in state.anchors
    )


def _verify(state: RoundState) -> Iterator[Effect]:
    for proposal in state.proposals.values():
        judged = proposal.id in state.verified or proposal.id in state.refused
        in_turn = state.facts.places[proposal.leader] <= state.slot
        if not judged and in_turn and state.anchored(proposal):
            yield do.VerifyProposal(proposal.id)


def _open(state: RoundState) -> Iterator[Effect]:
    """Give a share where this member is asked for one; open what all openers gave, one attempt at a time."""
    opening = {effect.proposal for effect in state.running if isinstance(effect, do.OpenAndScore)}
    for proposal in state.proposals.values():
        if proposal.id not in state.verified or state.scores:
            continue
        if state.members.me in proposal.openers and not state.gave(proposal):
            yield do.ReleaseShare(proposal.id)
        if len(state.shares) < len(proposal.openers) or proposal.id in opening:
            continue
        shares = state.shares_for(proposal)
        if len(shares) == len(proposal.openers):
            yield do.OpenAndScore(proposal.id, tuple(s.id for s in shares))


def _judge(state: RoundState) -> Iterator[Effect]:
    opened = _opened(state)
    if opened and next(state.about(opened.sums_root, state.judged), None) is None:
        yield do.PostVerdict()


def _turn(state: RoundState) -> float:
    """Seconds to leave to others before writing or sending what all wait for.

    First of all the best-ranked leader whose proposal named the sums that were opened: several may have proposed the same,
    and two statements at once would split the signatures.
    """
    opened, places = _opened(state), state.facts.places
    same = [
        p for p in state.proposals.values() if opened and p.sums_root == opened.sums_root and p.id in state.verified
    ]
    first = min((places[p.leader] for p in same), default=None)
    return 0.0 if first == state.rank else turn_seconds(state.plan) * (state.rank + 1)


def turn_seconds(plan: Plan | None) -> float:
    """How long a turn is under a plan, seconds."""
    return max(TURN_SECONDS, TURN_SLOTS * plan.slot_seconds) if plan else TURN_SECONDS


def _write(state: RoundState) -> Iterator[Effect]:
    opened = _opened(state)
    if opened is None or state.quorum_at is None or state.endorsed:
        return
    waited, turn = state.now - state.quorum_at, _turn(state)
    if waited < turn:
        return
    verdicts = state.verdicts_for(opened.sums_root)
    everyone = len(verdicts) == state.members.count
    patience = state.plan.slot_seconds if state.plan and next(_offered(state, opened), None) else 0.0
    if (everyone or waited >= turn_seconds(state.plan)) and waited >= turn + patience:
        yield do.WriteStatement(opened.id, tuple(v.id for v in verdicts))


def _offered(state: RoundState, opened: Proposal) -> Iterator[do.VerifyStatement]:
    """Others' statements about the sums that were opened, false ones aside: to be endorsed if they prove true.

    While there is one, perhaps waiting for a verdict that has not come yet, a second would split the signatures.
    """
    for statement, proposal in dict.fromkeys((point.statement, point.proposal) for point in state.checkpoints):
        known = state.proposals.get(proposal)
        if known and known.sums_root == opened.sums_root and statement not in state.refused:
            yield do.VerifyStatement(statement, proposal)


def _endorse(state: RoundState) -> Iterator[Effect]:
    if state.endorsed:
        if all(c.issuer != state.members.me or c.statement != state.endorsed for c in state.checkpoints):
            yield do.PostCheckpoint(state.endorsed)
        return
    if opened := _opened(state):
        yield from _offered(state, opened)


def _finalise(state: RoundState) -> Iterator[Effect]:
    if state.endorsed is None or state.sendable_at is None:
        return
    if state.now - state.sendable_at >= _turn(state):
        yield do.Finalise(state.endorsed)


_STEPS: tuple[Callable[[RoundState], Iterator[Effect]], ...] = (
    _train_and_post,
    _approve,
    _close,
    _reveal,
    _unlock,
    _propose,
    _verify,
    _open,
    _judge,
    _write,
    _endorse,
    _finalise,
)
