"""Whatever order chain and network tell a round in, and however often, a member ends up knowing and doing the same."""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dag.bodies import Kind
from dag.ledger import Ledger
from dag.store.sqlite import Store
from node.publishing.publisher import Publisher
from node.rounds import effects as do
from node.rounds.journal import Journal
from node.rounds.machine import apply, due, signers
from node.rounds.state import Anchored, Attached, Failed, Finished, PlanRead, ProposalVerified, RoundState, Scored, Tick
from node.rounds.worker import FIRST_PAUSE_SECONDS, ON_CHAIN, carry_out

ME = 3


@pytest.fixture(scope="module")
def told(played):
    """All that was said in round 1, each once."""
    rows = played.nodes[0].publisher.read(lambda ledger: ledger.transactions(round=1, limit=500))
    ended = played.nodes[ME].runner.state
    chain = [Anchored(anchor) for anchor in ended.anchors]
    own = [PlanRead(ended.plan), *map(ProposalVerified, ended.verified), Scored(ended.scores)]
    return [tx for tx in rows if tx.parents], [*chain, *own]


def knowledge(state: RoundState) -> dict:
    """What counts of a state; sets where only the order of arrival differs."""
    proposals = list(state.proposals.values())
    return {
        "updates": frozenset(state.updates),
        "confirmed": state.confirmed,
        "approvals": dict(state.approvals),
        "closes": state.closes,
        "reveals": state.reveals,
        "proposals": frozenset(state.proposals),
        "shares": {p.id: state.shares_for(p) for p in proposals},
        "verdicts": {p.id: state.verdicts_for(p.sums_root) for p in proposals},
        "signers": signers(replace(state, endorsed=state.checkpoints[0].statement)),
        "times": (state.closed_at, state.revealable_at, state.quorum_at),
        "due": frozenset(due(replace(state, running=frozenset()))),
    }


def hear(played, told, order: random.Random | None) -> dict:
    """Deliver everything to a fresh member, shuffled and partly twice; what it knows in the end."""
    transactions, events = told
    state = replace(played.nodes[ME].runner.state)
    state = RoundState(state.facts, state.members, now=float(state.facts.collect_by))

    def take(event) -> None:
        nonlocal state
        state, _ = apply(state, event)

    store = Store(":memory:")
    key = hashlib.sha256(b"member" + bytes([5, ME])).digest()
    members = {address: k for k, address in enumerate(played.addresses)}
    book = Publisher(
        Ledger(store, played._context), store, key, members, lambda tx, approvals: take(Attached(tx, approvals))
    )
    deliveries = [*transactions, *events]
    if order is not None:
        deliveries += order.sample(deliveries, len(deliveries) // 3)
        order.shuffle(deliveries)
    take(Tick(state.now))
    for item in deliveries:
        if item in events:
            take(item)
        else:
            book.receive_many((item.raw,))
    book.replay(1)
    return knowledge(state)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_any_order_and_any_repetition_lead_to_the_same_end(played, told, seed):
    assert hear(played, told, random.Random(seed)) == hear(played, told, None)


# ---- effects: done twice, the effect of once ------------------------------------------------------------------------


def effects(state: RoundState) -> list:
    (proposal,) = state.proposals.values()
    statement = state.endorsed
    return [
        do.ReadPlan(),
        do.TrainAndSeal(),
        do.PostUpdate(),
        do.Close(),
        do.Unlock(proposal.updates[0]),
        do.Propose(0, proposal.updates, proposal.reveals, repeats=False),
        do.VerifyProposal(proposal.id),
        do.ReleaseShare(proposal.id),
        do.OpenAndScore(proposal.id, tuple(share.id for share in state.shares_for(proposal))),
        do.PostVerdict(),
        do.WriteStatement(proposal.id, tuple(v.id for v in state.verdicts_for(proposal.sums_root))),
        do.VerifyStatement(statement, proposal.id),
        do.PostCheckpoint(statement),
        do.Finalise(statement),
        do.Adopt(state.ending.model, state.ending.statement),
    ]


@pytest.mark.parametrize("number", range(15))
def test_an_effect_done_again_changes_nothing(played, number):
    """After a crash an effect may run once more than it finished: ledger, blobs and chain stay as they are."""
    (proposal,) = played.nodes[0].runner.state.proposals.values()
    for index in {proposal.leader, proposal.openers[0], proposal.openers[-1]}:
        node = played.nodes[index]
        state = node.runner.state
        effect = effects(state)[number]
        if isinstance(effect, do.Propose) and index != proposal.leader:
            continue
        if isinstance(effect, do.ReleaseShare) and index not in proposal.openers:
            continue
        before = (node.publisher.read(len), set(node.blobs.store.iterate()), dict(played.chain.endings))
        first = carry_out(node.ports, state, effect)
        second = carry_out(node.ports, state, effect)
        assert first == second
        done = Failed(effect, state.now + FIRST_PAUSE_SECONDS) if isinstance(effect, ON_CHAIN) else Finished(effect)
        assert first[-1] == done, "what stands on chain already is waited for, not asked for at once"
        assert (node.publisher.read(len), set(node.blobs.store.iterate()), dict(played.chain.endings)) == before


def test_what_goes_wrong_is_tried_again_later_and_later(played, ports, state):
    """Without its base model a member cannot train: it asks again, with growing pauses, and never gives up."""
    bare, pauses = replace(ports, journal=Journal(":memory:")), []
    for _ in range(12):
        (failed,) = carry_out(bare, state, do.TrainAndSeal())
        assert isinstance(failed, Failed)
        pauses.append(failed.retry_at - state.now)
        state, _ = apply(state, failed)
    assert pauses[:4] == [0.25, 0.5, 1.0, 2.0]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 15.0


def test_a_member_does_not_spin_until_the_chain_tells_what_somebody_else_did(played):
    """Another member ended the round first: that stands on chain, and the event that says so has not come in yet."""
    state = replace(played.nodes[ME].runner.state, ending=None, adopted=False, running=frozenset())
    state = replace(state, now=float(state.facts.finalise_by + 1))
    state, (effect,) = apply(state, Tick(state.now))
    assert effect == do.Abort()
    state, started = apply(state, *carry_out(played.nodes[ME].ports, state, effect))
    assert started == ()
    _, started = apply(state, Tick(state.now + FIRST_PAUSE_SECONDS))
    assert started == (do.Abort(),)


def test_every_kind_of_transaction_was_told(told):
    assert {tx.kind for tx in told[0]} == set(Kind) - {Kind.GENESIS}
