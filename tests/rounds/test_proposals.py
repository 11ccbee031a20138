"""A leader that lies: what another member recomputes differs, is refused, and the evidence names it (step 7)."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType, SimpleNamespace

import numpy as np
import pytest

from dag.bodies import Kind, ProposalBody, proposal_roots
from node.errors import LyingPeer
from node.rounds import effects as do
from node.rounds.groups import draw_groups
from node.rounds.journal import Journal
from node.rounds.records import SumManifest
from node.rounds.state import Anchor, Anchored, ProposalVerified, Refused
from node.rounds.steps import aggregate
from node.rounds.steps.aggregate import check_proposal
from node.rounds.worker import carry_out
from node.storage import BlobUnavailable
from tests.flow.simnet import SimNet


def test_an_honest_proposal_is_verified(ports, state, proposal):
    assert check_proposal(ports, state, proposal) == (ProposalVerified(proposal.id),)


def test_recomputing_stores_the_sums(ports, state, proposal):
    for cid in proposal.sums:
        ports.blobs.store.delete(cid)
    check_proposal(ports, state, proposal)
    assert all(ports.blobs.store.has(cid) for cid in proposal.sums)


def before(state):
    """The state when all updates were revealed and no proposal had come."""
    return replace(state, proposals=MappingProxyType({}))


def test_what_an_honest_leader_will_propose_is_added_while_it_is_on_its_way(ports, state, proposal, monkeypatch):
    aggregate.foresee(ports, before(state))
    assert sorted(ports.sums.values()) == sorted(proposal.sums)
    monkeypatch.setattr(aggregate, "add_updates", lambda *_: pytest.fail("added again"))
    assert check_proposal(ports, state, proposal) == (ProposalVerified(proposal.id),)


def test_a_sum_that_is_known_and_lost_is_added_again(ports, state, proposal):
    aggregate.foresee(ports, before(state))
    for cid in proposal.sums:
        ports.blobs.store.delete(cid)
    check_proposal(ports, state, proposal)
    assert all(ports.blobs.store.has(cid) for cid in proposal.sums)


@pytest.mark.parametrize(
    "known", ["an update too few", "a reveal too few", "one not looked at", "one malformed", "no plan"]
)
def test_nothing_is_added_ahead_while_the_proposal_cannot_be_foreseen(ports, state, known):
    looked = dict.fromkeys((update.id for update in state.updates), "")
    early = before(state)
    match known:
        case "an update too few":
            early = replace(early, updates=early.updates[1:])
        case "a reveal too few":
            early = replace(early, reveals=early.reveals[1:])
        case "no plan":
            early = replace(early, plan=None)
        case "one not looked at":
            looked.popitem()
        case _:
            looked[state.updates[0].id] = "no ciphertext"
    ports = replace(ports, unlocked=looked)
    aggregate.foresee(ports, early)
    assert ports.sums == {}
    aggregate.foresee(replace(ports, unlocked=dict.fromkeys((u.id for u in state.updates), "")), before(state))
    assert ports.sums, "nothing else kept it from it"


def test_a_sum_that_cannot_be_added_ahead_is_no_problem_yet(ports, state):
    lost = replace(ports, unlocked=dict.fromkeys((u.id for u in state.updates), ""), blobs=SimpleNamespace(obtain=gone))
    aggregate.foresee(lost, before(state))
    assert lost.sums == {}


def gone(cid, first=None):
    raise BlobUnavailable(cid, ())


def test_a_listable_update_that_is_left_out_is_named(ports, state, proposal):
    short = replace(proposal, updates=proposal.updates[1:])
    with pytest.raises(LyingPeer, match="leaves out listable update") as caught:
        check_proposal(ports, state, short)
    assert caught.value.evidence == {"proposal": proposal.id.hex(), "update": proposal.updates[0].hex()}


def test_an_update_that_is_slipped_in_is_named(ports, state, proposal):
    spare = bytes(32)
    with pytest.raises(LyingPeer, match=r"includes update .*not closed by a quorum") as caught:
        check_proposal(ports, state, replace(proposal, updates=tuple(sorted((*proposal.updates, spare)))))
    assert caught.value.evidence["update"] == spare.hex()


def test_other_groups_than_the_seeds_are_refused(ports, state, proposal):
    """Same sizes, other neighbours: a leader that chooses who is summed with whom."""
    first, second = proposal.groups
    swapped = tuple(sorted((tuple(sorted((first[0], second[0]))), tuple(sorted((first[1], second[1]))))))
    assert swapped != proposal.groups
    with pytest.raises(LyingPeer, match="not those of the round's seed"):
        check_proposal(ports, state, replace(proposal, groups=swapped))


def redrawn(ports, state, proposal, reveals):
    """The proposal as a leader makes it that lists these reveals and is honest otherwise."""
    seed = aggregate._seed(ports, state, proposal.updates, reveals)
    groups = aggregate._draw(ports, state, state.plan, seed, proposal.updates)
    sums = tuple(aggregate._sums(ports, state, state.plan, proposal.updates, groups))
    roots = proposal_roots(proposal.updates, sums)
    return replace(proposal, reveals=reveals, groups=groups, sums=sums, updates_root=roots[0], sums_root=roots[1])


def test_the_redrawn_proposal_is_otherwise_honest(ports, state, proposal):
    assert redrawn(ports, state, proposal, proposal.reveals) == proposal


@pytest.mark.parametrize("which", range(4))
def test_a_leader_that_leaves_out_a_reveal_is_refused(ports, state, proposal, which):
    """Every subset of the reveals draws other groups: a leader that may choose the subset chooses who is summed with whom."""
    assert len(proposal.reveals) == 4
    rest = tuple(tx_id for number, tx_id in enumerate(proposal.reveals) if number != which)
    with pytest.raises(LyingPeer, match="reveal"):
        check_proposal(ports, state, redrawn(ports, state, proposal, rest))


def test_a_reveal_that_reveals_nothing_is_refused(ports, state, proposal):
    with pytest.raises(LyingPeer, match="reveals nothing"):
        check_proposal(ports, state, replace(proposal, reveals=proposal.updates[:1]))


@pytest.mark.parametrize("change", ["order", "chunk", "round"])
def test_a_wrong_sum_is_refused_with_both_cids(ports, state, proposal, change):
    """The ciphertexts of other updates, one chunk of another sum, or the sum of another round."""
    honest = SumManifest.from_bytes(ports.blobs.obtain(proposal.sums[0]))
    other = SumManifest.from_bytes(ports.blobs.obtain(proposal.sums[1]))
    false = {
        "order": replace(honest, updates=honest.updates[::-1]),
        "chunk": replace(honest, chunks=(other.chunks[0], *honest.chunks[1:])),
        "round": replace(honest, round=2),
    }[change]
    cid = ports.blobs.store.put(false.to_bytes())
    with pytest.raises(LyingPeer, match="sum of group 0") as caught:
        check_proposal(ports, state, replace(proposal, sums=(cid, proposal.sums[1])))
    assert caught.value.evidence["proposed"] == cid
    assert caught.value.evidence["recomputed"] == proposal.sums[0]


@pytest.mark.parametrize("openers", [(0, 1), (0, 1, 2, 3), (0, 1, 4), (0, 0, 1)])
def test_openers_are_exactly_threshold_members(ports, state, proposal, openers):
    with pytest.raises(LyingPeer, match="openers"):
        check_proposal(ports, state, replace(proposal, openers=openers))


def test_fewer_updates_than_min_group_are_refused(ports, state, proposal):
    """Even where the ledger's rules were looser than this plan."""
    strict = replace(state, plan=state.plan.model_copy(update={"min_group": 5}))
    with pytest.raises(LyingPeer, match="the plan asks for 5"):
        check_proposal(ports, strict, proposal)


