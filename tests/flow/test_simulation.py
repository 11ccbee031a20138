"""Whole rounds in one process: real crypto, ledgers and training, simulated chain and network, virtual time."""

from __future__ import annotations

import random

import numpy as np
import pytest
from simnet import SimNet, crash_before

from node.learning.parameters import model_bytes, model_hash, parse_model
from node.rounds import effects as do
from node.rounds.decision import next_model
from node.rounds.groups import draw_groups
from node.rounds.statement import Statement
from node.rounds.steps.models import genesis_model
from node.sealing.quantising import plan_layout, step_sizes
from node.storage import raw_cid


def statement_of(net: SimNet, number: int) -> Statement:
    return Statement.from_bytes(net.nodes[0].blobs.obtain(raw_cid(net.chain.endings[number].statement)))


def test_three_rounds_finalise_and_all_hold_the_same_model():
    net = SimNet(4, 3)
    endings = net.play(3)
    assert all(ending is not None and ending.finalised for ending in endings)
    assert len({ending.model for ending in endings}) == 3
    for ending in endings:
        assert all(node.journal.model(ending.model) is not None for node in net.nodes)
    sealed = {node.journal.model(endings[-1].model)[2] for node in net.nodes}
    assert len(sealed) == 1, "every member derives the same sealed bytes"


def test_sealing_changes_nothing():
    """The finalised model equals, bit for bit, the same quantised updates added in the clear."""
    net = SimNet(5, 4, min_group=2)
    number = net.open_round()
    assert net.run(number).finalised
    predicate = statement_of(net, number).predicate
    assert len(predicate.groups) == 2
    by_address = {"0x" + address.hex(): node for address, node in zip(net.addresses, net.nodes, strict=True)}
    layout = plan_layout(net.plan.architecture, len(net.plan.classes), net.plan.value_range)
    steps = step_sizes(layout, net.nodes[0].ports.keys.joint.params, 5)
    sums = []
    weights = []
    for group in predicate.groups:
        members = [predicate.updates[i] for i in group.updates]
        sums.append(sum(by_address[m.issuer].quantised[number] for m in members))
        weights.append(sum(m.weight_ppm for m in members))
    base = parse_model(genesis_model(net.plan)).vector
    vector = next_model(base, sums, weights, steps)
    assert model_hash(model_bytes(vector, net.plan.architecture, len(net.plan.classes))).hex() == predicate.model.sha256
    assert not np.array_equal(vector, base)


def test_groups_follow_from_the_seed_and_hide_enough():
    net = SimNet(7, 5, min_group=3)
    number = net.open_round()
    assert net.run(number).finalised
    predicate = statement_of(net, number).predicate
    assert sorted(i for group in predicate.groups for i in group.updates) == list(range(7))
    assert min(len(group.updates) for group in predicate.groups) >= 3
    assert len(draw_groups(bytes(32), 7, 3)) == len(predicate.groups)


@pytest.mark.parametrize("seed", range(6))
def test_the_outcome_does_not_depend_on_message_order(seed: int):
    net = SimNet(4, 3, seed=0)
    net.rng.seed(seed)
    ending = net.run(net.open_round())
    assert ending is not None
    assert ending.finalised
    models = {node.journal.model(ending.model) is not None for node in net.nodes}
    assert models == {True}


def test_a_dead_leader_is_replaced_in_the_next_slot():
    net = SimNet(4, 3)
    number = net.open_round()
    leader = net.chain.rounds[number].ranking[0]
    net.stopped_effects = lambda node, effect: node.index == leader and isinstance(effect, do.Propose)
    ending = net.run(number)
    assert ending is not None
    assert ending.finalised
    predicate = statement_of(net, number).predicate
    assert predicate.leader == "0x" + net.addresses[net.chain.rounds[number].ranking[1]].hex()


def test_a_leader_that_dies_for_good_is_survived():
    net = SimNet(4, 3)
    number = net.open_round()
    net.nodes[net.chain.rounds[number].ranking[0]].up = False
    ending = net.run(number)
    assert ending is not None
    assert ending.finalised
    assert len(statement_of(net, number).predicate.updates) == 3


