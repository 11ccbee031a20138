"""Error feedback in rounds: it advances when an update counted and only then, survives restarts, and lies sealed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crypto.feedback import Feedback
from node.learning.training import clip_l2
from node.rounds import effects as do
from node.rounds.journal import Journal
from node.rounds.statement import Statement
from node.rounds.steps import opening
from node.rounds.steps.carrying import keep_lost, lost_before
from node.rounds.steps.learn import own_weight
from node.rounds.steps.models import load_model
from node.sealing.quantising import QuantisedUpdate, plan_layout, step_sizes
from node.storage import raw_cid
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


@pytest.mark.parametrize("entered", [(True, True), (True, False), (False, True), (False, False)])
def test_in_sections_it_advances_where_a_sum_entered(entered):
    """What a section's refused sums have lost was never missing; what was missing there before still is."""
    net = network(defence="suspicion", sections=2)
    assert net.run(net.open_round()).finalised
    node, layout = net.nodes[0], layout_of(net)
    state = replace(node.runner.state, facts=replace(net.chain.rounds[1], round=2, base=net.chain.head))
    said = Statement.from_bytes(node.blobs.obtain(raw_cid(net.chain.endings[1].statement))).predicate
    groups = tuple(
        group.model_copy(update={"accepted": entered[number // 2]}) for number, group in enumerate(said.groups)
    )
    statement = Statement.of(said.model_copy(update={"groups": groups}))
    node.blobs.store.put(statement.to_bytes())
    journal = Dying(":memory:")
    journal.keep_model(net.chain.head, 1, 1, node.journal.model(net.chain.head)[2])
    journal.remember(1, "adopted", statement.digest.hex())
    ports = replace(node.ports, journal=journal)
    for number, value in enumerate((1.0, 2.0)):
        early = replace(state, facts=replace(state.facts, round=number))
        keep_lost(ports, early, layout, Feedback(np.full(layout.size, value, np.float32)))
        if number == 0:
            journal.settle_lost(counted=True)
    journal.dies = True
    with pytest.raises(KeyboardInterrupt):
        lost_before(ports, state, layout)
    journal.dies = False
    half = 4 * node.ports.keys.joint.params.values_per_chunk
    lost = lost_before(ports, state, layout).lost
    assert [set(part.tolist()) for part in (lost[:half], lost[half:])] == [{2.0} if yes else {1.0} for yes in entered]
    assert journal.lost(counted=False) is None


class Dying(Journal):
    """A journal of a member that dies where it would settle."""

    dies = False

    def settle_lost(self, *, counted: bool) -> None:
        if self.dies:
            raise KeyboardInterrupt
        super().settle_lost(counted=counted)


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
