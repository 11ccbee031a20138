import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.images.errors import BadPartition, TooFewImages
from node.images.partition import partition, split_validation

from .conftest import make

HOWS = st.sampled_from(["iid", "by-patient", "dirichlet:0.1", "dirichlet:1", "dirichlet:100"])


@given(
    how=HOWS,
    hospitals=st.integers(1, 8),
    seed=st.integers(0, 2**32),
    classes=st.integers(2, 4),
    each=st.integers(4, 12),
)
@settings(max_examples=120, deadline=None)
def test_shares_cover_everything_once_and_split_no_patient(how, hospitals, seed, classes, each):
    patients = [index % classes for index in range(classes * max(each, hospitals))]
    data = make(
        patients, images_each=[1 + (index * index + seed) % 4 for index in range(len(patients))], classes=classes
    )
    shares = partition(data, hospitals, how, seed)
    assert len(shares) == hospitals
    assert sum(map(len, shares)) == len(data)
    owners = [set(share.patients) for share in shares]
    assert sum(map(len, owners)) == len(set.union(*owners)) == data.patient_count
    for share in shares:
        assert np.count_nonzero(share.class_counts) >= 2
    images = np.concatenate([share.images for share in shares]).reshape(len(data), -1)
    assert sorted(map(bytes, images)) == sorted(map(bytes, data.images.reshape(len(data), -1)))


@given(seed=st.integers(0, 1000), fraction=st.floats(0.05, 0.9), share=st.integers(2, 30), images=st.integers(1, 5))
@settings(max_examples=80, deadline=None)
def test_validation_split_is_disjoint_and_keeps_classes(seed, fraction, share, images):
    data = make([0] * share + [1] * (share + 3), images_each=images)
    train, held = split_validation(data, fraction, seed)
    assert set(train.patients).isdisjoint(held.patients)
    assert len(train) + len(held) == len(data)
    assert min(train.class_counts) > 0
    assert min(held.class_counts) > 0
    for total, taken in zip(data.class_counts, held.class_counts, strict=True):
        assert abs(taken - fraction * total) <= images  # within one patient


def test_a_patient_with_two_classes_stays_one_unit():
    data = make([0, 1, 0, 1, 0, 1, 0, 1])
    labels = np.array(data.labels)
    labels[0] = 1
    mixed = type(data)(data.images, labels, data.patients, data.class_names, data.name, synthetic=False)
    for share in partition(mixed, 2, "iid", 0):
        assert list(share.patients).count("p000") in {0, 2}


def test_iid_is_even_and_dirichlet_is_not():
    data = make([0, 1] * 60)
    even = [share.class_counts for share in partition(data, 4, "iid", 1)]
    assert even == [(30, 30)] * 4
    uneven = [len(share) for share in partition(data, 4, "dirichlet:0.2", 1)]
    assert max(uneven) > 2 * min(uneven)


def test_the_seed_decides(toy):
    first, again, other = (partition(toy, 3, "by-patient", seed)[0] for seed in (7, 7, 8))
    assert set(first.patients) == set(again.patients) != set(other.patients)


@pytest.mark.parametrize(
    "how", ["random", "dirichlet", "dirichlet:", "dirichlet:0", "dirichlet:nan", "dirichlet:-1", "iid:2"]
)
def test_unknown_modes_are_refused(toy, how):
    with pytest.raises(BadPartition, match="iid, dirichlet:ALPHA, by-patient"):
        partition(toy, 2, how, 0)


def test_too_few_patients_are_refused(toy):
    with pytest.raises(TooFewImages, match="at least 22"):
        partition(toy, 11, "iid", 0)
    with pytest.raises(TooFewImages, match="two classes each"):
        partition(make([0] * 9 + [1]), 2, "iid", 0)
    with pytest.raises(TooFewImages, match="held out"):
        split_validation(make([0, 1]), 0.2, 0)


@pytest.mark.parametrize("hospitals", [0, 257])
def test_number_of_hospitals_is_bounded(toy, hospitals):
    with pytest.raises(BadPartition):
        partition(toy, hospitals, "iid", 0)


@pytest.mark.parametrize("fraction", [0, 1, -0.1, float("nan")])
def test_fraction_is_bounded(toy, fraction):
    with pytest.raises(BadPartition):
        split_validation(toy, fraction, 0)
