"""Figures against scikit-learn and by hand; intervals that cover what they should and widen with clustering."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, roc_auc_score

from node.learning.calibration import calibration_error
from node.learning.errors import WrongData
from node.learning.quality import quality, youden_thresholds


def answers(n=300, J=2, seed=0, skill=1.0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, J, n)
    logits = rng.normal(size=(n, J))
    logits[np.arange(n), labels] += skill
    odds = np.exp(logits)
    return (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32), labels


def own_patients(n):
    return np.array([f"p{i}" for i in range(n)])


def test_the_figures_are_scikit_learns():
    probabilities, labels = answers()
    found = quality(probabilities, labels, own_patients(300), draws=50)
    assert found.auc.value == pytest.approx(roc_auc_score(labels, probabilities[:, 1]), abs=1e-6)
    assert found.brier.value == pytest.approx(brier_score_loss(labels, probabilities[:, 1]), abs=1e-6)
    called = probabilities.argmax(axis=1)
    assert found.sensitivity[1].value == pytest.approx((called[labels == 1] == 1).mean())
    assert found.specificity[1].value == pytest.approx((called[labels == 0] == 0).mean())
    assert found.sensitivity[0].value == found.specificity[1].value
    for each in (found.auc, found.accuracy, found.brier, found.sensitivity[1]):
        assert 0 <= each.low <= each.value <= each.high <= 1


def test_calibration_error_by_hand():
    # Two bins of 15 are hit: confidence 0.9 right in 3 of 4, confidence 0.6 right in 1 of 2.
    probabilities = np.array([[0.9, 0.1]] * 4 + [[0.6, 0.4]] * 2, dtype=np.float32)
    labels = np.array([0, 0, 0, 1, 0, 1])
    assert calibration_error(probabilities, labels) == pytest.approx((4 * 0.15 + 2 * 0.1) / 6, abs=1e-6)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    truth = 0.7602  # P(X > 0) for X ~ N(1, 2), the accuracy of `answers` with two classes and skill 1
    hits = 0
    for seed in range(100):
        probabilities, labels = answers(120, seed=seed)
        found = quality(probabilities, labels, own_patients(120), draws=100, seed=seed + 7)
        hits += found.accuracy.low <= truth <= found.accuracy.high
    assert 85 <= hits < 100  # percentile intervals are a little narrow: 92 of 100 over many seeds


def test_copies_of_a_patient_do_not_narrow_an_interval():
    probabilities, labels = answers(40)
    alone = quality(probabilities, labels, own_patients(40), draws=400)
    copies = np.repeat(np.arange(40), 5)
    grouped = quality(probabilities[copies], labels[copies], own_patients(40)[copies], draws=400)
    apart = quality(probabilities[copies], labels[copies], own_patients(200), draws=400)
    width = [each.accuracy.high - each.accuracy.low for each in (alone, grouped, apart)]
    assert width[1] == pytest.approx(width[0], rel=0.25)
    assert width[2] < 0.7 * width[1]


@given(st.integers(0, 2**32 - 1), st.integers(2, 4))
def test_youdens_threshold_is_the_best_of_all(seed, J):
    probabilities, labels = answers(25, J, seed)
    found = youden_thresholds(probabilities, labels)
    for index in range(J):
        scores, own = probabilities[:, index].astype(np.float64), labels == index
        if own.all() or not own.any():
            assert found[index] == 0.5
            continue

        def gain(threshold, scores=scores, own=own):
            return (scores[own] >= threshold).mean() + (scores[~own] < threshold).mean()

        assert gain(found[index]) == pytest.approx(max(gain(t) for t in (*scores, 2.0)))


def test_what_cannot_be_said_is_none_and_what_does_not_fit_is_refused():
    probabilities, labels = answers(10)
    found = quality(probabilities, np.zeros(10, dtype=np.int64), own_patients(10), draws=20)
    assert found.auc is None
    assert found.sensitivity[1] is None
    assert found.specificity[0] is None
    assert found.accuracy is not None
    with pytest.raises(WrongData):
        quality(probabilities, labels[:9], own_patients(10))
    with pytest.raises(WrongData):
        quality(probabilities, labels, own_patients(10), draws=3)


def test_thresholds_decide_what_is_called():
    probabilities, labels = answers(60)
    everything = quality(probabilities, labels, own_patients(60), np.array([0.0, 0.0]), draws=20)
    assert everything.sensitivity[1].value == 1
    assert everything.specificity[1].value == 0
