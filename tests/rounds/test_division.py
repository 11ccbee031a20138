"""Members that judge the first proposal late, after the next leader's turn: the openers are not divided if it can be helped."""

from __future__ import annotations

import random
from dataclasses import replace
from types import MappingProxyType, SimpleNamespace

import pytest

from node.errors import LyingPeer
from node.rounds import effects as do
from node.rounds import state as ev
from node.rounds.machine import LATE_SLOTS, apply
from node.rounds.steps import aggregate
from tests.flow.simnet import SimNet
from tests.rounds import support as s

# ---- a repeat, and what it repeats ----------------------------------------------------------------------------------


class Wider:
    """The ledger, where one proposal's past cone shows an update more than another's."""

    def __init__(self, ledger, narrow: bytes, wide: bytes) -> None:
        self._ledger, self._narrow, self._wide = ledger, narrow, wide

    def __getattr__(self, name):
        return getattr(self._ledger, name)

    def listable_by(self, proposal):
        basis = self._ledger.listable_by(self._narrow)
        if proposal == self._narrow:
            return basis
        assert proposal == self._wide
        return SimpleNamespace(updates=(*basis.updates, b"one more"), reveals=(*basis.reveals, b"its reveal"))


@pytest.fixture
def repeated(ports, state, proposal, monkeypatch):
    """(ports, state, a repeat of the proposal), neither judged here; by the repeat's own cone more may be listed."""
    monkeypatch.setattr(aggregate, "_sound", lambda _ports, _state, basis: basis)
    again = replace(proposal, id=b"again", leader=0, attempt=1)
    known = replace(state, proposals=MappingProxyType({again.id: again, proposal.id: proposal}))
    return replace(ports, ledger=Wider(ports.ledger, proposal.id, again.id)), known, again


def test_a_repeat_is_no_lie_where_what_it_repeats_was_not_judged_yet(repeated):
    ports, state, again = repeated
    assert not state.verified
    aggregate.verify_inclusion(ports, state, again)


def test_a_repeat_of_what_is_not_on_chain_is_judged_by_its_own_cone(repeated):
    ports, state, again = repeated
    with pytest.raises(LyingPeer, match="leaves out"):
        aggregate.verify_inclusion(ports, replace(state, anchors=()), again)


def test_two_that_leave_out_the_same_do_not_excuse_each_other(repeated):
    ports, state, again = repeated
    other = replace(again, id=b"other", leader=1)
    both = replace(
        state,
        proposals=MappingProxyType({again.id: again, other.id: other}),
        anchors=tuple(ev.Anchor(p.leader, p.id, *p.partition) for p in (again, other)),
    )
    wide = SimpleNamespace(get=ports.ledger.get, listable_by=lambda _id: ports.ledger.listable_by(again.id))
    with pytest.raises(LyingPeer, match="leaves out"):
        aggregate.verify_inclusion(replace(ports, ledger=wide), both, again)


def test_a_repeat_stands_above_what_it_repeats(ports, state, proposal):
    """Whoever gets it can tell by that one's cone what was to be listed; so can an auditor."""
    asked = []

    class Noting(Wider):
        def gather(self, ids, **_where):
            asked.extend(ids)
            return proposal.id, proposal.id

    effect = do.Propose(1, proposal.updates, proposal.reveals, repeats=True)
    noting = replace(ports, ledger=Noting(ports.ledger, proposal.id, proposal.id))
    aggregate._basis(noting, replace(state, verified=frozenset({proposal.id})), effect)
    assert proposal.id in asked
    asked.clear()
    aggregate._basis(noting, state, replace(effect, repeats=False))
    assert proposal.id not in asked


# ---- whom to ask ----------------------------------------------------------------------------------------------------


def test_who_gave_a_share_of_another_partition_is_asked_after_all_others(ports, state, proposal):
    """It keeps its promise: it is not silent by chance, and asking it again is in vain."""
    bound = proposal.openers[0]
    mine = next(share for share in state.shares if share.member == bound)
    elsewhere = (bytes(32), bytes(32))
    only = replace(state, shares=(mine,))
    for k in range(12):
        assert bound not in aggregate._openers(ports, only, bytes([k]) * 32, elsewhere)
    assert any(bound in aggregate._openers(ports, only, bytes([k]) * 32, proposal.partition) for k in range(12))
    silent = replace(only, verified=frozenset({proposal.id}))
    asked = aggregate._openers(ports, silent, bytes(32), elsewhere)
    assert set(asked) == set(range(4)) - {bound}, "rather one that was silent"


# ---- what to propose ------------------------------------------------------------------------------------------------


