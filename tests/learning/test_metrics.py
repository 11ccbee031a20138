import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, roc_auc_score

from node.learning.metrics import evaluate, measure, predict
from node.learning.parameters import initial
from node.learning.settings import TrainingSettings


def answers(seed, n, classes, ties):
    rng = np.random.default_rng(seed)
    scores = rng.random((n, classes)) + 0.01
    if ties:
        scores = np.round(scores * 4 + 1)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, n - classes)])
    return (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32), labels


@given(seed=st.integers(0, 10**6), n=st.integers(4, 60), classes=st.integers(2, 4), ties=st.booleans())
@settings(max_examples=80, deadline=None)
def test_metrics_equal_scikit_learn_s(seed, n, classes, ties):
    probabilities, labels = answers(seed, n, classes, ties)
    found = measure(probabilities, labels)
    answered = probabilities.argmax(axis=1)
    if classes == 2:
        area = roc_auc_score(labels, probabilities[:, 1])
    else:
        area = np.mean([roc_auc_score(labels == index, probabilities[:, index]) for index in range(classes)])
    assert found.auc == pytest.approx(area)
    assert found.accuracy == pytest.approx(accuracy_score(labels, answered))
    assert found.macro_f1 == pytest.approx(f1_score(labels, answered, average="macro"))
    assert np.array_equal(found.confusion, confusion_matrix(labels, answered))
    assert found.n == n


def test_one_class_alone_has_no_auc():
    found = measure(np.array([[0.9, 0.1], [0.6, 0.4]], dtype=np.float32), np.array([0, 0]))
    assert found.auc is None
    assert found.accuracy == 1
    assert found.macro_f1 == 1


def test_a_class_without_images_is_left_out_of_the_mean():
    probabilities = np.array([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.5, 0.4, 0.1]], dtype=np.float32)
    found = measure(probabilities, np.array([0, 1, 0]))
    assert found.auc == 1
    assert found.macro_f1 == 1


def test_evaluate_is_json_and_does_not_depend_on_batches(phantoms, monkeypatch):
    plan = TrainingSettings(architecture="cnn", image_size=32)
    vector = initial("cnn", 2, 0)
    found = evaluate(vector, phantoms, plan)
    assert found.n == len(phantoms)
    assert json.loads(json.dumps(found.to_json()))["confusion"] == [list(row) for row in found.confusion]
    whole = predict(vector, phantoms, plan)
    monkeypatch.setattr("node.learning.metrics.BATCH", 5)
    np.testing.assert_allclose(predict(vector, phantoms, plan), whole, atol=1e-5)
