import numpy as np
import pytest

from node.images.errors import NoLabels, TooFewImages, WrongShape
from node.images.record import Dataset, concatenate


def fields(**changes):
    given = {
        "images": np.zeros((3, 16, 16), dtype=np.uint8),
        "labels": np.array([0, 1, 0], dtype=np.int64),
        "patients": np.array(["a", "b", "c"]),
        "class_names": ("x", "y"),
        "name": "toy",
        "synthetic": False,
    }
    return given | changes


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"images": np.zeros((3, 16, 16))}, WrongShape, "uint8"),
        ({"images": np.zeros((3, 256), dtype=np.uint8)}, WrongShape, r"\[n, H, W\]"),
        ({"images": np.zeros((0, 16, 16), dtype=np.uint8)}, TooFewImages, "no image"),
        ({"images": np.zeros((3, 16, 4), dtype=np.uint8)}, WrongShape, "16x4"),
        ({"labels": np.array([0, 1], dtype=np.int64)}, WrongShape, "labels"),
        ({"labels": np.array([0.0, 1, 0])}, WrongShape, "labels"),
        ({"labels": np.array([0, 2, 0])}, NoLabels, "label 2"),
        ({"labels": np.array([0, -1, 0])}, NoLabels, "label -1"),
        ({"patients": np.array(["a"])}, WrongShape, "patients"),
        ({"patients": np.array([1, 2, 3])}, WrongShape, "patients"),
        ({"class_names": ("x",)}, NoLabels, "distinct"),
        ({"class_names": ("x", "x")}, NoLabels, "distinct"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(changes, error, says):
    with pytest.raises(error, match=says):
        Dataset(**fields(**changes))


def test_arrays_are_read_only(toy):
    with pytest.raises(ValueError, match="read-only"):
        toy.images[0, 0, 0] = 1


def test_take_keeps_order_and_counts(toy):
    part = toy.take([5, 0, 3], "part")
    assert part.name == "part"
    assert list(part.labels) == [toy.labels[5], toy.labels[0], toy.labels[3]]
    assert sum(part.class_counts) == len(part) == 3


def test_concatenate_joins_and_refuses_other_classes(toy):
    both = concatenate([toy, toy], "both")
    assert len(both) == 2 * len(toy)
    assert both.patient_count == toy.patient_count
    other = Dataset(**fields())
    with pytest.raises(WrongShape, match="cannot join"):
        concatenate([toy, other], "mixed")
    with pytest.raises(TooFewImages):
        concatenate([], "nothing")
