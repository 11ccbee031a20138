"""Steps 2 to 4: what is sealed is the clipped, weighted, quantised update, once, whatever crashed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crypto.locking import UpdateLock
from dag.weights import contribution_weight
from node.errors import LyingPeer, RoundProblem
from node.learning.training import clip_l2
from node.rounds.journal import Journal
from node.rounds.ports import Policy
from node.rounds.records import UpdateManifest
from node.rounds.state import Sealed
from node.rounds.steps import learn
from node.rounds.steps.models import load_model
from node.sealing.openings import OpeningContext, open_sum, release_openings
from node.sealing.quantising import plan_layout, step_sizes
from node.sealing.updates import LockedUpdate, add_updates


@pytest.fixture
def kept(ports):
    """The ports of a hospital that keeps its quantised updates, and what it kept."""
    found = {}
    policy = Policy(2, allow_minimal=True, keep_quantised=lambda number, values: found.update({number: values}))
    return replace(ports, policy=policy), found


def test_what_is_sealed_is_the_clipped_weighted_update(played, kept, state, node):
    ports, found = kept
    (sealed,) = learn.train_and_seal(ports, state)
    plan, base = state.plan, load_model(ports, state.facts.base)
    result = ports.learner.train(plan, base, 1, lambda _: None)
    delta, _ = clip_l2(result.vector - base, float(plan.clip_norm))
    sizes = ports.consortium.sizes
    weight = contribution_weight(result.samples, sizes[node.index], max(sizes), plan.epochs, plan.epochs)
    assert sealed.update.weight_ppm == weight
    layout = plan_layout(plan.architecture, len(plan.classes), plan.value_range)
    steps = step_sizes(layout, ports.keys.joint.params, 4)
    limit = float(plan.value_range)
    wanted = np.clip(delta.astype(np.float64) * weight / 1e6, -limit, limit)
    assert np.abs(found[1] * steps - wanted).max() <= steps.max() * (1 + 1e-9), "off by less than one step"
    assert np.abs(delta).max() > 0


def test_the_ciphertexts_open_to_what_was_quantised(played, kept, state):
    """Sealed, added to nothing, opened by three members: the very integers."""
    ports, found = kept
    (sealed,) = learn.train_and_seal(ports, state)
    manifest = UpdateManifest.from_bytes(ports.blobs.obtain(sealed.update.manifest))
    lock = UpdateLock.from_reveal(learn.reveal_for(ports, state), ports.address, 1, 1)
    update = LockedUpdate(manifest.chunks, manifest.size, lock)
    total = add_updates([update], ports.keys.joint.params, ports.blobs)
    openers = (0, 1, 3)
    contexts = {k: OpeningContext(1, 1, bytes(32), 0, played.addresses[k]) for k in openers}
    shares = {
        k: release_openings(total, played.nodes[k].ports.keys.member, openers, contexts[k], ports.blobs)[0]
        for k in openers
    }
    opened = open_sum(total, shares, contexts, ports.keys.member, ports.blobs)
    np.testing.assert_array_equal(opened[: found[1].size], found[1])


def test_training_once_is_enough(ports, state):
    """After a crash the sealed update is taken from the journal: no second encryption of the same update exists."""
    (first,) = learn.train_and_seal(ports, state)

    class Untrained:
        def train(self, *_):
            pytest.fail("trained again")

    again = replace(ports, learner=Untrained())
    assert learn.train_and_seal(again, state) == (first,)
    assert isinstance(first, Sealed)


def test_a_crash_between_sealing_and_the_journal_gives_the_same_integers(kept, state):
    """Rounding is seeded by round and base: training again quantises to the same values."""
    ports, found = kept
    learn.train_and_seal(ports, state)
    first = found.pop(1)
    learn.train_and_seal(replace(ports, journal=_without_update(ports)), state)
    np.testing.assert_array_equal(found[1], first)


def _without_update(ports) -> Journal:
    journal = Journal(":memory:")
    for model, epoch, number, sealed in ports.journal.models():
        journal.keep_model(model, epoch, number, sealed)
    return journal


def test_the_revealed_value_is_the_one_committed_to(ports, state, node):
    mine = next(u for u in state.updates if u.issuer == node.index)
    from dag.bodies import commit

    assert commit(learn.reveal_for(ports, state)) == mine.commitment
    other = replace(state, facts=replace(state.facts, round=2))
    assert learn.reveal_for(ports, other) != learn.reveal_for(ports, state)


def test_a_round_opened_again_after_the_chain_went_back_is_served_by_what_was_sealed_before(state, node):
    """Only its deadlines moved: closes and updates stay in the ledger, so the same value opens the same update."""
    from dag.bodies import commit

    mine = next(u for u in state.updates if u.issuer == node.index)
    later = replace(state.facts, collect_by=state.facts.collect_by + 7, finalise_by=state.facts.finalise_by + 7)
    again = replace(state, facts=later, sealed=None)
    assert commit(learn.reveal_for(node.ports, again)) == mine.commitment
    assert learn.train_and_seal(node.ports, again)[0].update.manifest == mine.manifest


@pytest.mark.parametrize("changed", ["seed", "plan", "base"])
def test_another_round_of_the_same_number_has_another_value(ports, state, changed):
    other = replace(state, facts=replace(state.facts, **{changed: bytes(range(32))}))
    assert learn.reveal_for(ports, other) != learn.reveal_for(ports, state)


def test_an_update_sealed_for_another_round_of_the_same_number_is_not_posted(ports, state):
    facts = replace(state.facts, seed=bytes(range(32)))
    (first,) = learn.train_and_seal(ports, state)
    assert learn.train_and_seal(ports, state) == (first,)
    (other,) = learn.train_and_seal(ports, replace(state, facts=facts, sealed=None))
    assert other.update.manifest != first.update.manifest


def test_without_the_base_model_nothing_is_trained(ports, state):
    with pytest.raises(RoundProblem, match="waiting to adopt"):
        learn.train_and_seal(replace(ports, journal=Journal(":memory:")), state)


def test_a_base_model_that_is_another_is_not_trained_from(ports, state, played):
    """The journal names a blob that holds another model: a swapped file."""
    journal = Journal(":memory:")
    final = ports.journal.model(played.chain.head)
    journal.keep_model(state.facts.base, *final)
    with pytest.raises(LyingPeer, match="is not model"):
        learn.train_and_seal(replace(ports, journal=journal), state)
