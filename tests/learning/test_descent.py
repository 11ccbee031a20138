"""Where a loss falls: the gradient of the weighted mean loss over all images, whatever the network and however many batches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from node.images.phantom import generate
from node.learning import descent as module
from node.learning.descent import descent
from node.learning.errors import WrongData, WrongVector
from node.learning.parameters import initial
from node.learning.settings import TrainingSettings
from node.learning.training import prepared, tensors, train

IMAGES = generate(30, 32, 3)
PLAIN = TrainingSettings(architecture="cnn", classes=len(IMAGES.class_names), image_size=32, epochs=1)


def loss(vector, dataset, settings) -> float:
    """The mean of the network's own losses, classes counting alike, by float64 sums."""
    images, labels = tensors(dataset, settings)
    with torch.no_grad():
        model = prepared(vector, settings).eval()
        each = model.losses(model(images), labels).double().numpy()
    return float(np.mean([each[labels.numpy() == k].mean() for k in np.unique(labels.numpy())]))


@pytest.fixture(scope="module")
def trained():
    """Parameters whose batch statistics are those of images."""
    return train(initial("cnn", PLAIN.classes, 0), IMAGES, PLAIN).vector


@pytest.mark.parametrize("architecture", ["cnn", "capsnet"])
def test_it_is_the_gradient_of_the_weighted_mean_loss(architecture, trained):
    """Along a random direction, against the difference of losses a little before and behind."""
    settings = replace(PLAIN, architecture=architecture)
    vector = trained if architecture == "cnn" else initial(architecture, PLAIN.classes, 0)
    found = descent(vector, IMAGES, settings).astype(np.float64)
    for seed in range(2):
        way = np.random.default_rng(seed).standard_normal(found.size)
        way[found == 0] = 0
        way += found * np.linalg.norm(way) / np.linalg.norm(found)
        way *= 0.02 / np.linalg.norm(way)
        ends = [loss((vector + side * way).astype(np.float32), IMAGES, settings) for side in (1, -1)]
        assert (ends[1] - ends[0]) / 2 == pytest.approx(found @ way, rel=0.05)


def test_a_small_step_that_way_lowers_the_loss_by_what_it_says(trained):
    found = descent(trained, IMAGES, PLAIN)
    length = np.linalg.norm(found.astype(np.float64))
    step = (found * (0.01 / length)).astype(np.float32)
    fall = loss(trained, IMAGES, PLAIN) - loss(trained + step, IMAGES, PLAIN)
    assert fall == pytest.approx(0.01 * length, rel=0.1)


def test_the_number_of_images_at_once_changes_nothing_but_rounding(trained, monkeypatch):
    whole = descent(trained, IMAGES, PLAIN)
    monkeypatch.setattr(module, "BATCH", 7)
    parts = descent(trained, IMAGES, PLAIN)
    np.testing.assert_allclose(parts, whole, atol=1e-5 * np.abs(whole).max())


def test_what_no_gradient_moves_has_none(trained):
    found = descent(trained, IMAGES, PLAIN)
    assert found.dtype == np.float32
    at = 0
    for tensor in prepared(trained, PLAIN).parameters():
        part = found[at : at + tensor.numel()]
        assert tensor.requires_grad == bool(part.any())
        at += tensor.numel()


def test_images_count_as_they_do_in_training(trained):
    """Of five images of two classes and three patients, put together from each image's own gradient."""
    by_class = [np.flatnonzero(np.asarray(IMAGES.labels) == k)[:3] for k in (0, 1)]
    chosen = np.concatenate([by_class[0], by_class[1][:2]])
    few = replace(IMAGES.take(chosen), patients=np.array(["a", "a", "b", "c", "c"]))
    each = np.stack([descent(trained, few.take([k]), PLAIN) for k in range(5)])
    share = np.array([0.5**0.5, 0.5**0.5, 1, 0.5**0.5, 0.5**0.5])
    sums = np.array([share[:3].sum()] * 3 + [share[3:].sum()] * 2)
    expected = (share / sums / 2) @ each
    found = descent(trained, few, replace(PLAIN, class_weights="patients"))
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
    assert not np.allclose(found, descent(trained, few, PLAIN), atol=1e-2 * np.abs(expected).max())


def test_other_classes_and_other_vectors_are_refused(trained):
    with pytest.raises(WrongData, match="classes"):
        descent(initial("cnn", 5, 0), IMAGES, replace(PLAIN, classes=5))
    with pytest.raises(WrongVector):
        descent(trained[:-1], IMAGES, PLAIN)