def told(me: int, *events) -> tuple[ev.RoundState, list[do.Effect]]:
    """A member's state after these events, and all that it started."""
    state, started = s.fresh(me), []
    for event in events:
        state, effects = apply(state, event)
        started += effects
    return state, started


def collected(members=range(s.N)) -> list[ev.Event]:
    """All updates closed, revealed and unlocked, at the collecting deadline."""
    updates = [s.update(member) for member in members]
    said = [*updates, *(s.close(m) for m in range(s.N)), *(s.reveal(m, sequence=50) for m in members)]
    attached = [ev.Attached(tx, {}) for tx in said]
    return [
        ev.PlanRead(s.PLAN),
        ev.Tick(float(s.COLLECT_BY)),
        *attached,
        *(ev.Unlocked(tx.id, "") for tx in updates),
    ]


def judged(tx) -> list[ev.Event]:
    return [ev.Attached(tx, {}), ev.Anchored(s.anchor(tx)), ev.ProposalVerified(tx.id)]


IDS = tuple(s.update(member).id for member in range(s.N))
SMALL = s.proposal(2, IDS[:3], (s.blob("small"),), (0, 2))
WHOLE = s.proposal(1, IDS, (s.blob("whole"),), (1, 3), attempt=1)


@pytest.mark.parametrize(
    ("shares", "wanted"),
    [
        ((), SMALL),
        ((s.share(3, WHOLE),), WHOLE),
        ((s.share(3, WHOLE), s.share(0, SMALL)), SMALL),
        ((s.share(0, SMALL), s.share(3, WHOLE), s.share(1, WHOLE)), WHOLE),
        ((s.share(3, WHOLE), s.share(0, SMALL), s.share(2, SMALL)), SMALL),
    ],
)
def test_of_two_partitions_the_one_that_more_have_begun_to_open_is_repeated(shares, wanted):
    known = [*collected(), *judged(SMALL), *judged(WHOLE), *(ev.Attached(tx, {}) for tx in shares)]
    _, started = told(3, *known, ev.Tick(s.COLLECT_BY + 3.6 * s.PLAN.slot_seconds))
    (proposed,) = [effect for effect in started if isinstance(effect, do.Propose)]
    assert (proposed.updates, proposed.repeats) == (wanted.body.updates, True)


def test_a_late_leader_leaves_the_beginning_of_a_slot_to_its_own_leader():
    """Rank 1 left its slot to what stood on chain; in the next one the leader of rank 2 comes first."""
    rival = s.proposal(2, (s.digest("unknown"), s.digest("other")), (s.blob("sum"),), (0, 2))
    slot = s.PLAN.slot_seconds
    known = [*collected(), ev.Attached(rival, {}), ev.Anchored(s.anchor(rival))]
    second = s.COLLECT_BY + 2.5 * slot
    early = [ev.Tick(second), ev.Tick(second + LATE_SLOTS * slot - 1)]
    _, started = told(1, *known, ev.Tick(second - slot), *early)
    assert not [effect for effect in started if isinstance(effect, do.Propose)]
    _, started = told(1, *known, ev.Tick(second - slot), *early, ev.Tick(second + LATE_SLOTS * slot))
    assert [effect.repeats for effect in started if isinstance(effect, do.Propose)] == [False]


# ---- the whole round ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("judge", range(3))
def test_a_round_ends_with_a_model_whoever_alone_judged_the_first_proposal_in_time(judge, seed):
    """The last member reveals late, so that the first proposal lists one update fewer than any later one would."""
    net = SimNet(4, 3, min_group=2, seed=20 + seed, slot_seconds=2, augment=False)
    net.rng = random.Random(f"{judge} {seed}")

    def held_back(node, effect) -> bool:
        state = node.runner.state
        ranking = state.facts.ranking
        if isinstance(effect, do.Reveal) and node.index == ranking[-1] and not state.proposals:
            net.after(0.5, ("effect", node.index, effect))
            return True
        if not isinstance(effect, do.VerifyProposal):
            return False
        return state.proposals[effect.proposal].leader == ranking[0] and node.index != ranking[judge]

    net.stopped_effects = held_back
    number = net.open_round()
    ending = net.run(number)
    ranking = net.chain.rounds[number].ranking
    states = [node.runner.state for node in net.nodes]
    proposals = states[0].proposals
    first = next(p for p in proposals.values() if p.leader == ranking[0])
    assert len(first.updates) == 3
    assert ending.finalised
    assert not any(state.refused for state in states), "everybody is honest"
    opened = {state.scores.proposal for state in states if state.scores}
    if judge == 0:  # it cannot propose the same again, and the others do not know yet what it is
        assert all(len(proposals[p].updates) == 4 and ranking[0] not in proposals[p].openers for p in opened)
    else:
        assert all(proposals[p].partition == first.partition for p in opened)
