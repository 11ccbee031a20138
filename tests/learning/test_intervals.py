"""Closed intervals against textbook values, a bootstrap by patient, and the truth."""

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from node.images.phantom import generate
from node.learning.intervals import area_interval, share_interval
from node.learning.metrics import evaluate, intervals, measure
from node.learning.parameters import initial
from node.learning.quality import quality
from node.learning.settings import TrainingSettings


def drawn(n, J, rng, skill=1.0, each=1):
    """Answers for ``n`` patients of ``each`` images that share their patient's luck."""
    labels = np.repeat(rng.integers(0, J, n), each)
    logits = np.repeat(rng.normal(size=(n, J)), each, axis=0) + 0.2 * rng.normal(size=(n * each, J))
    logits[np.arange(n * each), labels] += skill
    odds = np.exp(logits)
    return (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32), labels, np.repeat(np.arange(n), each)


def test_a_share_has_wilsons_interval():
    """Newcombe 1998, table I: 81 of 263 gives 0.2553 to 0.3662, 15 of 148 gives 0.0624 to 0.1605."""
    for part, whole, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605)):
        hits = np.arange(whole) < part
        # Patients of one image each: the design effect is n / (n - 1), a thousandth here.
        assert share_interval(hits, np.arange(whole)) == pytest.approx((low, high), abs=5e-4)


def test_a_share_of_all_or_none_is_not_certain():
    low, high = share_interval(np.ones(20, dtype=bool), np.arange(20))
    assert high == pytest.approx(1)
    assert low == pytest.approx(20 / (20 + 1.959964**2))
    assert share_interval(np.array([], dtype=bool), np.array([], dtype=np.int64)) is None


def test_copies_of_a_patients_images_add_nothing():
    rng = np.random.default_rng(0)
    answers, labels, patients = drawn(80, 2, rng)
    hits = answers.argmax(axis=1) == labels
    copied = [np.repeat(each, 5, axis=0) for each in (answers, labels, patients, hits)]
    assert share_interval(copied[3], copied[2]) == pytest.approx(share_interval(hits, patients), abs=1e-9)
    assert area_interval(*copied[:3]) == pytest.approx(area_interval(answers, labels, patients), abs=1e-9)


def delong(scores, labels):
    """DeLong's variance by its definition: every pair compared."""
    own, other = scores[labels == 1], scores[labels == 0]
    wins = (own[:, None] > other).astype(float) + 0.5 * (own[:, None] == other)
    spread = wins.mean(axis=1).var(ddof=1) / own.size + wins.mean(axis=0).var(ddof=1) / other.size
    return wins.mean(), 1.959963984540054 * math.sqrt(spread)


@pytest.mark.parametrize("seed", range(3))
def test_an_area_has_delongs_interval(seed):
    answers, labels, patients = drawn(60, 2, np.random.default_rng(seed))
    answers = answers.round(1)  # ties
    area, half = delong(answers[:, 1], labels)
    assert area == pytest.approx(roc_auc_score(labels, answers[:, 1]))
    assert area_interval(answers, labels, patients) == pytest.approx((max(0, area - half), min(1, area + half)))


@pytest.mark.parametrize("J", [2, 3])
def test_intervals_are_near_the_bootstrap_by_patient(J):
    answers, labels, patients = drawn(150, J, np.random.default_rng(4), each=3)
    ours, resampled = intervals(answers, labels, patients), quality(answers, labels, patients.astype(str))
    for mine, theirs in ((ours.accuracy, resampled.accuracy), (ours.auc, resampled.auc), (ours.sensitivity[1], resampled.sensitivity[1])):  # fmt: skip
        assert mine[1] - mine[0] == pytest.approx(theirs.high - theirs.low, rel=0.2)
        assert sum(mine) / 2 == pytest.approx((theirs.high + theirs.low) / 2, abs=0.015)


def test_intervals_hold_the_truth_as_often_as_they_say():
    """200 samples of 80 patients with two images; the truth is a sample of 40,000."""
    rng = np.random.default_rng(1)
    truth = measure(*drawn(40_000, 2, rng)[:2])
    inside = np.zeros(2)
    for _ in range(200):
        found = intervals(*drawn(80, 2, rng, each=2))
        inside += [
            low <= value <= high for (low, high), value in ((found.accuracy, truth.accuracy), (found.auc, truth.auc))
        ]
    assert (inside / 200 > 0.9).all(), inside / 200
    assert (inside / 200 < 0.99).all(), inside / 200


def test_one_class_alone_has_no_area():
    answers, labels, patients = drawn(10, 2, np.random.default_rng(0))
    assert area_interval(answers, np.zeros_like(labels), patients) is None


def test_every_evaluation_brings_intervals_and_calibration():
    plan = TrainingSettings(architecture="cnn", image_size=32)
    data = generate(32, size=32, seed=1)
    found = evaluate(initial("cnn", 2, 0), data, plan)
    low, high = found.intervals.accuracy
    assert low <= found.accuracy <= high
    assert low < high
    assert found.sensitivity == found.specificity[::-1]  # two classes: one's hits are the other's rejections
    assert found.sensitivity[0] == found.confusion[0][0] / sum(found.confusion[0])
    assert 0 <= found.calibration_error <= 1
    assert 0 <= found.brier <= 1
    assert found.to_json()["intervals"]["accuracy"] == (low, high)


def test_shares_by_hand():
    answers = np.array([[0.9, 0.1, 0], [0.2, 0.8, 0], [0.1, 0.9, 0], [0, 0.6, 0.4]], dtype=np.float32)
    found = measure(answers, np.array([0, 0, 1, 1]))
    assert found.sensitivity == (0.5, 1.0, None)
    assert found.specificity == (1.0, 0.5, 1.0)