def test_a_silent_opener_is_replaced_and_the_sums_stay_the_same():
    net = SimNet(4, 3)
    number = net.open_round()
    silent: list[int] = []

    def withhold(node, effect):
        if isinstance(effect, do.ReleaseShare) and not silent:
            silent.append(node.index)
        return isinstance(effect, do.ReleaseShare) and node.index in silent

    net.stopped_effects = withhold
    ending = net.run(number)
    assert silent
    assert ending is not None
    assert ending.finalised
    predicate = statement_of(net, number).predicate
    assert silent[0] not in predicate.openers
    states = [node.runner.state for node in net.nodes]
    assert len({(p.updates_root, p.sums_root) for state in states for p in state.proposals.values()}) == 1


def test_too_few_updates_abort_the_round_and_the_base_carries_over():
    net = SimNet(4, 3)
    head = net.chain.head
    number = net.open_round()
    for node in net.nodes[:2]:
        node.up = False
    ending = net.run(number)
    assert ending is not None
    assert not ending.finalised
    assert net.chain.head == head
    for node in net.nodes[:2]:
        node.up = True
    assert net.run(net.open_round()).finalised


@pytest.mark.parametrize(
    "step",
    [
        do.PostUpdate,
        do.Close,
        do.Reveal,
        do.Unlock,
        do.Propose,
        do.ReleaseShare,
        do.PostVerdict,
        do.PostCheckpoint,
        do.Finalise,
    ],
)
def test_a_crash_before_any_step_is_resumed_from_disk(step: type):
    """A member that dies as it is about to act starts again from chain, ledger and journal, and the round finalises."""
    net = SimNet(4, 3)
    number = net.open_round()
    crashed = crash_before(net, number, step)
    ending = net.run(number)
    assert crashed
    assert ending is not None
    assert ending.finalised
    assert len(statement_of(net, number).predicate.updates) == 4
    issuers = [u.issuer for u in net.nodes[0].runner.state.updates]
    assert sorted(issuers) == [0, 1, 2, 3], "nothing was posted twice"


@pytest.mark.parametrize("seed", [42, 43, 52, 136])  # aborted in slots of four seconds, shorter than fetching takes
def test_lost_messages_are_fetched_by_frontier(seed):
    """What is lost comes a second or two later; a slot and the turns in it leave that much time."""
    net = SimNet(4, 3, slot_seconds=20)
    drops = random.Random(seed).random
    net.dropped = lambda _sender, _receiver: drops() < 0.4
    assert net.run(net.open_round()).finalised


def test_signatures_that_split_cost_the_round_and_nothing_else():
    """A network in two halves, each with a quorum of verdicts of its own: each half signs another statement, one each for good.

    No outcome has a quorum, also when the halves meet again. The round is aborted, its base carries over, the next one ends well.
    """
    net = SimNet(4, 3)
    number, head = net.open_round(), net.chain.head
    halves = {place: place % 2 for place in net.chain.rounds[number].ranking}
    slow = set(net.chain.rounds[number].ranking[2:])
    apart, held = {"from": float("inf")}, set()

    def hold(node, effect):
        if not isinstance(effect, do.PostVerdict) or node.index not in slow - held:
            return False
        held.add(node.index)
        apart["from"] = min(apart["from"], net.now + 2.0)
        net.after(2.5, ("effect", node.index, effect))
        return True

    net.stopped_effects = hold
    net.dropped = lambda one, two: halves[one] != halves[two] and apart["from"] <= net.now < apart["from"] + 40.0
    ending = net.run(number)
    assert ending is not None
    assert not ending.finalised
    signed = [{c.issuer for c in node.runner.state.checkpoints} for node in net.nodes]
    assert all(signers == {0, 1, 2, 3} for signers in signed), "all have met again"
    statements = {c.statement for c in net.nodes[0].runner.state.checkpoints}
    assert len(statements) == 2
    assert net.chain.head == head
    assert net.run(net.open_round()).finalised
