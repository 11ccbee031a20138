"""What a plan can ask for images that come in clips: views of ultrasound, and weights by patient."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from node.images.phantom import generate
from node.learning.augmentation import augmented, view_of
from node.learning.objective import Objective, balanced, objective, shares
from node.learning.parameters import initial
from node.learning.registry import build
from node.learning.settings import TrainingSettings
from node.learning.training import train
from node.learning.ultrasound import MAX_GAIN, MAX_SPECKLE, examined

SMALL = TrainingSettings(architecture="cnn", image_size=32, epochs=1, batch_size=8)
BASE = initial("cnn", 2, 0)


def drawn(seed=0):
    return torch.Generator().manual_seed(seed)


def test_views_of_ultrasound_keep_shape_and_range_and_are_seeded():
    images = torch.rand(16, 1, 32, 32)
    first, again = (examined(images, drawn(3)) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, examined(images, drawn(4)))
    assert first.shape == images.shape
    assert 0 <= first.min() < first.max() <= 1


def test_gain_moves_along_depth_alone():
    """Of an even image only gain, grey curve and speckle are left: rows differ by up to the gain's bounds, columns by speckle."""
    seen = examined(torch.full((200, 1, 32, 32), 0.4), drawn())
    rows, columns = seen.mean(dim=(1, 3)), seen.mean(dim=(1, 2))
    spread = (rows.amax(dim=1) / rows.amin(dim=1)).log()
    assert spread.max() > MAX_GAIN
    assert spread.max() < 6 * MAX_GAIN
    assert (columns.std(dim=1) / columns.mean(dim=1)).max() < 2 * MAX_SPECKLE / math.sqrt(32)
    assert spread.mean() > 3 * (columns.amax(dim=1) / columns.amin(dim=1)).log().mean()


def test_speckle_grows_with_the_echo_and_black_stays_black():
    """Along a row of an even image there is nothing but speckle: the same share of a weak and of a strong echo."""
    for echo in (0.05, 0.3):
        rows = examined(torch.full((200, 1, 32, 32), echo), drawn())[:, 0]
        share = (rows.std(dim=2) / rows.mean(dim=2)).mean().item()
        assert share == pytest.approx(MAX_SPECKLE / 2, rel=0.15)
    assert examined(torch.zeros(4, 1, 32, 32), drawn()).max() < 0.01


def test_a_plans_views_are_what_training_sees():
    assert (view_of("slices"), view_of("ultrasound")) == (augmented, examined)
    data = generate(16, size=32, seed=1)
    plain, clips, still = (
        train(BASE, data, replace(SMALL, **change)).vector
        for change in ({}, {"views": "ultrasound"}, {"views": "ultrasound", "augment": False})
    )
    assert not np.array_equal(plain, clips)
    assert np.array_equal(still, train(BASE, data, replace(SMALL, augment=False)).vector)


def filmed(counts, labels):
    """Phantoms of as many patients as ``counts`` has, with so many images each."""
    total = sum(counts)
    data = generate(total, size=32, seed=1)
    chosen = np.concatenate([np.full(n, k) for k, n in enumerate(counts)])
    return replace(data, patients=np.array([f"p{k}" for k in chosen]), labels=np.array(labels, dtype=np.int64)[chosen])


def test_a_patients_images_count_as_the_root_of_their_number():
    data = filmed([9, 4, 1, 16], [0, 0, 0, 1])
    plan = replace(SMALL, class_weights="patients")
    own = shares(data, plan)
    assert own.tolist() == pytest.approx([1 / 3] * 9 + [1 / 2] * 4 + [1.0] + [1 / 4] * 16)
    labels = torch.from_numpy(data.labels.copy())
    weights = balanced(labels, 2, own)
    by_class = [(weights[labels] * own)[labels == k].sum().item() for k in range(2)]
    assert by_class == pytest.approx([5, 5])  # (3 + 2 + 1 + 4) / 2 each
    assert torch.equal(objective(labels, plan, own).weights, weights)
    assert torch.equal(shares(data, SMALL), torch.ones(30))


def test_a_patient_filmed_again_and_again_weighs_less():
    """The loss is the mean of the images' own, weighted by class and share; and training follows it."""
    output, labels, own = torch.randn(6, 2, generator=drawn()), torch.tensor([0, 1, 0, 1, 0, 1]), torch.rand(6) + 0.1
    weights = torch.tensor([2.0, 1.0])
    found = Objective(weights, 0.0, 0.0)(build("cnn", 2), output, labels, own)
    each = torch.nn.functional.cross_entropy(output, labels, reduction="none")
    expected = (each * weights[labels] * own).sum() / (weights[labels] * own).sum()
    torch.testing.assert_close(found, expected)
    data = filmed([12, 2, 2], [0, 0, 1])
    plain = train(BASE, data, SMALL).vector
    assert not np.array_equal(plain, train(BASE, data, replace(SMALL, class_weights="patients")).vector)
    alike = filmed([4, 4, 4, 4], [0, 0, 1, 1])  # whom all shares are alike for, learns the same
    same = [train(BASE, alike, replace(SMALL, class_weights=kind)).vector for kind in ("balanced", "patients")]
    np.testing.assert_allclose(*same, atol=1e-5)
