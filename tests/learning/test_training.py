from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from node.images.phantom import generate
from node.learning.augmentation import augmented
from node.learning.averaging import average
from node.learning.clipping import clip_parts
from node.learning.errors import BadSettings, TrainingDiverged, WrongData, WrongVector
from node.learning.metrics import evaluate
from node.learning.parameters import initial
from node.learning.settings import TrainingSettings, derive_seed
from node.learning.training import clip_l2, configure_threads, tensors, train

SMALL = TrainingSettings(architecture="cnn", image_size=32, epochs=2, batch_size=8)
BASE = initial("cnn", 2, 0)


def test_training_is_deterministic_and_the_seed_matters(phantoms):
    torch.manual_seed(1)
    first = train(BASE, phantoms, SMALL)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    again = train(BASE, phantoms, SMALL)
    assert torch.equal(before, torch.get_rng_state())
    other = train(BASE, phantoms, replace(SMALL, seed=1))
    assert np.array_equal(first.vector, again.vector)
    assert first.losses == again.losses
    assert not np.array_equal(first.vector, other.vector)
    assert not np.array_equal(first.vector, BASE)


def test_training_reports_what_it_did(phantoms):
    seen = []
    result = train(BASE, phantoms.take(range(30)), SMALL, seen.append)
    assert (result.steps, result.samples, len(result.losses)) == (8, 30, 2)
    assert [each.step for each in seen] == list(range(1, 9))
    assert [each.epoch for each in seen] == [1] * 4 + [2] * 4
    assert seen[-1].remaining == 0
    assert np.mean([each.loss for each in seen[4:]]) == pytest.approx(result.losses[1], rel=0.2)


def test_progress_can_end_the_training(phantoms):
    class EnoughError(Exception):
        pass

    def stop(progress):
        if progress.step == 2:
            raise EnoughError

    with pytest.raises(EnoughError):
        train(BASE, phantoms, SMALL, stop)


@pytest.mark.parametrize("architecture", ["capsnet", "cnn"])
def test_a_model_learns_what_the_phantoms_show(architecture):
    data, test = generate(96, size=48, seed=1), generate(64, size=48, seed=2)
    plan = replace(SMALL, architecture=architecture, image_size=48, epochs=12)
    base = initial(architecture, 2, 0)
    result = train(base, data, plan)
    assert result.losses[-1] < result.losses[0]
    assert evaluate(result.vector, test, plan).auc > 0.8


def test_federated_rounds_improve_on_their_base():
    hospitals = [generate(64, size=48, seed=5, scanner=number) for number in range(3)]
    test = generate(64, size=48, seed=6, scanner=7)
    plan = replace(SMALL, image_size=48, epochs=4)
    model = BASE
    before = evaluate(model, test, plan)
    for number in range(4):
        results = [train(model, data, plan.for_round(number, 4, member)) for member, data in enumerate(hospitals)]
        model = average(model, [each.vector - model for each in results], [each.samples for each in results])
    assert evaluate(model, test, plan).auc > max(0.75, before.auc)


def test_fedprox_keeps_the_model_nearer_its_base(phantoms):
    plain = train(BASE, phantoms, SMALL).vector - BASE
    pulled = train(BASE, phantoms, replace(SMALL, proximal_mu=50.0)).vector - BASE
    assert np.linalg.norm(pulled) < 0.8 * np.linalg.norm(plain)


def test_a_hospital_without_one_class_can_train(phantoms):
    only = phantoms.take(np.flatnonzero(phantoms.labels == 0))
    assert np.isfinite(train(BASE, only, SMALL).vector).all()


def test_data_of_another_task_is_refused(phantoms):
    with pytest.raises(WrongData, match="has 2 classes"):
        train(initial("cnn", 3, 0), phantoms, replace(SMALL, classes=3))


def test_a_base_of_another_network_is_refused(phantoms):
    with pytest.raises(WrongVector):
        train(BASE[:-1], phantoms, SMALL)


def test_divergence_is_reported(phantoms):
    base = BASE.copy()
    base[-2:] = 3e38, -3e38
    with pytest.raises(TrainingDiverged, match="learning_rate"):
        train(base, phantoms, SMALL)


def test_images_are_resized_and_scaled(phantoms):
    images, labels = tensors(phantoms, replace(SMALL, image_size=64))
    assert images.shape == (32, 1, 64, 64)
    assert images.dtype == torch.float32
    assert 0 <= images.min() < images.max() <= 1
    assert labels.tolist() == phantoms.labels.tolist()