def test_an_update_this_member_never_saw_is_refused(ports, state, proposal):
    blind = replace(state, updates=state.updates[1:], verified=frozenset())
    with pytest.raises(LyingPeer, match="not in this ledger"):
        check_proposal(ports, blind, proposal)


def test_a_repeat_need_not_list_what_could_be_listed_later(ports, state, proposal):
    """After a stall the very same updates are proposed again, though its cone allows more by then."""
    known = replace(state, verified=frozenset({proposal.id}))
    aggregate.verify_inclusion(ports, known, replace(proposal, id=b"another", leader=0))


def test_a_repeat_of_something_refused_is_no_excuse(ports, state, proposal):
    short = replace(proposal, updates=proposal.updates[1:])
    refused = replace(state, refused={short.id: "left one out"}, proposals={short.id: short})
    with pytest.raises(LyingPeer, match="leaves out"):
        aggregate.verify_inclusion(ports, refused, short)


def test_the_worker_turns_a_lie_into_a_refusal(ports, state, proposal):
    lie = replace(proposal, sums=proposal.sums[::-1])
    effect = do.VerifyProposal(lie.id)
    refused, finished = carry_out(ports, replace(state, proposals={lie.id: lie}), effect)
    assert isinstance(refused, Refused)
    assert refused.subject == lie.id
    assert "sum of group 0" in refused.reason
    assert finished.effect == effect


