"""Error feedback in rounds: it advances when an update counted and only then, survives restarts, and lies sealed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from node.learning.training import clip_l2
from node.rounds import effects as do
from node.rounds.journal import Journal
from node.rounds.steps import opening
from node.rounds.steps.carrying import keep_lost, lost_before
from node.rounds.steps.learn import own_weight
from node.rounds.steps.models import load_model
from node.sealing.quantising import QuantisedUpdate, plan_layout, step_sizes
from tests.flow.simnet import SimNet


def network(**fields) -> SimNet:
    return SimNet(4, 3, min_group=2, seed=21, augment=False, error_feedback=True, value_range="0.00001", **fields)


def layout_of(net: SimNet):
    return plan_layout(net.plan.architecture, len(net.plan.classes), net.plan.value_range)


def pending(node) -> int | None:
    found = node.journal.lost(counted=False)
    return None if found is None else found[0]


def carried(node) -> int | None:
    found = node.journal.lost(counted=True)
    return None if found is None else found[0]


@pytest.fixture(scope="module")
def fed() -> SimNet:
    """Two rounds that counted, in a range so small that much is clipped."""
    net = network()
    assert all(ending.finalised for ending in net.play(2))
    return net


def test_what_a_counted_update_lost_is_carried_over(fed):
    for node in fed.nodes:
        assert (carried(node), pending(node)) == (1, 2), "the second round's is settled when the third begins"


def test_what_was_lost_is_added_to_the_next_update(fed):
    """The second update's integers are those of the update plus what the first lost, not those of the update alone."""
    node, plan, layout = fed.nodes[0], fed.plan, layout_of(fed)
    state = replace(node.runner.state, facts=fed.chain.rounds[2])
    base = load_model(node.ports, state.facts.base)
    result = node.ports.learner.train(plan, base, 2, lambda _: None)
    delta, _ = clip_l2(result.vector - base, float(plan.clip_norm))
    weight = own_weight(node.ports, plan, result.samples)
    limit = node.ports.keys.joint.params.value_limit(4)
    seed = node.ports.secret_for(b"rounding" + (2).to_bytes(8, "big") + state.facts.base)
    lost = lost_before(node.ports, state, layout)
    with_it, without = (
        np.concatenate(list(QuantisedUpdate(delta, weight, layout, limit, seed, carried))) for carried in (lost, None)
    )
    np.testing.assert_array_equal(node.quantised[2], with_it)
    assert (with_it != without).mean() > 0.01
    assert np.abs(lost.lost).max() > 2 * step_sizes(layout, node.ports.keys.joint.params, 4).max(), "clipped values too"


def test_it_lies_sealed_in_the_journal(fed):
    node = fed.nodes[0]
    _, data = node.journal.lost(counted=True)
    state = replace(node.runner.state, facts=fed.chain.rounds[2])
    plain = lost_before(node.ports, state, layout_of(fed)).lost.astype("<f4").tobytes()
    assert plain[:64] not in data
    assert data[:4] == b"MWEN"


@pytest.mark.parametrize("how", ["refused", "aborted"])
def test_what_did_not_count_is_forgotten(monkeypatch, how):
    net = network()
    if how == "refused":
        monkeypatch.setattr(opening, "acceptable", lambda *_: False)
    else:
        net.stopped_effects = lambda _node, effect: isinstance(effect, do.Propose)
    ending = net.run(net.open_round())
    assert ending.finalised == (how == "refused")
    assert {pending(node) for node in net.nodes} == {1}
    monkeypatch.undo()
    net.stopped_effects = lambda _node, _effect: False
    assert net.run(net.open_round()).finalised
    assert {(carried(node), pending(node)) for node in net.nodes} == {(None, 2)}


def test_another_network_starts_afresh(fed):
    node = fed.nodes[0]
    state = replace(node.runner.state, facts=replace(node.runner.state.facts, round=2))
    other = plan_layout(fed.plan.architecture, len(fed.plan.classes) + 1, fed.plan.value_range)
    assert not lost_before(node.ports, state, other).lost.any()


def test_sealing_again_after_a_crash_replaces_what_was_noted(fed, tmp_path):
    """A crash between sealing and posting: the round is trained again, and its first loss is not taken for an older round's."""
    node = fed.nodes[0]
    path = tmp_path / "journal.sqlite"
    ports = replace(node.ports, journal=Journal(path))
    layout, state = layout_of(fed), node.runner.state
    for value in (1.0, 2.0):
        before = lost_before(ports, state, layout)
        assert not before.lost.any()
        keep_lost(ports, state, layout, type(before)(np.full(layout.size, value, np.float32)))
        ports.journal.close()
        ports = replace(ports, journal=Journal(path))
    number, _ = ports.journal.lost(counted=False)
    assert number == state.facts.round
    ports.journal.settle_lost(counted=True)
    later = replace(state, facts=replace(state.facts, round=state.facts.round + 1))
    assert (lost_before(ports, later, layout).lost == 2.0).all()
    ports.journal.settle_lost(counted=True)
    assert ports.journal.lost(counted=True) is not None, "settling nothing changes nothing"


def test_without_the_plan_asking_nothing_is_kept():
    net = SimNet(4, 3, min_group=2, seed=21, augment=False)
    net.play(1)
    assert all(pending(node) is None for node in net.nodes)