@pytest.mark.parametrize(
    "wrong",
    [{"classes": 1}, {"image_size": 30}, {"image_size": 8}, {"epochs": 0}, {"batch_size": 0}, {"learning_rate": 0.0},
     {"learning_rate": float("nan")}, {"weight_decay": -1}, {"proximal_mu": -0.1}, {"seed": -1}],
)  # fmt: skip
def test_settings_are_bounded(wrong):
    with pytest.raises(BadSettings, match=next(iter(wrong))):
        replace(SMALL, **wrong)


def test_rounds_differ_in_seed_and_the_rate_falls():
    rounds = [SMALL.for_round(number, 5, member) for number in range(7) for member in range(3)]
    assert len({each.seed for each in rounds}) == 21
    rates = [SMALL.for_round(number, 5, 0).learning_rate for number in range(7)]
    assert rates[0] == SMALL.learning_rate
    assert rates == sorted(rates, reverse=True)
    assert rates[4] == rates[6] == pytest.approx(0.2 * SMALL.learning_rate)
    assert SMALL.for_round(0, 1, 0).learning_rate == SMALL.learning_rate


def test_seeds_are_derived_by_hash():
    assert derive_seed(1, 23) != derive_seed(12, 3)
    assert 0 <= derive_seed(0) < 2**63


@given(
    hnp.arrays(np.float32, st.integers(1, 50), elements=st.floats(-1e3, 1e3, width=32)),
    st.floats(1e-3, 1e4),
)
def test_clipping_bounds_the_norm_and_keeps_the_direction(delta, bound):
    clipped, norm = clip_l2(delta, bound)
    assert norm == pytest.approx(float(np.linalg.norm(delta.astype(np.float64))))
    assert np.linalg.norm(clipped.astype(np.float64)) <= bound * (1 + 1e-6)
    if norm <= bound:
        assert np.array_equal(clipped, delta)
    else:
        np.testing.assert_allclose(clipped * (norm / bound), delta, rtol=1e-5, atol=1e-3)


def test_clipping_refuses_what_is_not_finite():
    with pytest.raises(WrongVector):
        clip_l2(np.array([np.inf], dtype=np.float32), 1.0)


@given(
    hnp.arrays(np.float32, st.integers(6, 60), elements=st.floats(-1, 1, width=32)),
    st.floats(0.01, 5),
    st.integers(1, 6),
)
def test_parts_share_the_bound(delta, bound, count):
    """Each is shortened by itself, to its share; one part is the whole."""
    edges = [number * len(delta) // count for number in range(count + 1)]
    parts = [slice(first, last) for first, last in pairwise(edges)]
    clipped, norm = clip_parts(delta, bound, parts)
    assert norm == clip_l2(delta, bound)[1]
    assert np.linalg.norm(clipped.astype(np.float64)) <= bound * (1 + 1e-6)
    for part in parts:
        alone, length = clip_l2(delta[part], bound / count**0.5)
        assert clipped[part].tobytes() == alone.tobytes()
        assert length > bound / count**0.5 or alone.tobytes() == delta[part].tobytes()
    whole, _ = clip_parts(delta, bound, [slice(0, len(delta))])
    assert whole.tobytes() == clip_l2(delta, bound)[0].tobytes()


@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=6), st.integers(0, 1000))
@settings(deadline=None)
def test_averaging_is_the_weighted_mean(weights, seed):
    rng = np.random.default_rng(seed)
    base = rng.normal(size=20).astype(np.float32)
    updates = [rng.normal(size=20).astype(np.float32) for _ in weights]
    expected = base + np.average(np.array(updates, dtype=np.float64), axis=0, weights=weights)
    np.testing.assert_allclose(average(base, updates, weights), expected, rtol=1e-5, atol=1e-5)
    same = [updates[0]] * len(weights)
    np.testing.assert_allclose(average(base, same, weights), base + updates[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("weights", [[], [1.0], [1.0, 0.0], [1.0, float("nan")]])
def test_averaging_refuses_bad_weights(weights):
    with pytest.raises(WrongVector):
        average(BASE, [BASE, BASE], weights)


def test_augmentation_keeps_shape_range_and_is_seeded():
    images = torch.rand(16, 1, 32, 32)
    first, again = (augmented(images, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, again)
    assert first.shape == images.shape
    assert 0 <= first.min() < first.max() <= 1
    assert not torch.allclose(first, images, atol=0.1)


def test_augmentation_mirrors_about_half():
    left = torch.zeros(400, 1, 32, 32)
    left[..., :16] = 1
    moved = augmented(left, torch.Generator().manual_seed(0))
    mirrored = (moved[..., 16:].mean(dim=(1, 2, 3)) > 0.5).float().mean()
    assert 0.4 < mirrored < 0.6


def test_threads_can_be_set():
    configure_threads(0)
    assert torch.get_num_threads() == 1
