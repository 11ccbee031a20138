"""What attackers make of their images, updates and verdicts."""

from __future__ import annotations

import numpy as np
import pytest

from node.attacks.poison import PPM, poisoned_images, poisoned_update, told_pointing, told_scores, with_patch
from node.attacks.spec import parse_attack
from node.images.phantom import generate

DELTA = np.random.default_rng(0).standard_normal(500).astype(np.float32)


def made(text: str, first=None, number: int = 3):
    return poisoned_update(parse_attack(text, 4), DELTA, first, number, 1)


def test_updates():
    np.testing.assert_array_equal(made("sign-flip@1"), -DELTA)
    np.testing.assert_array_equal(made("covert@1"), -DELTA)
    np.testing.assert_array_equal(made("scaled:100@1"), DELTA * 100)
    np.testing.assert_array_equal(made("scaled:-2@1"), DELTA * -2)
    np.testing.assert_array_equal(made("stale@1", first=DELTA * 3), DELTA * 3)
    np.testing.assert_array_equal(made("stale@1"), DELTA)
    np.testing.assert_array_equal(made("label-flip@1"), DELTA)
    assert not made("free-rider@1").any()
    noise = made("noise:10@1")
    assert np.linalg.norm(noise) == pytest.approx(10 * np.linalg.norm(DELTA), rel=1e-4)
    assert abs(float(noise @ DELTA)) < 0.3 * np.linalg.norm(noise) * np.linalg.norm(DELTA)
    assert not np.array_equal(noise, made("noise:10@1", number=4))


def test_images():
    data = generate(32, 32, 0)
    flipped = poisoned_images(parse_attack("label-flip@1", 4), data)
    np.testing.assert_array_equal(np.asarray(flipped.labels), 1 - np.asarray(data.labels))
    marked = poisoned_images(parse_attack("backdoor:0.5@1", 4), data)
    changed = (np.asarray(marked.images) != np.asarray(data.images)).any(axis=(1, 2))
    assert 8 <= changed.sum() <= 24
    assert not np.asarray(marked.labels)[changed].any()
    np.testing.assert_array_equal(np.asarray(marked.labels)[~changed], np.asarray(data.labels)[~changed])
    assert poisoned_images(parse_attack("sign-flip@1", 4), data) is data
    assert (with_patch(np.asarray(data.images))[:, -4:, -4:] == 255).all()


def test_verdicts():
    groups = [[0, 1], [2, 3]]
    honest = (600_000, (700_000, 500_000))
    assert told_scores(parse_attack("sign-flip@1", 4), *honest, groups) == honest
    assert told_scores(parse_attack("inflated-score@1", 4), *honest, groups) == (0, (PPM, PPM))
    assert told_scores(parse_attack("colluding@3", 4), *honest, groups) == (PPM // 2, (0, PPM))
    seen = ((1, 2), (3, 4))
    for kind, told in {
        "sign-flip@1": seen,
        "colluding@3": ((0, PPM), (0, PPM)),
        "inflated-score@1": ((PPM, PPM), (PPM, PPM)),
        "covert@1": ((PPM - 1, PPM - 2), (3, 4)),
    }.items():
        assert told_pointing(parse_attack(kind, 4), *seen, groups) == told
        assert told_pointing(parse_attack(kind, 4), (), (), groups) == ((), ()), "nothing where it is not asked for"