def test_an_anchor_that_is_not_on_chain_is_not_believed(played, state, proposal):
    """The chain has another proposal of this leader already: what stands there the chain's own event tells."""

    class Taken(type(played.nodes[0].ports.chain)):
        def propose(self, *_):
            return 0

    leader = played.nodes[proposal.leader]
    ports = replace(leader.ports, chain=Taken(played.chain.client(leader.index)), journal=Journal(":memory:"))
    mine = replace(state, members=replace(state.members, me=leader.index))
    effect = do.Propose(0, proposal.updates, proposal.reveals, repeats=False)
    assert aggregate.propose(ports, mine, effect) == ()


# ---- a lying leader in a whole network: its proposal passes the ledger's rules, no member opens it ------------------


def lie(net: SimNet, node, effect, how: str) -> None:
    """What a dishonest leader does instead of its step: attach and anchor a false proposal."""
    state, ports = node.runner.state, node.ports
    shown = (*(tx_id for tx_id, _ in state.closes), *(tx_id for tx_id, _, _ in state.reveals))
    basis = ports.ledger.proposal_basis(1, ports.ledger.gather(shown, epoch=1, round_number=1))
    updates, reveals = basis.updates, basis.reveals
    if how == "omit":
        without = ports.ledger.get(updates[0]).issuer
        reveals = tuple(tx_id for tx_id in reveals if ports.ledger.get(tx_id).issuer != without)
        updates = updates[1:]
    seed = aggregate._seed(ports, state, updates, reveals)
    groups = aggregate._draw(ports, state, state.plan, seed, updates)
    if how == "section":
        groups = (*groups[:2], *next(p for p in (((0, 1), (2, 3)), ((0, 2), (1, 3))) if p != groups[2:]))
    if how == "groups":
        groups = next(
            g for k in range(99) if (g := draw_groups(bytes([k]) * 32, len(updates), state.plan.min_group)) != groups
        )
    sums = tuple(aggregate._sums(ports, state, state.plan, updates, groups))
    if how == "sum":
        wrong = SumManifest.from_bytes(ports.blobs.obtain(sums[0]))
        sums = (ports.blobs.store.put(replace(wrong, chunks=wrong.chunks[::-1]).to_bytes()), *sums[1:])
    roots = proposal_roots(updates, sums)
    openers = tuple(range(state.plan.threshold))
    body = ProposalBody(updates, reveals, groups, sums, openers, effect.attempt, *roots)
    posted = ports.ledger.post(Kind.PROPOSAL, body, epoch=1, round_number=state.facts.round, parents=basis.parents)
    ports.chain.propose(state.facts.round, posted.id, *roots)
    node.runner.feed([Anchored(Anchor(node.index, posted.id, *roots))])


SECTIONS = {"defence": "suspicion", "sections": 2}


@pytest.mark.parametrize(
    ("how", "reason", "fields"),
    [
        ("omit", "leaves out listable update", {}),
        ("groups", "round's seed", {}),
        ("sum", "sum of group 0", {}),
        ("section", "round's seed", SECTIONS),
        ("groups", "round's seed", SECTIONS),
    ],
)
def test_a_lying_leader_is_refused_by_all_and_the_next_one_finishes(how, reason, fields):
    net = SimNet(4, 3, min_group=2, seed=8, slot_seconds=2, augment=False, **fields)
    lied = []

    def instead(node, effect) -> bool:
        if not isinstance(effect, do.Propose) or node.index != node.runner.state.facts.ranking[0]:
            return False
        if not lied:
            lied.append(node.index)
            lie(net, node, effect, how)
        return True

    net.stopped_effects = instead
    number = net.open_round()
    ending = net.run(number)
    assert ending is not None
    assert ending.finalised
    outcome, signatures = net.chain.outcomes[number]
    assert len(signatures) >= net.quorum
    assert outcome.leader.lower() == "0x" + net.addresses[net.chain.rounds[number].ranking[1]].hex()
    for node in net.nodes:
        reasons = list(node.runner.state.refused.values())
        assert any(reason in text for text in reasons), (node.index, reasons)
    assert len({node.journal.models()[-1][0] for node in net.nodes}) == 1
    assert np.unique([net.chain.head]).size == 1
