"""Slices with masks: from a file that is bounded and checked, split by patient, at another size; or drawn."""

from dataclasses import replace

import numpy as np
import pytest

from node.images.errors import NoLabels, TooFewImages, UnreadableData, WrongShape
from node.images.organs import PHANTOM_SCANNERS, drawn_organs, read_organs
from node.images.phantom import draw


def arrays(**changes):
    drawn = draw(12, 32, 1)
    given = {
        "images": drawn.dataset.images,
        "masks": drawn.organs,
        "class_names": np.array(["background", "body", "lung", "heart"]),
        "patients": drawn.dataset.patients,
    }
    return {name: value for name, value in (given | changes).items() if value is not None}


def test_a_file_is_read_as_it_is(tmp_path):
    given = arrays()
    np.savez(tmp_path / "masks.npz", **given)
    found = read_organs(tmp_path / "masks.npz")
    assert np.array_equal(found.images, given["images"])
    assert np.array_equal(found.masks, given["masks"])
    assert found.class_names == tuple(given["class_names"])
    assert found.patient_count == 6
    assert not found.synthetic


def test_without_patients_every_slice_is_its_own(tmp_path):
    np.savez(tmp_path / "masks.npz", **arrays(patients=None))
    assert read_organs(tmp_path / "masks.npz").patient_count == 12


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"masks": None}, UnreadableData, "no array masks"),
        ({"class_names": None}, UnreadableData, "no array class_names"),
        ({"images": np.zeros((12, 32, 32))}, WrongShape, "uint8"),
        ({"images": np.zeros((12, 4, 4), np.uint8)}, WrongShape, "8 to 4096"),
        ({"images": np.zeros((0, 32, 32), np.uint8), "masks": np.zeros((0, 32, 32), np.uint8)}, WrongShape, "patients"),
        ({"masks": np.zeros((12, 32, 28), np.uint8)}, WrongShape, r"masks must be uint8 \[12, 32, 32\]"),
        ({"masks": np.zeros((12, 32, 32), np.int64)}, WrongShape, "masks"),
        ({"masks": np.full((12, 32, 32), 4, np.uint8)}, NoLabels, "value 4, class_names end at 3"),
        ({"class_names": np.array(["a", "b", "a", "c"])}, NoLabels, "distinct"),
        ({"class_names": np.array([1, 2, 3, 4])}, WrongShape, "class_names must be text"),
        ({"class_names": np.array([f"organ {n}" for n in range(17)])}, NoLabels, "2 to 16"),
        ({"patients": np.arange(12)}, WrongShape, "patients"),
        ({"patients": np.array(["a"])}, WrongShape, "patients"),
        ({"patients": np.array([{"a": 1}] * 12, dtype=object)}, UnreadableData, "pickled"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(tmp_path, changes, error, says):
    np.savez(tmp_path / "masks.npz", **arrays(**changes))
    with pytest.raises(error, match=says) as raised:
        read_organs(tmp_path / "masks.npz")
    assert "masks.npz" in str(raised.value)


def test_nobody_is_on_both_sides_of_a_split():
    organs = drawn_organs(64, 32, 3)
    for fraction in (0.01, 0.2, 0.5, 0.99):
        train, held = organs.split(fraction, 1)
        assert not set(train.patients) & set(held.patients)
        assert set(train.patients) | set(held.patients) == set(organs.patients)
        assert abs(held.patient_count - max(1, round(fraction * 32))) <= 1
    alone = replace(organs, patients=np.full(len(organs), "one"))
    with pytest.raises(TooFewImages, match="one patient"):
        alone.split(0.2, 1)


def test_masks_stay_on_their_slices_at_another_size():
    large, small = drawn_organs(16, 64, 3), drawn_organs(16, 64, 3).at(32)
    assert small.images.shape == small.masks.shape == (16, 32, 32)
    assert set(np.unique(small.masks)) <= set(np.unique(large.masks))
    for organ in range(4):
        before, after = large.masks == organ, small.masks == organ
        assert np.abs(before.mean(axis=(1, 2)) - after.mean(axis=(1, 2))).max() < 0.03
    assert large.at(64) is large


def test_drawn_slices_are_of_several_machines_and_say_that_they_are_drawn():
    organs = drawn_organs(64, 32, 3)
    assert organs.synthetic
    assert len({name.split("/")[0] for name in organs.patients}) == PHANTOM_SCANNERS
    assert len(organs) == 64
